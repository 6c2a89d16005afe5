"""Modules that tools/compile.py makes machine code of define no values.

mypyc drops the keywords of a class (frozen, eq, gc) and compares classes that it knows by identity, so a Struct in a
compiled module would silently be another type. Values stand in modules beside them (decision 19).
"""

import ast
import tomllib
from pathlib import Path
from typing import Final

from tests.meta.source import SRC, TOP, Module, dotted, excerpt, expect_none

VALUES: Final = frozenset({"Struct", "NamedTuple", "TypedDict"})


def compiled() -> list[Path]:
    settings = tomllib.loads((TOP / "pyproject.toml").read_text())
    return [SRC / f"{name.replace('.', '/')}.py" for name in settings["tool"]["postroad"]["compiled"]]


def problems(module: Module) -> list[str]:
    found = []
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ClassDef):
            continue
        bases = {dotted(base).rpartition(".")[2] for base in node.bases}
        decorators = {dotted(getattr(one, "func", one)).rpartition(".")[2] for one in node.decorator_list}
        if bases & VALUES or node.keywords or "dataclass" in decorators:
            found.append(
                f"{module.path}:{node.lineno}: {node.name} is a value: move it to a module that is not compiled"
            )
    return found


def test_compiled_modules_define_no_values() -> None:
    found = []
    for path in compiled():
        text = path.read_text()
        found += problems(Module(str(path.relative_to(TOP)), path.stem, text, ast.parse(text)))
    expect_none(found)


def test_the_rule_finds_values() -> None:
    for text in (
        "class A(Struct, frozen=True):\n    x: int",
        "class A(NamedTuple):\n    x: int",
        "@dataclass(slots=True)\nclass A:\n    x: int",
        "class A(B, metaclass=C): ...",
    ):
        assert problems(excerpt(text)), text
    assert not problems(excerpt("class A(Protocol):\n    x: int\n\n\nclass B: ..."))
