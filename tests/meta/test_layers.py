"""The table of layers, executed: a package imports only packages on lower rows.

Siblings on one row never see each other and meet in `app.py` as plain callables. There are no
imports inside functions, no TYPE_CHECKING escapes and no cycles, and the pure packages (and every
file whose docstring says that it is pure) neither wait, nor read clocks, nor roll dice.
"""

import ast
import re
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from typing import Final

import pytest

from tests.meta.source import Module, excerpt, expect_none, lates

ROWS: Final = (
    ("model",),
    ("smtp", "message"),
    ("policy", "mailauth", "net", "spool", "store"),
    ("routing", "aliases", "auth", "queue", "delivery", "content"),
    ("listener", "policies", "observe", "desk", "recipients"),
    ("api",),
    ("config",),
    ("house", "doctor"),
    ("app",),
    ("cli",),
    ("__main__",),
)
PURE: Final = frozenset({"model", "smtp", "message", "mailauth", "policy"})
WAITING: Final = frozenset(
    {"asyncio", "socket", "time", "os", "random", "secrets", "threading", "subprocess", "select"}
)
SAYS_PURE: Final = re.compile(r"\bpure(?=[.:;)*])", re.IGNORECASE)  # "Pure." or "(pure)", not "the pure files"
GRANTED: Final = frozenset({("postroad.policy.chain", "asyncio")})  # the time-outs of policies

# What only some packages may import, because there is one door for it.
RESERVED: Final = (
    (frozenset({"socket"}), frozenset({"net"})),
    (frozenset({"apsw", "sqlite3", "asyncpg"}), frozenset({"spool", "store"})),
)


def package_of(name: str) -> str:
    """`queue` for postroad.queue.retry, `app` for postroad.app, nothing for postroad itself."""
    return name.removeprefix("postroad").lstrip(".").partition(".")[0]


def row_of(package: str) -> int | None:
    """The row of a package in the table; the root of the package stands below all."""
    if not package:
        return -1
    return next((row for row, packages in enumerate(ROWS) if package in packages), None)


def imports(module: Module) -> list[tuple[int, str]]:
    """Line and dotted name of everything imported; `from a import b` gives a.b, which may be a module or a name.

    What is imported late is imported all the same.
    """
    found = [(late.line, f"{late.module}.{late.name}") for late in lates(module)]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(node.lineno, f"{node.module or '.'}.{alias.name}") for alias in node.names]
    return found


def layer_problems(module: Module) -> list[str]:
    """Imports that go sideways or up, or reach for what belongs to another package."""
    mine = package_of(module.name)
    row = row_of(mine)
    if row is None:
        return [f"{module.path}: package {mine} is not in the table of layers"]
    problems = []
    for line, name in imports(module):
        if name == "postroad" or name.startswith("postroad."):
            other = package_of(name)
            above = row_of(other)
            if other != mine and (above is None or above >= row) and name != "postroad.VERSION":
                problems.append(f"{module.path}:{line}: {mine or 'postroad'} may not import {other}")
        problems += [
            f"{module.path}:{line}: {name.partition('.')[0]} belongs to {'/'.join(sorted(owners))}"
            for names, owners in RESERVED
            if name.partition(".")[0] in names and mine not in owners
        ]
    return problems


def purity_problems(module: Module) -> list[str]:
    """Imports of clocks, sockets, dice and loops in files that must be pure."""
    if package_of(module.name) not in PURE and not SAYS_PURE.search(module.docstring):
        return []
    return [
        f"{module.path}:{line}: a pure file may not import {root}"
        for line, name in imports(module)
        if (root := name.partition(".")[0]) in WAITING and (module.name, root) not in GRANTED
    ]


def form_problems(module: Module) -> list[str]:
    """Imports anywhere but at the top, relative or starred ones, TYPE_CHECKING, and packages that re-export."""
    problems = []
    top = {id(node) for node in module.tree.body}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            where = f"{module.path}:{node.lineno}:"
            if id(node) not in top:
                problems.append(f"{where} import below the top level")
            if isinstance(node, ast.ImportFrom) and node.level:
                problems.append(f"{where} relative import")
            if any(alias.name == "*" for alias in node.names):
                problems.append(f"{where} import *")
            if module.path.endswith("__init__.py") and any(n.startswith("postroad") for _, n in imports(module)):
                problems.append(f"{where} a package re-exports nothing: import a name from the file that owns it")
            if any(alias.name == "TYPE_CHECKING" for alias in node.names):
                problems.append(f"{where} TYPE_CHECKING")
        elif isinstance(node, ast.Attribute) and node.attr == "TYPE_CHECKING":
            problems.append(f"{module.path}:{node.lineno}: TYPE_CHECKING")
    return problems


