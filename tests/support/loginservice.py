"""A service that is asked by HTTP, or HTTPS, whether passwords are right: a real server in threads.

`LoginService(accounts, secret)` knows these logins and passwords; `answer` is what it says instead when set, and while
`hang` is cleared it says nothing.
"""

import json
import ssl
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

Answered = tuple[int, object]


class LoginService:
    """The service; use as a context manager. `folder` has its certificate (server.pem, server.key)."""

    def __init__(self, accounts: Mapping[str, str], secret: str, folder: Path | None = None) -> None:
        self.accounts = accounts
        self.secret = secret
        self.requests: list[dict[str, Any]] = []
        self.faults: list[str] = []
        self.answer: Answered | None = None
        self.hang = threading.Event()
        self.hang.set()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.service = self
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/check?x=1"
        if folder is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(folder / "server.pem", folder / "server.key")
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hang.set()
        self._server.shutdown()
        self._server.server_close()
        assert self.faults == []

    def judge(self, body: dict[str, Any]) -> Answered:
        """Yes with who it is, no, or not known here."""
        login = body["login"]
        if login not in self.accounts:
            return 401, {"known": False}
        if body["secret"] != self.accounts[login]:
            return 401, {"reason": "wrong password"}
        return 200, {
            "login": f"{login}@example.com",
            "addresses": [f"{login}@example.com", f"@{login}.example.com"],
            "groups": ["staff"],
            "scopes": ["submission"],
            "more": 1,
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    service: LoginService

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that refuse our certificate are none of its business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        service = self.server.service
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        service.requests.append(body)
        if self.headers["Authorization"] != (f"Bearer {service.secret}" if service.secret else None):
            service.faults.append(f"Authorization: {self.headers['Authorization']}")
        service.hang.wait(60)
        status, said = service.answer or service.judge(body)
        text = said if isinstance(said, bytes) else json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: object) -> None:
        """Nothing."""
