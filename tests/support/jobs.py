"""Jobs for worker processes: well-behaved ones, and those that hang, die, grow or meddle."""

import ctypes
import os
import resource
import time
from pathlib import Path

from msgspec import Struct


class Facts(Struct):
    """What a worker sees of itself."""

    pid: int
    environment: dict[str, str]
    descriptors: list[str]
    nice: int
    folder: str
    files: int


def double(number: int) -> int:
    return 2 * number


def backwards(content: bytes) -> bytes:
    return content[::-1]


def middle(content: bytes, start: int, end: int) -> bytes | None:
    return content[start:end] or None


def misdeclared_bulk() -> str:
    return b"not a text"  # type: ignore[return-value]  # likewise


def facts() -> Facts:
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(entry.readlink()))
        except FileNotFoundError:  # the descriptor of the listing
            continue
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return Facts(os.getpid(), dict(os.environ), links, os.getpriority(os.PRIO_PROCESS, 0), str(Path.cwd()), files)


def pid() -> int:
    return os.getpid()


def hang(mark: str) -> None:
    Path(mark).write_text(str(os.getpid()))
    while True:
        time.sleep(1)


def spin() -> None:
    while True:
        pass


def leave(status: int) -> None:
    os._exit(status)


def crash() -> None:
    ctypes.string_at(1)


def quote(text: str) -> None:
    raise ValueError(text)


def grow(octets: int) -> int:
    return len(bytearray(octets))


def keep(octets: int, kept: int) -> int:
    """Leaves so many octets behind."""
    keep.__dict__.setdefault("kept", []).append(b"x" * octets)
    return os.getpid() + 0 * kept


def open_many() -> int:
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(10_000)]
    return len(held)


def misdeclared() -> int:
    return "not a number"  # type: ignore[return-value]  # a worker that was taken over


def pause(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()
