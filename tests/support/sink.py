"""A next hop that keeps every octet: a small SMTP server in threads, on one loopback port.

It knows DATA with dots, pipelining and the extensions it is given to announce; nothing is parsed beyond
that, so that a test sees the very commands and content that were sent. Replies can be set per recipient.
"""

import socketserver
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Self

EXTENSIONS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN", "SIZE 0")


class Mail(NamedTuple):
    """One message taken: the arguments of MAIL and RCPT as sent, and the content without dot stuffing."""

    sender: str
    recipients: list[str]
    content: bytes


class Sink:
    """The server; use as a context manager. `refuse` maps a recipient's address to the reply that RCPT gets.

    Without a `port`, a free one.
    """

    def __init__(
        self, extensions: Sequence[str] = EXTENSIONS, refuse: Mapping[str, str] | None = None, *, port: int = 0
    ) -> None:
        self.extensions = tuple(extensions)
        self.refuse = dict(refuse or {})
        self.lock = threading.Lock()
        self._mails: list[Mail] = []
        self._server = _Server(("127.0.0.1", port), _Session, self)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    @property
    def mails(self) -> list[Mail]:
        """Everything taken so far, in order."""
        with self.lock:
            return list(self._mails)

    def keep(self, mail: Mail) -> int:
        """Take one message; how many there are now."""
        with self.lock:
            self._mails.append(mail)
            return len(self._mails)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], handler: type[socketserver.BaseRequestHandler], sink: Sink) -> None:
        self.sink = sink
        super().__init__(address, handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is no news."""


class _Session(socketserver.StreamRequestHandler):
    server: _Server
    disable_nagle_algorithm = True
    wbufsize = 0

    def handle(self) -> None:
        sink = self.server.sink
        sender, recipients = "", list[str]()
        self._say("220 sink.example.net ESMTP")
        while line := self.rfile.readline():
            command = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
            verb = command[:4].upper()
            if verb == "EHLO":
                lines = ("sink.example.net", *sink.extensions)
                self.wfile.write("".join(f"250-{text}\r\n" for text in lines[:-1]).encode())
                self._say(f"250 {lines[-1]}")
            elif verb == "MAIL":
                sender, recipients = command[10:], []
                self._say("250 2.1.0 Ok")
            elif verb == "RCPT":
                address = command[command.find("<") + 1 : command.find(">")]
                reply = sink.refuse.get(address, "250 2.1.5 Ok")
                if reply.startswith("2"):
                    recipients.append(command[8:])
                self._say(reply)
            elif verb == "DATA" and not recipients:
                self._say("554 5.5.1 No valid recipients")
            elif verb == "DATA":
                self._say("354 Go on")
                number = sink.keep(Mail(sender, recipients, self._content()))
                self._say(f"250 2.0.0 Ok: queued as {number}")
            elif verb == "QUIT":
                self._say("221 2.0.0 Bye")
                return
            else:
                self._say("250 2.0.0 Ok")

    def _content(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            if not line:
                raise ConnectionError("the client left inside DATA")
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(lines)

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode("utf-8", "surrogateescape"))
