"""MTA-STS with a real web server under TLS: whose page is a policy."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from postroad.house.mtasts import FETCH_SECONDS
from postroad.model.records import Record, TlsPolicyNotFetched
from postroad.net.clock import SystemClock
from postroad.net.http.fetcher import Fetcher
from postroad.routing.mtasts import SIZE_LIMIT
from postroad.routing.stscache import StsPolicies
from postroad.store.stspolicies import StsStore
from tests.support.authority import Authority
from tests.support.dns import FakeLookup

PATH: Final = "/.well-known/mta-sts.txt"
POLICY: Final = b"version: STSv1\r\nmode: enforce\r\nmx: mx.good.example\r\nmax_age: 86400\r\n"
NAMES: Final = ("good", "plain", "html", "moved", "missing", "huge")


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = self.headers["Host"].split(":")[0].removeprefix("mta-sts.").removesuffix(".example")
        status = {"moved": 302, "missing": 404}.get(name, 200)
        body = POLICY + b"x: y\r\n" * (SIZE_LIMIT if name == "huge" else 0)
        self.send_response(status if self.path == PATH else 410)
        self.send_header("Content-Type", "text/html" if name == "html" else "text/plain")
        self.send_header("Location", f"https://mta-sts.good.example:1{PATH}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is told."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that refuse our certificate are none of its business."""


class Web(NamedTuple):
    """The server's port, the file of its authority, and the names that clients asked for by SNI."""

    port: int
    authority: Path
    asked: list[str]


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("web")
    authority = Authority(folder)
    right = authority.issue("right", [f"mta-sts.{name}.example" for name in NAMES])
    wrong = authority.issue("wrong", ["www.wrong.example"])
    old = authority.issue("old", ["mta-sts.old.example"], life=timedelta(minutes=-30))
    strange = Authority(folder / "strange", "Stranger").issue("strange", ["mta-sts.strange.example"])
    asked: list[str] = []
    contexts = {}
    for name, issued in (("right", right), ("wrong", wrong), ("old", old), ("strange", strange)):
        contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        contexts[name].load_cert_chain(issued.certificate, issued.key)

    def choose(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        asked.append(name or "")
        connection.context = contexts.get((name or "").split(".")[1], contexts["right"])

    contexts["right"].sni_callback = choose
    server = _Server(("127.0.0.1", 0), _Handler)
    server.socket = contexts["right"].wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield Web(server.server_address[1], authority.file, asked)
    server.shutdown()
    server.server_close()


def lookup_of(*names: str) -> FakeLookup:
    records: dict[tuple[str, str], list[str]] = {}
    for name in names:
        records[f"_mta-sts.{name}.example", "TXT"] = ["v=STSv1; id=1"]
        records[f"mta-sts.{name}.example", "A"] = ["127.0.0.1"]
    return FakeLookup(records)


def test_whose_page_is_a_policy(web: Web, tmp_path: Path) -> None:
    names = (*NAMES, "wrong", "old", "strange", "nowhere")
    told: list[Record] = []

    async def ask() -> dict[str, str]:
        lookup = lookup_of(*names)
        del lookup.records["mta-sts.nowhere.example", "A"]
        fetcher = Fetcher(timeout=FETCH_SECONDS, agent="test", limit=SIZE_LIMIT, ca=str(web.authority), lookup=lookup)
        faults: dict[str, str] = {}
        store = StsStore(tmp_path / "mta-sts.db")
        policies = StsPolicies(
            lookup,
            fetcher.get,
            store,
            clock=SystemClock(),
            emit=told.append,
            observe=lambda outcome: faults.__setitem__(outcome.domain.split(".")[0], outcome.result),
            port=web.port,
            first_wait=FETCH_SECONDS,
        )
        found = await asyncio.gather(*(policies.of(f"{name}.example") for name in names))
        await policies.close()
        await fetcher.close()
        store.close()
        modes = {name: kept.policy.mode for name, kept in zip(names, found, strict=True) if kept is not None}
        return {**faults, **modes}

    assert asyncio.run(ask()) == {
        "good": "enforce",
        "plain": "enforce",
        "html": "sts-policy-invalid",
        "moved": "sts-policy-fetch-error",
        "missing": "sts-policy-fetch-error",
        "huge": "sts-policy-fetch-error",
        "wrong": "sts-webpki-invalid",
        "old": "sts-webpki-invalid",
        "strange": "sts-webpki-invalid",
        "nowhere": "sts-policy-fetch-error",
    }
    words = {one.domain.split(".")[0]: one.reason for one in told if isinstance(one, TlsPolicyNotFetched)}
    begin = "the policy cannot be fetched: "
    assert words["moved"] == f"{begin}HTTP 302 Found"
    assert words["old"] == f"{begin}the certificate of mta-sts.old.example is not accepted: certificate has expired"
    assert "'mta-sts.wrong.example'" in words["wrong"]
    assert words["nowhere"].startswith(f"{begin}cannot connect to mta-sts.nowhere.example:{web.port}: ")
    assert not any(odd in text for text in words.values() for odd in ("ssl:", "[", "_ssl.c", "Errno"))
    assert set(web.asked) == {f"mta-sts.{name}.example" for name in names if name != "nowhere"}


async def test_a_web_server_that_hangs_up_leaves_nothing_that_cannot_be_closed(tmp_path: Path) -> None:
    """An answer without a length ends with the connection; asyncio of Python 3.11 cannot cut that off any more."""
    authority = Authority(tmp_path)
    issued = authority.issue("localhost", ["localhost"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 404 Not Found\r\nContent-Type: text/plain\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        fetcher = Fetcher(timeout=FETCH_SECONDS, agent="test", limit=SIZE_LIMIT, ca=str(authority.file))
        assert (await fetcher.get(f"https://localhost:{server.sockets[0].getsockname()[1]}/")).status == 404
        await fetcher.close()
