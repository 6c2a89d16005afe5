"""Streams against real sockets, on both event loops: TCP, IPv6, unix sockets, TLS, time-outs and bounds."""

import asyncio
import socket
import ssl
import subprocess
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest
import uvloop

from postroad.model.errors import EgressError, PeerError
from postroad.net.stream import READ_LIMIT, Stream, open_stream
from postroad.net.tls.contexts import describe, opportunistic_context

Run = Callable[[Coroutine[None, None, None]], None]
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        yield runner.run


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    options = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=mx.example.com"]
    command = ["openssl", "req", "-x509", *options, "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


class Peer:
    """A server on loopback whose connections are served by `handler`; closed with the context."""

    def __init__(self, handler: Handler, *, host: str = "127.0.0.1", path: str = "") -> None:
        self._handler, self._host, self._path = handler, host, path
        self.port = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._handler(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    async def __aenter__(self) -> Self:
        if self._path:
            self._server = await asyncio.start_unix_server(self._serve, self._path)
        else:
            self._server = await asyncio.start_server(self._serve, self._host, 0)
            self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def finish(stream: Stream) -> None:
    stream.close()
    await stream.wait_closed()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_reads_what_arrived_and_names_both_ends(run: Run, host: str) -> None:
    async def scene() -> None:
        async with Peer(echo, host=host) as peer:
            stream = await open_stream(host, peer.port, timeout=5)
            assert stream.is_open
            stream.write(b"one")
            assert await stream.read(5) == b"one"
            stream.write(b"two")
            await stream.drain(5)
            assert await stream.read(float("inf")) == b"two"
            shown = f"[{host}]" if ":" in host else host
            assert stream.peer == f"{shown}:{peer.port}"
            assert stream.local.startswith(f"{shown}:")
            assert stream.tls == ""
            await finish(stream)
            assert not stream.is_open

    run(scene())


def test_unix_socket(run: Run, tmp_path: Path) -> None:
    async def scene() -> None:
        path = str(tmp_path / "lmtp.sock")
        async with Peer(echo, path=path):
            stream = await open_stream(path, 0, timeout=5)
            stream.write(b"LHLO")
            assert await stream.read(5) == b"LHLO"
            assert stream.peer == path
            await finish(stream)
        with pytest.raises(PeerError, match="no such socket"):
            await open_stream(str(tmp_path / "none.sock"), 0, timeout=5)

    run(scene())


def test_source_address_and_no_delay(run: Run) -> None:
    async def scene() -> None:
        async with Peer(echo) as peer:
            stream = await open_stream("127.0.0.1", peer.port, source="127.0.0.9", timeout=5)
            assert stream.local.startswith("127.0.0.9:")
            sock = stream._transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
            await finish(stream)
            with pytest.raises(EgressError, match="192.0.2.77 is not on this host"):
                await open_stream("127.0.0.1", peer.port, source="192.0.2.77", timeout=5)

    run(scene())


def test_refused(run: Run) -> None:
    async def scene() -> None:
        async with Peer(echo) as peer:
            port = peer.port
        with pytest.raises(PeerError, match="^connection refused$"):
            await open_stream("127.0.0.1", port, timeout=5)

    run(scene())


def test_connecting_times_out(run: Run) -> None:
    async def scene() -> None:
        # A full backlog: the kernel drops further SYNs, as a firewall would.
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            endpoint = listener.getsockname()
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(endpoint)
            with pytest.raises(PeerError, match=r"^connection timed out after 0\.2s$"):
                await open_stream(*endpoint, timeout=0.2)
            for filler in fillers:
                filler.close()

    run(scene())


def test_reading_times_out_and_the_stream_stays_usable(run: Run) -> None:
    async def scene() -> None:
        async with Peer(echo) as peer:
            stream = await open_stream("127.0.0.1", peer.port, timeout=5)
            stream.write(b"a")
            assert await stream.read(60) == b"a"  # leaves a timer of a minute armed
            with pytest.raises(PeerError, match=r"^timed out after 0\.05s$"):
                await stream.read(0.05)
            stream.write(b"b")
            assert await stream.read(5) == b"b"
            stream.write(b"c")
            assert await stream.read(0.5) == b"c"
            with pytest.raises(PeerError, match=r"^timed out after 0\.9s$"):
                await stream.read(0.9)  # the armed timer fires first and looks at the deadline again
            await finish(stream)

    run(scene())


def test_what_came_before_the_end_is_read_first(run: Run) -> None:
    async def say_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"421 bye\r\n")

    async def scene() -> None:
        async with Peer(say_and_close) as peer:
            stream = await open_stream("127.0.0.1", peer.port, timeout=5)
            await stream.wait_closed()
            stream.write(b"EHLO relay.example.com\r\n")
            with pytest.raises(PeerError, match="closed|reset"):
                await stream.drain(5)
            assert await stream.read(5) == b"421 bye\r\n"
            assert await stream.read(5) == b""
            assert await stream.read(5) == b""
            assert not stream.is_open

    run(scene())


def test_reset_is_told_to_a_waiting_reader(run: Run) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    async def scene() -> None:
        async with Peer(reset) as peer:
            stream = await open_stream("127.0.0.1", peer.port, timeout=5)
            stream.write(b"x")
            with pytest.raises(PeerError, match="^connection reset by peer$"):
                await stream.read(5)
            with pytest.raises(PeerError, match="^connection reset by peer$"):
                await stream.read(5)

    run(scene())


def test_a_flood_is_bounded_and_all_of_it_arrives(run: Run) -> None:
    size = 8 * 1024 * 1024

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(size))
        await writer.drain()

    async def scene() -> None:
        async with Peer(flood) as peer:
            stream = await open_stream("127.0.0.1", peer.port, timeout=5)
            while not stream._is_reading_paused:
                await asyncio.sleep(0)
            total, largest = 0, 0
            while data := await stream.read(5):
                total += len(data)
                largest = max(largest, len(data))
            assert total == size
            assert largest <= READ_LIMIT + 512 * 1024  # one transport read beyond the limit
            await finish(stream)

    run(scene())


