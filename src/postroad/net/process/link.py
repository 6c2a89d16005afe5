"""Messages between a process and the one that began it, over a pair of sockets that both were born with.

A message is its length, a number for its kind, and octets. Sending never blocks: what the other side does not take
waits here, up to a bound, and is then refused. The end of the other side is the end of the link.
"""

import socket
import struct
from typing import Final

_HEAD: Final = struct.Struct("!IB")
WAITING: Final = 16 << 20  # octets that may wait for the other side
LONGEST: Final = 256 << 20
_PART: Final = 1 << 18

Message = tuple[int, bytes]


class Link:
    """One end."""

    def __init__(self, end: socket.socket) -> None:
        """Take `end` over."""
        end.setblocking(False)
        self._socket = end
        self._out = bytearray()
        self._in = bytearray()
        self.is_open = True

    def fileno(self) -> int:
        """Its descriptor."""
        return self._socket.fileno()

    def send(self, kind: int, text: bytes = b"") -> bool:
        """Send a message, as far as the other side takes it; `flush` sends the rest. False: too much waits."""
        if not self.is_open or len(self._out) > WAITING:
            return False
        self._out += _HEAD.pack(len(text), kind)
        self._out += text
        self.flush()
        return True

    def flush(self) -> bool:
        """Send what waits; True when nothing is left."""
        while self._out and self.is_open:
            try:
                sent = self._socket.send(self._out[:_PART])
            except BlockingIOError:
                return False
            except OSError:
                self.is_open = False
                return False
            del self._out[:sent]
        return not self._out

    def receive(self) -> list[Message]:
        """The messages that have come whole."""
        while self.is_open:
            try:
                part = self._socket.recv(_PART)
            except BlockingIOError:
                break
            except OSError:
                part = b""
            if not part:
                self.is_open = False
                break
            self._in += part
        return list(iter(self._next, None))

    def _next(self) -> Message | None:
        if len(self._in) < _HEAD.size:
            return None
        length, kind = _HEAD.unpack_from(self._in)
        if length > LONGEST:
            self.is_open = False
            return None
        end = _HEAD.size + length
        if len(self._in) < end:
            return None
        text = bytes(self._in[_HEAD.size : end])
        del self._in[:end]
        return kind, text

    def close(self) -> None:
        """Hang up."""
        self.is_open = False
        self._socket.close()


def link_pair() -> tuple[Link, Link]:
    """Both ends of a new one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    return Link(ours), Link(theirs)
