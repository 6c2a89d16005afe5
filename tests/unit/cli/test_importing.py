"""`postroad import postfix`: what it prints, writes and returns."""

from pathlib import Path

from tests.support.command import run_command


def test_a_postfix_is_imported_once(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text(
        "myhostname = gw.example.com\nmydestination =\nsmtpd_milters = inet:localhost:1\n"
    )
    (tmp_path / "master.cf").write_text("2525 inet n - y - - smtpd\n")
    out = tmp_path / "postroad.toml"
    done = run_command("import", "postfix", tmp_path, "--out", out)
    assert done.code == 0
    assert done.out == f"{out} is written\n"
    assert done.err == "postroad: not carried over: smtpd_milters = inet:localhost:1\n"
    assert run_command("check", "-c", out).code == 0
    again = run_command("import", "postfix", tmp_path, "--out", out)
    assert again.code == 64
    assert "exists" in again.err


def test_a_folder_without_a_postfix(tmp_path: Path) -> None:
    done = run_command("import", "postfix", tmp_path, "--out", tmp_path / "x.toml")
    assert done.code == 66
    assert "main.cf" in done.err
