"""One door each for reply texts, clocks, files and outgoing connections.

SMTP replies are written in smtp/replies.py, time is read in net/clock.py, accepted mail and everything
else on disk is opened in a few named places, and only `net` connects to somebody.
"""

import ast
import re
from collections.abc import Iterator
from typing import Final

import pytest

from tests.meta.source import Module, dotted, excerpt, expect_none

REPLY_DOOR: Final = "postroad.smtp.replies"
CLOCK_DOOR: Final = "postroad.net.clock"
FILE_DOORS: Final = (
    "postroad.spool",
    "postroad.store",
    "postroad.delivery.capture",
    "postroad.config",
    "postroad.doctor.machine",
    "postroad.net.addresses",
    "postroad.net.control",
    "postroad.net.dns.system",
    "postroad.net.tls.contexts",
    "postroad.net.process.usage",
    "postroad.cli",
    "postroad.observe.logfile",
    "postroad.observe.rotation",
    "postroad.observe.webhookspool",
)
CONNECTION_DOOR: Final = "postroad.net"

REPLY_TEXT: Final = re.compile(r"[2-5]\d\d[ -](?:[2-5]\.\d{1,3}\.\d{1,3}\b|[A-Z]|$)|[245]\.\d{1,3}\.\d{1,3} [A-Za-z]")
CLOCKS: Final = frozenset(
    {
        *(f"time.{name}" for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "sleep")),
        *(f"datetime.{name}" for name in ("now", "utcnow", "today")),
        *(f"datetime.datetime.{name}" for name in ("now", "utcnow", "today")),
        *("date.today", "datetime.date.today", "asyncio.sleep"),
    }
)
CLOCK_NAMES: Final = frozenset({name.rpartition(".")[2] for name in CLOCKS if name.startswith("time.")})
FILES: Final = frozenset({"open", "io.open", "os.open", "tempfile.NamedTemporaryFile", "tempfile.TemporaryFile"})
FILE_METHODS: Final = frozenset({"read_text", "write_text", "read_bytes", "write_bytes"})
CONNECTIONS: Final = re.compile(
    r"asyncio\.open(_unix)?_connection$|loop(\(\))?\.create_((unix_)?connection|datagram_endpoint)$"
)


def behind(module: Module, *doors: str) -> bool:
    """True when the module is one of the doors, or in a package that is."""
    return any(module.name == door or module.name.startswith(f"{door}.") for door in doors)


