"""A real CA that speaks ACME: pebble from Debian, with DNS in which every name is this host, and a door in front of it.

The door is HTTPS and passes everything on, but for what a test has it do otherwise: rate limits, refused nonces, times
for renewals, answers that make no sense, which pebble itself does not have. It counts what is asked.
"""

import http.client
import json
import os
import ssl
import subprocess
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.support.authority import Authority, Issued
from tests.support.ports import free_port
from tests.support.relay import wait_until

WEEK = 7 * 86400
EAB_KEY = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
# Not passed on; with the last one pebble asks for seconds of patience that no test has.
DROPPED = frozenset({"connection", "transfer-encoding", "content-length", "date", "retry-after"})


class Reply(NamedTuple):
    """What the door answers itself."""

    status: int
    body: bytes
    headers: Mapping[str, str]


Change = Reply | Callable[[Reply], Reply]


def problem(status: int, kind: str, detail: str, **headers: str) -> Reply:
    """An error document (RFC 7807)."""
    body = json.dumps({"type": f"urn:ietf:params:acme:error:{kind}", "detail": detail, "status": status})
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, body.encode(), {"Content-Type": "application/problem+json", **named})


class Pebble:
    """The CA; certificates live for `life` seconds. `http_port` and `tls_port` are where it looks at challenges."""

    def __init__(self, folder: Path, *, life: int = WEEK, needs_account: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.http_port, self.tls_port = free_port(), free_port()
        self._port, self._dns, self._management = free_port(), free_port(), free_port()
        self.authority = Authority(folder / "tls", "Directory CA")
        self._own = self.authority.issue("ca", ["127.0.0.1", "localhost"])
        self._life, self._needs_account = life, needs_account
        self._children: list[subprocess.Popen[bytes]] = []
        self.door = Door(self._port, self._own)
        self.directory = f"https://127.0.0.1:{self.door.port}/dir"

    @property
    def ca(self) -> Path:
        """What vouches for the directory."""
        return self.authority.file

    def __enter__(self) -> Self:
        config = {
            "listenAddress": f"127.0.0.1:{self._port}",
            "managementListenAddress": "",
            "certificate": str(self._own.certificate),
            "privateKey": str(self._own.key),
            "httpPort": self.http_port,
            "tlsPort": self.tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": self._needs_account,
            "externalAccountMACKeys": {"kid-1": EAB_KEY} if self._needs_account else {},
            "certificateValidityPeriod": self._life,
        }
        file = self.folder / "pebble.json"
        file.write_text(json.dumps({"pebble": config}))
        names = ["-dns01", f"127.0.0.1:{self._dns}", "-management", f"127.0.0.1:{self._management}"]
        off = ["-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""]
        self._begin("pebble-challtestsrv", *names, *off)
        self._begin("pebble", "-config", str(file), "-dnsserver", f"127.0.0.1:{self._dns}")
        self.door.start()
        wait_until(self._answers, "pebble answers")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.door.stop()
        for child in self._children:
            child.kill()
            child.wait()

    def _begin(self, *command: str) -> None:
        quick = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
        with (self.folder / f"{command[0]}.log").open("ab") as log:
            child = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **quick})
        self._children.append(child)

    def _answers(self) -> bool:
        assert all(child.poll() is None for child in self._children), (self.folder / "pebble.log").read_text()
        try:
            return self.door.pass_on("GET", "/dir", {}, b"").status == 200
        except OSError:
            return False


class Door:
    """In front of the server at `behind`."""

    def __init__(self, behind: int, own: Issued) -> None:
        self.behind = behind
        self.asked: list[str] = []  # paths, in order
        self._instead: list[tuple[str, Change]] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own.certificate, own.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)

    def start(self) -> None:
        """Answer."""
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()

    def once(self, part: str, reply: Reply) -> None:
        """The next request whose path has `part` gets this, and pebble does not see it."""
        self._instead.append((part, reply))

    def change(self, part: str, change: Callable[[Reply], Reply]) -> None:
        """Pebble's answer to the next request whose path has `part` is changed."""
        self._instead.append((part, change))

    def forget(self) -> None:
        """Pass everything on again, and count anew."""
        self._instead.clear()
        self.asked.clear()

    def pass_on(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """What pebble says."""
        link = http.client.HTTPSConnection("127.0.0.1", self.behind, timeout=60, context=self._context)
        try:
            link.request(method, path, body or None, {**headers, "Host": f"127.0.0.1:{self.port}"})
            answer = link.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in DROPPED}
            return Reply(answer.status, answer.read(), kept)
        finally:
            link.close()

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """What whoever asks is told."""
        self.asked.append(path)
        found = next((one for one in self._instead if one[0] in path), None)
        if found is None:
            return self.pass_on(method, path, headers, body)
        self._instead.remove(found)
        return found[1] if isinstance(found[1], Reply) else found[1](self.pass_on(method, path, headers, body))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        door = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                kept = {name: self.headers[name] for name in ("Content-Type", "User-Agent") if name in self.headers}
                reply = door.answer(self.command, self.path, kept, body)
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(reply.body)

            do_GET = do_HEAD = do_POST = _serve  # noqa: N815  names of http.server

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        return Handler