def cycle_problems(modules: Iterable[Module]) -> list[str]:
    """One cycle of imports among the modules, if there is any."""
    known = {module.name: module for module in modules}
    graph = {}
    for name, module in known.items():
        targets = {n if n in known else n.rpartition(".")[0] for _, n in imports(module)}
        graph[name] = (targets & known.keys()) - {name, "postroad"}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [" -> ".join(error.args[1])]
    return []


def test_packages_import_only_lower_rows(src: list[Module]) -> None:
    expect_none(problem for module in src for problem in layer_problems(module))


def test_pure_files_do_not_wait_read_clocks_or_roll_dice(src: list[Module]) -> None:
    expect_none(problem for module in src for problem in purity_problems(module))


def test_imports_stand_at_the_top(src: list[Module]) -> None:
    expect_none(problem for module in src for problem in form_problems(module))


def test_modules_form_no_cycle(src: list[Module]) -> None:
    expect_none(cycle_problems(src))


def test_every_package_is_found(src: list[Module]) -> None:
    packages = {package_of(module.name) for module in src}
    assert {"model", "smtp", "net", "spool", "queue", "listener"} <= packages


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("postroad.smtp.a", "from postroad.message.headers import b"),
        ("postroad.smtp.a", "import postroad.net.clock"),
        ("postroad.smtp.a", "from postroad import spool"),
        ("postroad.queue.a", "from postroad.delivery.deliver import b"),
        ("postroad.model.a", "from postroad.app import b"),
        ("postroad.config.a", "from postroad.config.b import c\nfrom postroad.cli.main import main"),
        ("postroad.surprise.a", ""),
        ("postroad.queue.a", "from postroad.surprise import b"),
        ("postroad.queue.a", "import socket"),
        ("postroad.routing.a", "from socket import AF_INET"),
        ("postroad.queue.a", "import apsw"),
        ("postroad.queue.a", "from x import Late\nA = Late[B]('postroad.delivery.b', 'c')"),
    ],
)
def test_a_broken_layer_is_found(name: str, text: str) -> None:
    assert len(layer_problems(excerpt(text, name))) == 1


def test_lower_rows_and_own_package_are_free() -> None:
    text = (
        "from postroad import VERSION\nfrom postroad.queue.b import c\nfrom postroad.net.clock import Clock\nimport os"
    )
    assert layer_problems(excerpt(text)) == []
    assert layer_problems(excerpt("import socket", "postroad.net.a")) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("postroad.smtp.a", "import asyncio"),
        ("postroad.model.a", "from time import time"),
        ("postroad.policy.a", "import asyncio"),
        ("postroad.policy.chain", "import random"),
        ("postroad.queue.retry", '"""The curve of tries. Pure."""\nimport random'),
        ("postroad.mailauth.a", "import os.path"),
        ("postroad.routing.a", '"""What goes where (pure)."""\nimport asyncio'),
    ],
)
def test_an_impure_import_is_found(name: str, text: str) -> None:
    assert len(purity_problems(excerpt(text, name))) == 1


def test_purity_is_asked_of_pure_files_alone() -> None:
    assert purity_problems(excerpt("import asyncio", "postroad.policy.chain")) == []
    assert purity_problems(excerpt('"""Waits for the pure files."""\nimport asyncio', "postroad.queue.a")) == []


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    import json",
        "try:\n    import json\nexcept ImportError:\n    pass",
        "from . import a",
        "from json import *",
        "from typing import TYPE_CHECKING",
        "import typing\nif typing.TYPE_CHECKING:\n    pass",
    ],
)
def test_a_hidden_import_is_found(text: str) -> None:
    assert len(form_problems(excerpt(text))) == 1


def test_a_cycle_is_found() -> None:
    ring = [
        excerpt("from postroad.queue.b import x", "postroad.queue.a"),
        excerpt("from postroad.queue import c", "postroad.queue.b"),
        excerpt("import postroad.queue.a", "postroad.queue.c"),
    ]
    assert cycle_problems(ring)
    assert cycle_problems(ring[:2]) == []
