"""What serve prints for people: the listeners and, when mail is captured, how to see a first message."""

import shlex
from pathlib import Path

import pytest

from postroad.cli.serve import Announcer, quick_start
from postroad.config.schema import Config


def _config(tmp_path: Path, **sections: object) -> Config:
    base: dict[str, object] = {
        "hostname": "relay.example.com",
        "data_dir": tmp_path,
        "listeners": {"mx": {"bind": ["127.0.0.1:0", "[::1]:0"]}},
    }
    return Config.model_validate(base | sections)


def test_nothing_more_to_say_without_capture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    announce = Announcer(_config(tmp_path))
    announce("listening: mx 127.0.0.1:2525")
    announce("listening: mx [::1]:2525")
    assert capsys.readouterr().out == "listening: mx 127.0.0.1:2525\nlistening: mx [::1]:2525\n"


def test_hints_come_once_everything_listens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    announce = Announcer(_config(tmp_path, routes=[{"next_hops": ["capture:"]}]))
    announce("warning: something")
    announce("listening: mx 127.0.0.1:2525")
    assert "Captured" not in capsys.readouterr().out
    announce("listening: mx [::1]:2525")
    out = capsys.readouterr().out
    assert f"Captured mail lands in {tmp_path}/capture" in out
    assert 'SMTP("127.0.0.1", 2525)' in out


@pytest.mark.parametrize(
    ("pattern", "recipient"),
    [
        ("*", "you@example.net"),
        ("example.org", "you@example.org"),
        ("*.example.org", "you@mail.example.org"),
        ("me@example.org", "me@example.org"),
    ],
)
def test_the_sample_goes_where_it_is_captured(tmp_path: Path, pattern: str, recipient: str) -> None:
    hints = quick_start(_config(tmp_path, routes=[{"recipients": [pattern], "next_hops": ["capture:"]}]), "0.0.0.0:25")
    assert f'["{recipient}"]' in hints[-1]
    assert 'SMTP("127.0.0.1", 25)' in hints[-1]


def test_the_command_is_one_that_a_shell_and_python_take(tmp_path: Path) -> None:
    hints = quick_start(_config(tmp_path, routes=[{"next_hops": ["capture:"]}]), "[::]:2525")
    program, flag, code = shlex.split(hints[-1])
    assert (program, flag) == ("python3", "-c")
    compile(code, "hint", "exec")
    assert 'SMTP("::1", 2525)' in code
