"""The control socket: a Unix socket that only its owner can open, and a client that waits for answers.

Bound without the path's length limit, by way of the folder's descriptor. The kernel says who called
(SO_PEERCRED); nothing that the caller says about itself counts. Requests and answers are JSON, one a line, bounded.
"""

import asyncio
import contextlib
import os
import pwd
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from postroad.net.process.inherited import Inherited

LINE_LIMIT: Final = 4 << 20  # octets of one request or answer: 200,000 queue ids
CONTROL: Final = "control"  # its name when it is handed over
_BACKLOG: Final = 16
_CREDENTIALS: Final = struct.Struct("3i")


class Caller(NamedTuple):
    """Who is at the other end: process, user, and the user's name where the machine knows it."""

    pid: int
    uid: int
    name: str


def bind_control(path: Path, inherited: Inherited | None = None) -> socket.socket:
    """Listen on `path`, mode 0600, in the place of a socket that a process that is gone has left there.

    One that was handed to us is it.
    """
    if inherited is not None and (given := inherited.take_unix(CONTROL)) is not None:
        return given
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        before = os.umask(0o177)
        try:
            listening.bind(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.umask(before)
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    finally:
        os.close(folder)
    return listening


def caller_of(writer: asyncio.StreamWriter) -> Caller:
    """Who is at the other end of a connection to the control socket."""
    descriptor = os.dup(writer.get_extra_info("socket").fileno())
    with socket.socket(fileno=descriptor) as copy:
        pid, uid, _ = _CREDENTIALS.unpack(copy.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return Caller(pid, uid, user_name(uid))


def user_name(uid: int) -> str:
    """The name of a user; its number when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


class ControlClient:
    """One connection to a control socket, for commands: `ask`, then read the answers."""

    def __init__(self, path: Path, seconds: float) -> None:
        """Connect; OSError when nobody listens or we may not. `seconds` is how long one answer may take."""
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(seconds)
            self._socket.connect(f"/proc/self/fd/{folder}/{path.name}")
        except BaseException:
            self._socket.close()
            raise
        finally:
            os.close(folder)

    def ask(self, line: bytes) -> Iterator[bytes]:
        """Send a request; its answers, line by line, until the other side has no more."""
        self._socket.sendall(line + b"\n")
        buffer = b""
        while octets := self._socket.recv(1 << 16):
            *lines, buffer = (buffer + octets).split(b"\n")
            yield from lines
            if len(buffer) > LINE_LIMIT:
                raise OSError("the answer is too long")

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._socket.close()
