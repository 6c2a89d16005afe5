"""Somebody in the middle: passes SMTP on between a client and a server, and meddles with TLS as told.

STRIP takes STARTTLS out of the answer to EHLO, REFUSE answers STARTTLS by 454 itself, ALTER renames the keyword in the
answer to EHLO and adds another, OWN_TLS begins TLS with a certificate of its own and goes on in plain text with the
server. Each session has a thread; what the client said in plain text to the server is kept.
"""

import contextlib
import socket
import ssl
import threading
from types import TracebackType
from typing import Self

STRIP = "strip"
REFUSE = "refuse"
ALTER = "alter"
OWN_TLS = "own tls"
SECONDS = 60.0


class Middle:
    """Listens on a port of the loopback, for the server at `port`."""

    def __init__(self, port: int, how: str, context: ssl.SSLContext | None = None) -> None:
        self._server = port
        self._how = how
        self._context = context
        self.heard: list[bytes] = []  # what could be read of what clients said

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.settimeout(SECONDS)
            threading.Thread(target=self._session, args=(client,), daemon=True).start()

    def _session(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._server), timeout=SECONDS)
        except OSError:
            client.close()
            return
        with contextlib.suppress(OSError), client, server:
            self._pass_on(client, server)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        client.sendall(_answer(server))
        self._converse(client, server)

    def _converse(self, said: socket.socket, server: socket.socket) -> None:
        """One line of the client at a time, then the whole answer; SMTP without pipelining is enough for this."""
        while line := _line(said):
            self.heard.append(line)
            if line.upper().startswith(b"STARTTLS") and self._how == REFUSE:
                said.sendall(b"454 4.7.0 TLS is not available now\r\n")
                continue
            if line.upper().startswith(b"STARTTLS") and self._how == OWN_TLS and self._context is not None:
                said.sendall(b"220 2.0.0 Ready\r\n")
                with self._context.wrap_socket(said, server_side=True) as secured:
                    self._converse(secured, server)
                return
            server.sendall(line)
            answer = _answer(server)
            if line.upper().startswith(b"EHLO"):
                answer = self._meddled(answer)
            said.sendall(answer)
            if line.upper().startswith(b"DATA") and answer.startswith(b"354"):
                server.sendall(_content(said))
                said.sendall(_answer(server))

    def _meddled(self, answer: bytes) -> bytes:
        lines = [line for line in answer.splitlines() if line[4:] not in (b"PIPELINING", b"CHUNKING")]
        if self._how == STRIP:
            lines = [line for line in lines if line[4:] != b"STARTTLS"]
        elif self._how == ALTER:
            lines = [line.replace(b"STARTTLS", b"XTARTTLS") for line in lines] + [b"250 REQUIRETLS"]
        return b"".join(b"250%b%b\r\n" % (b" " if line is lines[-1] else b"-", line[4:]) for line in lines)


def _line(peer: socket.socket) -> bytes:
    found = b""
    while not found.endswith(b"\n"):
        octet = peer.recv(1)
        if not octet:
            return b""
        found += octet
    return found


def _answer(server: socket.socket) -> bytes:
    found = b""
    while True:
        line = _line(server)
        found += line
        if not line or line[3:4] != b"-":
            return found


def _content(peer: socket.socket) -> bytes:
    found = b""
    while not found.endswith(b"\r\n.\r\n"):
        piece = peer.recv(65536)
        if not piece:
            return found
        found += piece
    return found