def literals(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of every string and bytes literal that is not a docstring; of f-strings the fixed beginning."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values[1:]}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in docstrings | inner:
            if isinstance(node.value, bytes):
                yield node.lineno, node.value.decode("latin-1")
            elif isinstance(node.value, str):
                yield node.lineno, node.value


def reply_problems(module: Module) -> list[str]:
    """SMTP reply texts where they do not belong."""
    if behind(module, REPLY_DOOR):
        return []
    return [
        f"{module.path}:{line}: the reply text {text[:30]!r} belongs into smtp/replies.py"
        for line, text in literals(module.tree)
        if REPLY_TEXT.match(text)
    ]


def calls(module: Module) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every call, and of every clock that is handed on without being called."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            yield node.lineno, dotted(node.func)


def clock_problems(module: Module) -> list[str]:
    """Clocks that are read, and sleeps, outside the one place that has them."""
    if behind(module, CLOCK_DOOR):
        return []
    found = []
    for node in ast.walk(module.tree):
        where = f"{module.path}:{getattr(node, 'lineno', 0)}:"
        if isinstance(node, ast.Attribute):
            name = dotted(node)
            of_loop = node.attr == "time" and re.search(r"loop(\(\))?$", dotted(node.value))
            if name in CLOCKS or (of_loop and not behind(module, CONNECTION_DOOR)):  # deadlines on real sockets
                found.append(f"{where} {name}: the clock is a parameter, from net/clock.py")
        elif isinstance(node, ast.ImportFrom) and node.module in {"time", "asyncio"}:
            names = {alias.name for alias in node.names} & (CLOCK_NAMES if node.module == "time" else {"sleep"})
            found += [
                f"{where} {node.module}.{name}: the clock is a parameter, from net/clock.py" for name in sorted(names)
            ]
    return found


def file_problems(module: Module) -> list[str]:
    """Files opened outside the packages that keep something on disk or read the configuration."""
    if behind(module, *FILE_DOORS):
        return []
    return [
        f"{module.path}:{line}: {name}: files are opened in few places, see FILE_DOORS"
        for line, name in calls(module)
        if name in FILES or name.rpartition(".")[2] in FILE_METHODS
    ]


def connection_problems(module: Module) -> list[str]:
    """Connections made outside `net`."""
    if behind(module, CONNECTION_DOOR):
        return []
    return [
        f"{module.path}:{line}: {name}: connections are made in net alone"
        for line, name in calls(module)
        if CONNECTIONS.search(name)
    ]


def test_replies_have_one_door(src: list[Module]) -> None:
    expect_none(problem for module in src for problem in reply_problems(module))
    assert any(module.name == REPLY_DOOR for module in src)


def test_clocks_have_one_door(src: list[Module]) -> None:
    expect_none(problem for module in src for problem in clock_problems(module))
    assert any(module.name == CLOCK_DOOR for module in src)


def test_files_have_few_doors(src: list[Module]) -> None:
    expect_none(problem for module in src for problem in file_problems(module))


def test_connections_have_one_door(src: list[Module]) -> None:
    expect_none(problem for module in src for problem in connection_problems(module))


@pytest.mark.parametrize(
    "text",
    [
        'x = b"250 Ok"',
        'x = "550 5.7.1 no"',
        'x = f"550 {reason}"',
        'x = b"250-SIZE"',
        'x = "5.7.1 Denied"',
        'f("421 Bye")',
    ],
)
def test_a_reply_text_is_found(text: str) -> None:
    assert len(reply_problems(excerpt(text))) == 1
    assert reply_problems(excerpt(text, REPLY_DOOR)) == []


def test_mentions_of_replies_are_free() -> None:
    text = '"""550 5.7.1 is said."""\nx = "more get 452 4.5.3"\ny = "5.7.1"\nz = f"{a}250 b"\ndef f():\n    "250 Ok"'
    assert reply_problems(excerpt(text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "time.time()",
        "now = time.monotonic",
        "from time import time_ns",
        "datetime.now(UTC)",
        "datetime.datetime.now()",
        "asyncio.sleep(1)",
        "from asyncio import sleep",
        "self.loop.time()",
        "asyncio.get_running_loop().time()",
    ],
)
def test_a_clock_is_found(text: str) -> None:
    assert len(clock_problems(excerpt(text))) == 1
    assert clock_problems(excerpt(text, CLOCK_DOOR)) == []


def test_values_of_time_are_free() -> None:
    text = "from datetime import datetime\ndatetime.fromtimestamp(now)\nclock.now()\nself.time()\ntime.gmtime(now)"
    assert clock_problems(excerpt(text)) == []


@pytest.mark.parametrize("text", ["open('x')", "os.open('x', 0)", "path.read_text()", "Path('x').write_bytes(b'')"])
def test_a_file_is_found(text: str) -> None:
    assert len(file_problems(excerpt(text))) == 1
    assert file_problems(excerpt(text, "postroad.spool.journal")) == []
    assert len(file_problems(excerpt(text, "postroad.spooler"))) == 1


@pytest.mark.parametrize("text", ["asyncio.open_connection(a, b)", "loop.create_connection(f, a, b)"])
def test_a_connection_is_found(text: str) -> None:
    assert len(connection_problems(excerpt(text))) == 1
    assert connection_problems(excerpt(text, "postroad.net.stream")) == []
