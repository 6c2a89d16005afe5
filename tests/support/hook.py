"""A receiver of webhooks: a real HTTP server in threads, that can refuse, hang, die and come back on its port.

It checks every signature the way the Standard Webhooks specification says, and keeps the batches it took.
"""

import base64
import contextlib
import hmac
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.support.ports import free_port


class Delivery(NamedTuple):
    """One request that got a 2xx: its id, its body, and the number of the attempt at this id."""

    id: str
    body: dict[str, Any]
    attempt: int


class Hook:
    """The receiver; use as a context manager. `status` is what it answers; `hang` keeps requests unanswered."""

    def __init__(self, key: bytes = b"") -> None:
        self.key = key
        self.port = free_port()
        self.status = 204
        self.headers: dict[str, str] = {}
        self.hang = False
        self.deliveries: list[Delivery] = []
        self.attempts: list[str] = []  # the id of each request, whatever became of it
        self.faults: list[str] = []
        self.unhang = threading.Event()
        self._lock = threading.Lock()
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is None:
            assert self.faults == []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def start(self) -> None:
        """Listen."""
        self._server = _Server(("127.0.0.1", self.port), _Handler)
        self._server.hook = self
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Die: nobody listens, and open connections are of no more use."""
        server, self._server = self._server, None
        if server is not None:
            self.unhang.set()
            server.shutdown()
            server.server_close()
            server.hang_up()
            self.unhang.clear()

    def records(self) -> list[dict[str, Any]]:
        """All records taken, in order, those of a batch that came again left out."""
        seen: set[str] = set()
        found = []
        for delivery in list(self.deliveries):
            if delivery.id not in seen:
                seen.add(delivery.id)
                found += delivery.body["records"]
        return found

    def take(self, headers: dict[str, str], body: bytes) -> int:
        """Judge one request; the status it gets."""
        with self._lock:
            key = headers["webhook-id"]
            self.attempts.append(key)
            self._check(key, headers, body)
            if self.status < 300:
                self.deliveries.append(Delivery(key, json.loads(body), self.attempts.count(key)))
            return self.status

    def _check(self, key: str, headers: dict[str, str], body: bytes) -> None:
        if json.loads(body)["batch"] != key or headers.get("content-type") != "application/json":
            self.faults.append(f"{headers}")
        signed = f"{key}.{headers['webhook-timestamp']}.".encode() + body
        wanted = "v1," + base64.b64encode(hmac.digest(self.key, signed, "sha256")).decode() if self.key else None
        if headers.get("webhook-signature") != wanted:
            self.faults.append(f"signature {headers.get('webhook-signature')}, not {wanted}")


class _Server(ThreadingHTTPServer):
    hook: Hook
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self.open: list[socket.socket] = []

    def get_request(self) -> tuple[socket.socket, Any]:
        peer, address = super().get_request()
        self.open.append(peer)
        return peer, address

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that was cut is no news."""

    def hang_up(self) -> None:
        """Cut every connection."""
        for peer in self.open:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_POST(self) -> None:
        hook = self.server.hook
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if hook.hang:
            hook.attempts.append(self.headers["webhook-id"])
            hook.unhang.wait(60)
            self.close_connection = True
            return
        status = hook.take({name.lower(): value for name, value in self.headers.items()}, body)
        self.send_response(status)
        for name, value in hook.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as the base has it
        """Say nothing."""