def test_sending_waits_for_room_and_times_out(run: Run) -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await released.wait()

    released = asyncio.Event()

    async def scene() -> None:
        async with Peer(deaf) as peer:
            stream = await open_stream("127.0.0.1", peer.port, timeout=5)
            stream.write(bytes(32 * 1024 * 1024))
            with pytest.raises(PeerError, match=r"^timed out after 0\.1s while sending$"):
                await stream.drain(0.1)
            stream.abort()
            await stream.wait_closed()
            with pytest.raises(PeerError, match="closed"):
                await stream.drain(0.1)
            stream.write(b"nobody hears this")
            released.set()

    run(scene())


def test_drain_goes_on_when_the_peer_reads(run: Run) -> None:
    async def scene() -> None:
        async with Peer(echo) as peer:
            stream = await open_stream("127.0.0.1", peer.port, timeout=5)

            async def count() -> int:
                total = 0
                while total < 16 * 1024 * 1024:
                    total += len(await stream.read(5))
                return total

            counting = asyncio.ensure_future(count())
            for _ in range(256):
                stream.write(bytes(65536))
                await stream.drain(5)
            assert await counting == 16 * 1024 * 1024
            await finish(stream)

    run(scene())


def test_start_tls(run: Run, certificate: tuple[Path, Path]) -> None:
    async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.read(100) == b"STARTTLS\r\n"
        writer.write(b"220 go\r\n")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        await writer.start_tls(context)
        await echo(reader, writer)

    async def scene() -> None:
        async with Peer(upgrade) as peer:
            stream = await open_stream("127.0.0.1", peer.port, timeout=5)
            stream.write(b"STARTTLS\r\n")
            assert await stream.read(5) == b"220 go\r\n"
            await stream.start_tls(opportunistic_context(), "mx.example.com", 5)
            assert stream.tls.startswith("TLSv1.3 with cipher TLS_")
            stream.write(b"EHLO")
            assert await stream.read(5) == b"EHLO"
            stream.write(bytes(1_000_000))
            total = 0
            while total < 1_000_000:
                total += len(await stream.read(5))
            with pytest.raises(PeerError, match="timed out"):
                await stream.read(0.05)
            assert stream.is_open
            await finish(stream)

    run(scene())


def test_failed_handshakes_have_words(run: Run) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"454 4.7.0 TLS not available\r\n")

    async def vanish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass

    async def scene() -> None:
        expected = [(refuse, "TLS failed"), (vanish, "TLS|closed|reset"), (silent, r"timed out after 0\.2s$")]
        for handler, words in expected:
            async with Peer(handler) as peer:
                stream = await open_stream("127.0.0.1", peer.port, timeout=5)
                with pytest.raises(PeerError, match=words):
                    await stream.start_tls(opportunistic_context(), None, 0.2 if handler is silent else 5)
                assert not stream.is_open
                with pytest.raises(PeerError):
                    await stream.read(1)
                await stream.wait_closed()

    run(scene())


def test_octets_before_tls_are_never_taken_as_said_under_tls(run: Run) -> None:
    async def inject(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 go\r\n")
        await reader.read(1)
        writer.write(b"250 injected\r\n")
        await reader.read(1)

    async def scene() -> None:
        async with Peer(inject) as peer:
            stream = await open_stream("127.0.0.1", peer.port, timeout=5)
            assert await stream.read(5) == b"220 go\r\n"
            stream.write(b"x")
            while stream.is_open:
                await asyncio.sleep(0)
            with pytest.raises(PeerError, match="more than its reply"):
                await stream.start_tls(opportunistic_context(), None, 5)
            assert not stream.is_open

    run(scene())


def test_describe_without_tls() -> None:
    assert describe(None) == ""
