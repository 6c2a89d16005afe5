"""Files of at most 400 lines, functions of at most 60: what does not fit has two responsibilities."""

from typing import Final

from tests.meta.source import Module, excerpt, expect_none, functions

FILE_LINES: Final = 400
FUNCTION_LINES: Final = 60


def problems(module: Module) -> list[str]:
    """The file and the functions of it that are too long; decorators do not count."""
    lines = len(module.text.splitlines())
    found = [f"{module.path}: {lines} lines, at most {FILE_LINES}"] if lines > FILE_LINES else []
    for function in functions(module.tree):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        if length > FUNCTION_LINES:
            found.append(
                f"{module.path}:{function.lineno}: {function.name} has {length} lines, at most {FUNCTION_LINES}"
            )
    return found


def test_files_and_functions_are_short(src: list[Module], suite: list[Module]) -> None:
    expect_none(problem for module in src + suite for problem in problems(module))


def test_a_long_file_is_found() -> None:
    assert problems(excerpt("x = 1\n" * FILE_LINES)) == []
    assert len(problems(excerpt("x = 1\n" * (FILE_LINES + 1)))) == 1


def test_a_long_function_is_found() -> None:
    body = "    x = 1\n"
    assert problems(excerpt("class A:\n  async def f(self):\n" + body * (FUNCTION_LINES - 1))) == []
    assert len(problems(excerpt("class A:\n  async def f(self):\n" + body * FUNCTION_LINES))) == 1
