"""The project's own source as values, for the tests of the house rules.

Each rule is a function from a `Module` to problems, so that it can be tried on a bad sample
as well as on the whole tree; `excerpt` makes such a sample from a few lines of text.
"""

import ast
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

TOP: Final = Path(__file__).resolve().parents[2]
SRC: Final = TOP / "src"

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Module(NamedTuple):
    """One Python file: where it is (relative to the top), its dotted name, its text and its syntax tree."""

    path: str
    name: str
    text: str
    tree: ast.Module

    @property
    def docstring(self) -> str:
        """The module's docstring, or nothing."""
        return ast.get_docstring(self.tree, clean=True) or ""


def excerpt(text: str, name: str = "postroad.queue.sample") -> Module:
    """A module of the given dotted name made of `text`, to try a rule on."""
    return Module(f"src/{name.replace('.', '/')}.py", name, text, ast.parse(text))


def modules(folder: Path, root: Path) -> list[Module]:
    """Every Python file below `folder`, named from `root`."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if "node_modules" in parts:
            continue
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text(encoding="utf-8")
        found.append(Module(str(path.relative_to(TOP)), name, text, ast.parse(text)))
    return found


def functions(tree: ast.AST) -> Iterator[Function]:
    """Every function and method below `tree`, nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def dotted(node: ast.expr) -> str:
    """`a.b.c` for a chain of names, with `()` where something is called; otherwise an empty text."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{dotted(value)}.{attr}"
        case ast.Call(func=func):
            return f"{dotted(func)}()"
        case _:
            return ""


class LateImport(NamedTuple):
    """`Late[KIND]("MODULE", "NAME")` at a line: what it promises of a module that is imported later."""

    line: int
    kind: str
    module: str
    name: str


def lates(module: Module) -> list[LateImport]:
    """Every late import of `module`; one that is not written with plain texts has empty ones."""
    found = []
    for node in ast.walk(module.tree):
        match node:
            case ast.Call(func=ast.Subscript(value=ast.Name(id="Late"), slice=kind), args=args):
                texts = [arg.value if isinstance(arg, ast.Constant) else "" for arg in args]
                named, name = (*map(str, texts), "", "")[:2]
                found.append(LateImport(node.lineno, ast.unparse(kind), named, name))
    return found


def project_files() -> list[Path]:
    """Every file that is, or could be, committed: tracked or new, but not ignored."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=TOP, check=True, capture_output=True).stdout.split(b"\0")
    return sorted(path for name in names if name and (path := TOP / name.decode()).is_file())


def expect_none(problems: Iterable[str]) -> None:
    """Fail with every problem on a line of its own."""
    found = list(problems)
    assert not found, "\n".join(["", *found])
