"""`map`, and what `check` and `explain` say of aliases."""

import json
from pathlib import Path

import apsw
import pytest

from tests.support.command import run_command

CONFIG = """\
hostname = "relay.example.com"
[listeners.mx]
bind = ["127.0.0.1:0"]
[[routes]]
recipients = ["y.example"]
next_hops = ["lmtp:///run/lmtp.sock"]
[[routes]]
next_hops = ["capture:"]
[[aliases]]
file = "virtual"
domains = ["x.example"]
strict = true
[[aliases]]
regexp = "virtual.re"
[[aliases]]
sql = { database = "sqlite://%s/a.db", query = "SELECT target FROM alias WHERE address = ?" }
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "virtual").write_text("all@x.example a@y.example, old@z.example\nb@x.example c@x.example\n")
    (tmp_path / "virtual.re").write_text("/^(.*)@z.example$/ $1@y.example\n")
    db = apsw.Connection(str(tmp_path / "a.db"))
    db.execute("CREATE TABLE alias (address, target)")
    db.execute("INSERT INTO alias VALUES ('q@w.example', 'a@y.example, b@y.example')")
    db.close()
    file = tmp_path / "postroad.toml"
    file.write_text(CONFIG % tmp_path)
    return file


@pytest.mark.parametrize(
    ("table", "address", "code", "out"),
    [
        ("virtual", "ALL@x.example", 0, "a@y.example, old@z.example\n"),
        ("virtual", "all+detail@x.example", 66, ""),
        ("regexp:virtual.re", "Joe@z.example", 0, "Joe@y.example\n"),
        ("0", "b@x.example", 0, "c@x.example\n"),
        ("1", "Joe@z.example", 0, "Joe@y.example\n"),
        ("2", "q@w.example", 0, "a@y.example, b@y.example\n"),
        ("2", "@w.example", 66, ""),
        ("3", "q@w.example", 64, ""),
        ("virtual", "no address", 64, ""),
        ("none", "q@w.example", 78, ""),
        ("virtual.re", "q@w.example", 78, ""),
    ],
)
def test_one_question(
    config: Path, table: str, address: str, code: int, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(config.parent)
    done = run_command("map", table, address, "-c", str(config))
    assert (done.code, done.out) == (code, out)
    assert bool(done.err) == (code not in (0, 66))


def test_check_reads_every_table(config: Path) -> None:
    done = run_command("check", "-c", str(config))
    assert done.code == 0
    virtual = config.parent / "virtual"
    virtual.write_text("all@x.example a@y.example\nbroken\nall@x.example b@y.example\nso@x.example too\n")
    (config.parent / "virtual.re").write_text("\n/(/ a@x.example\n")
    done = run_command("check", "-c", str(config))
    assert done.code == 78
    assert f'{virtual}:2: aliases[0]: "broken" has nothing to its right' in done.err
    assert f'{virtual}:4: aliases[0]: "too": address without a domain' in done.err
    assert f"{config.parent}/virtual.re:2: aliases[1]: the pattern cannot be compiled" in done.err
    assert f'warning: {virtual}:3: aliases[0]: "all@x.example" stands in line 1 already' in done.err
    told = json.loads(run_command("check", "--json", "-c", str(config)).out)
    assert (told["ok"], len(told["problems"])) == (False, 3)
    assert told["problems"][0]["line"] == 2
    served = run_command("serve", "-c", str(config))
    assert served.code == 78
    assert f'{virtual}:2: aliases[0]: "broken" has nothing to its right' in served.err


def test_check_tells_of_loops_and_databases(config: Path) -> None:
    (config.parent / "virtual").write_text("a@x.example b@x.example\nb@x.example a@x.example\n")
    (config.parent / "a.db").unlink()
    done = run_command("check", "-c", str(config))
    assert done.code == 0
    assert "a@x.example: alias loop: " in done.err
    assert "unable to open database file; mail that needs it would be deferred" in done.err


def test_explain_tells_every_step(config: Path) -> None:
    done = run_command("explain", "-c", str(config), "--to", "all+s@x.example", "--ip", "192.0.2.1")
    lines = done.out.splitlines()
    virtual, patterns = config.parent / "virtual", config.parent / "virtual.re"
    assert lines[0].startswith("message   from <> to <all+s@x.example>")
    assert lines[1].startswith("access    refused")  # about the address as given
    assert f"alias     all+s@x.example -> a+s@y.example, old+s@z.example (as all@x.example in {virtual})" in lines
    assert f"alias     old+s@z.example -> old+s@y.example (as old+s@z.example in {patterns})" in lines
    assert "aliases   2 recipients; what follows is about the first, a+s@y.example" in lines
    assert "next hop  lmtp:///run/lmtp.sock" in lines


def test_explain_tells_refusals(config: Path) -> None:
    done = run_command("explain", "-c", str(config), "--to", "none@x.example")
    assert "reply     550 5.1.1 <none@x.example>: No such recipient" in done.out
    (config.parent / "a.db").unlink()
    told = json.loads(run_command("explain", "--json", "-c", str(config), "--to", "any@v.example").out)
    assert told["aliases"]["reply"].startswith("451 4.3.0 ")
    (config.parent / "virtual").write_text("a@x.example b@x.example\nb@x.example a@x.example\n")
    done = run_command("explain", "-c", str(config), "--to", "a@x.example")
    assert "aliases   refused: alias loop: " in done.out
    assert "reply     451 4.3.5 " in done.out
    (config.parent / "virtual").write_text("broken\n")
    assert run_command("explain", "-c", str(config), "--to", "a@x.example").code == 78
