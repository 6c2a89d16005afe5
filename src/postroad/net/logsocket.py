"""A socket that log messages go out by: a unix datagram socket, UDP, TCP or TLS; blocking, with deadlines.

For threads that do nothing else. Messages on a stream are framed by counting octets (RFC 6587 3.4.1); TLS
checks the server's name (RFC 5425 4.2.1). Invariant: nothing is raised for what a peer does; `send` says how
many messages the operating system took whole, and why no more. A stream tells nothing about what the peer has
read of them.
"""

import array
import errno
import fcntl
import os
import socket
import ssl
from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct

DEADLINE: Final = 5.0  # seconds for one connection, and for one send
_FAREWELL: Final = 2.0  # seconds for the peer to take what it was sent before its stream is closed
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


class LogAddress(Struct, frozen=True):
    """Where to: `path` for unix; `host` and `port` otherwise. `ca` is a file of certificates, "" for the system's."""

    transport: Literal["unix", "udp", "tcp", "tls"]
    path: str = ""
    host: str = ""
    port: int = 0
    ca: str = ""

    def __str__(self) -> str:
        """As people write it."""
        return self.path if self.transport == "unix" else f"{self.transport} {self.host}:{self.port}"


class LogSocket:
    """One such socket, connected when it is needed."""

    def __init__(self, address: LogAddress, *, deadline: float = DEADLINE, by_memory: bool = False) -> None:
        """`by_memory`: a datagram that is too large goes as a sealed memory file, as the journal takes it."""
        self._address = address
        self._deadline = deadline
        self._by_memory = by_memory
        self._is_stream = address.transport in ("tcp", "tls")
        self._socket: socket.socket | None = None

    def send(self, messages: Sequence[bytes]) -> tuple[int, str]:
        """Send `messages`; how many went, and why no more or ""."""
        sent = 0
        try:
            peer = self._connected()
            if self._is_stream:
                return self._send_stream(peer, messages)
            for message in messages:
                self._send_datagram(peer, message)
                sent += 1
        except OSError as error:  # TimeoutError, ssl.SSLError and name look-ups are too
            self._leave()
            return sent, f"{self._address}: {error.strerror or error}"
        return sent, ""

    def close(self) -> None:
        """Close it; the next `send` connects again. Waits shortly until a stream's peer has taken everything."""
        if self._socket is not None and self._is_stream:
            _say_farewell(self._socket)
        self._leave()

    def _leave(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is not None and self._is_stream and _is_over(self._socket):
            self._leave()
        if self._socket is None:
            self._socket = self._connect()
        return self._socket

    def _connect(self) -> socket.socket:
        address = self._address
        if address.transport == "unix":
            peer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            return self._to(peer, address.path)
        if address.transport == "udp":
            family, kind, number, _, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)[0]
            return self._to(socket.socket(family, kind, number), where)
        peer = socket.create_connection((address.host, address.port), self._deadline)
        if address.transport == "tcp":
            return peer
        try:
            return ssl.create_default_context(cafile=address.ca or None).wrap_socket(peer, server_hostname=address.host)
        except BaseException:
            peer.close()
            raise

    def _to(self, peer: socket.socket, where: tuple[str | int | bytes, ...] | str) -> socket.socket:
        try:
            peer.settimeout(self._deadline)
            peer.connect(where)
        except BaseException:
            peer.close()
            raise
        return peer

    def _send_datagram(self, peer: socket.socket, message: bytes) -> None:
        try:
            peer.send(message)
        except OSError as error:
            if not self._by_memory or error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                raise
            _send_memory(peer, message)

    def _send_stream(self, peer: socket.socket, messages: Sequence[bytes]) -> tuple[int, str]:
        frames = [b"%d %b" % (len(message), message) for message in messages]
        data = memoryview(b"".join(frames))
        done = 0
        try:
            while done < len(data):
                done += peer.send(data[done:])
        except OSError as error:
            self._leave()
            return _whole(frames, done), f"{self._address}: {error.strerror or error}"
        return len(messages), ""


def _whole(frames: Sequence[bytes], done: int) -> int:
    """How many of `frames` lie whole within the first `done` octets."""
    for count, frame in enumerate(frames):
        done -= len(frame)
        if done < 0:
            return count
    return len(frames)


def _say_farewell(peer: socket.socket) -> None:
    """End the stream in order (RFC 5425 4.4) and wait for the peer to do so.

    To close with anything unread, and TLS 1.3 sends session tickets unasked, resets the connection, and a reset
    takes along what the peer has not read yet.
    """
    try:
        peer.settimeout(_FAREWELL)
        if isinstance(peer, ssl.SSLSocket):
            peer.unwrap()
        else:
            peer.shutdown(socket.SHUT_WR)
            peer.recv(4096)
    except OSError:
        return  # it is gone already, or slow: there is nothing more to be done for it


def _is_over(peer: socket.socket) -> bool:
    """True when the peer has closed its side; it has nothing to say otherwise, and what it says is not kept."""
    deadline = peer.gettimeout()
    peer.setblocking(False)  # with a deadline even MSG_DONTWAIT would wait for it
    try:
        return peer.recv(4096) == b""
    except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return False
    except OSError:
        return True
    finally:
        peer.settimeout(deadline)


def _send_memory(peer: socket.socket, message: bytes) -> None:
    fd = os.memfd_create("postroad-journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        left = memoryview(message)
        while left:
            left = left[os.write(fd, left) :]
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        peer.sendmsg([], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
    finally:
        os.close(fd)
