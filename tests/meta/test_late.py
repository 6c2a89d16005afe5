"""What is imported late is there, is of the type that is promised, and is not imported by everybody after all.

A `Late` names a module and a value in it; the module declares that value with the same type, so that mypy checks both
ends. Modules are imported by name nowhere else, and the libraries that they are late for are not loaded at the start.
"""

import ast
import subprocess
import sys
from collections.abc import Iterable
from typing import Final

import pytest

from tests.meta.source import Module, dotted, excerpt, expect_none, lates

DOORS: Final = (
    "postroad.model.late",  # constants of modules
    "postroad.net.workers.worker",  # jobs of a worker process
    "postroad.config.ownpolicies",  # what the configuration names
)
LATE: Final = (
    "acme",
    "aiohttp",
    "argon2",
    "asyncpg",
    "cryptography",
    "google.protobuf",
    "josepy",
    "joserfc",
    "opentelemetry",
    "pkcs11",
    "publicsuffixlist",
    "redis",
    "requests",
)


def late_problems(module: Module, known: Iterable[Module]) -> list[str]:
    """Late imports of what is not there, is declared otherwise, or is not at the top of the file."""
    modules = {one.name: one for one in known}
    top = {node.value.lineno for node in module.tree.body if isinstance(node, ast.AnnAssign) and node.value}
    problems = []
    for late in lates(module):
        where = f"{module.path}:{late.line}:"
        if late.line not in top:
            problems.append(f"{where} a late import is a constant of its module")
        elif late.module not in modules:
            problems.append(f"{where} there is no module {late.module!r}")
        elif declared(modules[late.module], late.name) != f"Final[{late.kind}]":
            problems.append(f"{where} {late.module} does not declare {late.name}: Final[{late.kind}]")
    return problems


def declared(module: Module, name: str) -> str:
    """The type that the module declares for its value `name`."""
    for node in module.tree.body:
        if isinstance(node, ast.AnnAssign) and dotted(node.target) == name:
            return ast.unparse(node.annotation)
    return ""


def dynamic_problems(module: Module) -> list[str]:
    """Imports by name anywhere but in the one place."""
    if module.name in DOORS:
        return []
    return [
        f"{module.path}:{node.lineno}: modules are imported by name in {DOORS[0]} alone"
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.Import) and any(alias.name == "importlib" for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module == "importlib")
        or (isinstance(node, ast.Name) and node.id == "__import__")
    ]


def test_late_imports_are_what_they_promise(src: list[Module]) -> None:
    expect_none(problem for module in src for problem in late_problems(module, src))
    assert any(lates(module) for module in src)


def test_modules_are_imported_by_name_in_one_place(src: list[Module]) -> None:
    expect_none(problem for module in src for problem in dynamic_problems(module))


def test_nobody_imports_at_the_start_what_few_need() -> None:
    code = "import sys, postroad.app, postroad.cli.main, postroad.config.checks.host; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "postroad.app" in loaded
    assert [name for name in LATE if name in loaded] == []


@pytest.mark.parametrize(
    "text",
    [
        "A: Final = Late[B]('postroad.x.missing', 'make')",
        "A: Final = Late[B]('postroad.x.there', 'other')",
        "A: Final = Late[Another]('postroad.x.there', 'make')",
        "A: Final = Late[B](name, 'make')",
        "def f():\n    return Late[B]('postroad.x.there', 'make').load()",
    ],
)
def test_a_broken_promise_is_found(text: str) -> None:
    there = excerpt("make: Final[B] = C", "postroad.x.there")
    assert len(late_problems(excerpt(text), [there])) == 1


def test_a_kept_promise_is_free() -> None:
    there = excerpt("make: Final[B] = C", "postroad.x.there")
    assert late_problems(excerpt("A: Final = Late[B]('postroad.x.there', 'make')"), [there]) == []


@pytest.mark.parametrize("text", ["import importlib", "from importlib import import_module", "__import__('x')"])
def test_an_import_by_name_is_found(text: str) -> None:
    assert len(dynamic_problems(excerpt(text))) == 1
    assert dynamic_problems(excerpt(text, DOORS[0])) == []
    assert dynamic_problems(excerpt("from importlib.util import find_spec")) == []
