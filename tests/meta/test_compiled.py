"""Modules that tools/compile.py makes machine code of keep clear of what mypyc understands otherwise than Python does.

It drops the keywords of a class (frozen, eq, gc) and compares classes that it knows by identity, so a Struct in a
compiled module would silently be another type: values stand in modules beside them. And it may work out the bounds
of a slice twice, so nothing may happen in there (decision 19).
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
        if isinstance(node, ast.Slice):
            found += [
                f"{module.path}:{call.lineno}: a slice calls {ast.unparse(call.func)}: give the result a name first"
                for call in ast.walk(node)
                if isinstance(call, ast.Call) and dotted(call.func) != "len"
            ]
        if not isinstance(node, ast.ClassDef):
            continue
        bases = {dotted(base).rpartition(".")[2] for base in node.bases}
        decorators = {dotted(getattr(one, "func", one)).rpartition(".")[2] for one in node.decorator_list}
        if bases & VALUES or node.keywords or "dataclass" in decorators:
            found.append(
                f"{module.path}:{node.lineno}: {node.name} is a value: move it to a module that is not compiled"
            )
    return found


def test_compiled_modules_mean_the_same_compiled() -> None:
    found = []
    for path in compiled():
        text = path.read_text()
        found += problems(Module(str(path.relative_to(TOP)), path.stem, text, ast.parse(text)))
    expect_none(found)


def test_the_rule_finds_offenders() -> None:
    for text in (
        "left = left[os.write(fd, left) :]",
        "class A(Struct, frozen=True):\n    x: int",
        "class A(NamedTuple):\n    x: int",
        "@dataclass(slots=True)\nclass A:\n    x: int",
        "class A(B, metaclass=C): ...",
    ):
        assert problems(excerpt(text)), text
    assert not problems(excerpt("left = left[len(head) :]"))
    assert not problems(excerpt("class A(Protocol):\n    x: int\n\n\nclass B: ..."))
