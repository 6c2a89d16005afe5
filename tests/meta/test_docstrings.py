"""Each module says in 3 to 12 lines what it is for, what always holds and which RFC it follows.

Public classes and functions say what they do; the linter asks the same of methods.
"""

import ast
from typing import Final

import pytest

from tests.meta.source import Module, excerpt, expect_none

SHORTEST: Final = 3
LONGEST: Final = 12


def problems(module: Module) -> list[str]:
    """Missing, short or long module docstrings; public classes and functions without one."""
    lines = len(module.docstring.splitlines())
    found = []
    if not SHORTEST <= lines <= LONGEST:
        found.append(f"{module.path}: docstring of {lines} lines, {SHORTEST} to {LONGEST} wanted")
    return found + [
        f"{module.path}:{node.lineno}: {node.name} has no docstring"
        for node in module.tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]


def test_every_module_and_public_name_is_documented(src: list[Module]) -> None:
    expect_none(problem for module in src for problem in problems(module))


GOOD: Final = '"""Purpose.\n\nInvariant.\n"""\n'


@pytest.mark.parametrize(
    "text",
    [
        "",
        '"""Too short."""',
        '"""First.\n' + "line\n" * LONGEST + '"""',
        GOOD + "def f(): ...",
        GOOD + "async def f(): ...",
        GOOD + "class A: ...",
    ],
)
def test_silence_is_found(text: str) -> None:
    assert len(problems(excerpt(text))) == 1


def test_private_names_may_be_silent() -> None:
    assert problems(excerpt(GOOD + "def _f(): ...\ndef g():\n    'Say it.'")) == []
