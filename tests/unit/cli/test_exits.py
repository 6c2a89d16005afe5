"""Every failure is one line and one code."""

import pytest
import typer

from postroad.cli.exits import complain, guarded
from postroad.model.errors import AddressError, ConfigError, PostroadError, SpoolError, SpoolFullError


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (ConfigError(["a.toml:1: one", "a.toml:2: two"]), 78, ["a.toml:1: one", "a.toml:2: two"]),
        (AddressError("no domain"), 64, ["no domain"]),
        (SpoolFullError("disk full"), 75, ["disk full"]),
        (SpoolError("in use"), 69, ["in use"]),
        (PostroadError("something"), 69, ["something"]),
        (PermissionError(13, "Permission denied", "/x"), 77, ["[Errno 13] Permission denied: '/x'"]),
        (FileNotFoundError(2, "No such file", "/x"), 66, ["[Errno 2] No such file: '/x'"]),
        (OSError(5, "Input/output error"), 74, ["[Errno 5] Input/output error"]),
        (KeyboardInterrupt(), 130, []),
    ],
)
def test_errors_become_lines_and_codes(
    error: BaseException, code: int, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    @guarded
    def command() -> int:
        raise error

    with pytest.raises(typer.Exit) as left:
        command()
    assert left.value.exit_code == code
    assert capsys.readouterr().err.splitlines() == [f"postroad: {line}" for line in lines]


def test_the_return_value_is_the_code() -> None:
    with pytest.raises(typer.Exit) as left:
        guarded(lambda: 66)()
    assert left.value.exit_code == 66


def test_a_bug_is_not_hidden() -> None:
    @guarded
    def command() -> int:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        command()


def test_an_error_without_words_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    complain(OSError())
    assert capsys.readouterr().err == "postroad: OSError\n"
