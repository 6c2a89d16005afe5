"""TLS of live listeners over real sockets, on both event loops: how it begins, how it fails, what is left behind."""

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Iterator
from typing import NamedTuple

import pytest
import uvloop
from msgspec.structs import replace

from postroad.listener.handshakes import Handshakes, Tls
from postroad.listener.server import Listeners
from postroad.listener.settings import ListenerSettings
from postroad.model.records import CommandRefused, ConnectionClosed, ConnectionSecured, HandshakeFailed, Record
from postroad.net.tls.certificates import Certificates, Plan
from postroad.net.tls.exporter import Exporter
from postroad.net.tls.keyfiles import KeyFiles, KeyStore
from postroad.net.tls.server import Security
from tests.support.authority import Authority
from tests.support.conversation import NOW, Desk

Run = Callable[[Coroutine[None, None, None]], None]
SETTINGS = {"mx": ListenerSettings(bind=("127.0.0.1:0",))}


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        yield runner.run


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


class Door(NamedTuple):
    """A listener under TLS, and how to look at what it did."""

    listeners: Listeners
    port: int
    records: list[Record]
    handshakes: Handshakes

    async def told(self, kind: type[Record], count: int = 1) -> list[Record]:
        """Those records, once there are so many."""
        async with asyncio.timeout(60):
            while len(found := [one for one in self.records if type(one) is kind]) < count:
                await asyncio.sleep(0.005)
        return found

    async def connect(self, context: ssl.SSLContext | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        name = None if context is None else "relay.example.com"
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=context, server_hostname=name)


async def door_of(authority: Authority, *, timeout: float = 60, most: int = 10, implicit: bool = True) -> Door:
    own = authority.issue("own", ["relay.example.com"])
    plan = Plan(Security(), ((KeyFiles(own.certificate, own.key), ()),))
    certificates = Certificates({"mx": plan}, KeyStore())
    desk = Desk(at_turn_end=asyncio.get_running_loop().call_soon)
    handshakes = Handshakes(most, lambda: desk.time)
    tls = Tls(
        context=certificates.contexts("mx"),
        handshakes=handshakes,
        exporter=Exporter(),
        timeout=timeout,
        is_implicit=implicit,
    )
    listeners = Listeners(
        welcome=replace(desk.welcome(), tls={"mx": tls}),
        emit=desk.records.append,
        now=lambda: NOW,
        monotonic=lambda: desk.time,
        at_turn_end=desk.at_turn_end,
        start=1,
    )
    (shown,) = await listeners.bind(SETTINGS)
    await listeners.start()
    return Door(listeners, int(shown.rpartition(":")[2]), desk.records, handshakes)


def test_many_begin_at_once(run: Run, authority: Authority) -> None:
    """Also when their first octets are there before anybody could wait for them."""

    async def main() -> None:
        door = await door_of(authority, most=100)
        context = ssl.create_default_context(cafile=authority.file)

        async def client() -> None:
            reader, writer = await door.connect(context)
            assert (await reader.readline()).startswith(b"220 ")
            writer.write(b"EHLO c\r\nQUIT\r\n")
            assert b"\r\n221 2.0.0 Bye\r\n" in await reader.read()
            writer.close()
            await writer.wait_closed()

        async with asyncio.timeout(15):
            await asyncio.gather(*(client() for _ in range(40)))
        assert len(await door.told(ConnectionSecured, 40)) == 40
        await door.told(ConnectionClosed, 40)
        assert len(door.handshakes) == 0
        assert len(door.listeners) == 0
        await door.listeners.drain(1)

    run(main())


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", "the client closed the connection"),
        (b"EHLO c\r\n", "what the client sent is not TLS"),
        (b"GET / HTTP/1.1\r\n\r\n", "the client spoke HTTP"),
        (b"\x16\x03\x01\x02\x00\x01", "the client closed the connection"),
    ],
)
def test_what_is_no_handshake_is_told_in_words(run: Run, authority: Authority, octets: bytes, reason: str) -> None:
    async def main() -> None:
        door = await door_of(authority)
        reader, writer = await door.connect()
        writer.write(octets)
        await writer.drain()
        if reason.endswith("closed the connection"):
            writer.close()
        async with asyncio.timeout(60):
            assert b"220" not in await reader.read()
        (failed,) = await door.told(HandshakeFailed)
        assert isinstance(failed, HandshakeFailed)
        assert failed.reason.startswith(reason)
        (closed,) = await door.told(ConnectionClosed)
        assert isinstance(closed, ConnectionClosed)
        assert closed.reason == f"TLS handshake failed: {failed.reason}"
        assert len(door.handshakes) == len(door.listeners) == 0
        writer.close()
        await door.listeners.drain(1)
        assert len(await door.told(ConnectionClosed)) == 1  # once, however often the event loop tells

    run(main())


def test_time_and_places_are_bounded(run: Run, authority: Authority) -> None:
    async def main() -> None:
        door = await door_of(authority, timeout=0.2, most=1)
        first, one = await door.connect()
        async with asyncio.timeout(60):
            while not len(door.handshakes):
                await asyncio.sleep(0.005)
            second, other = await door.connect()
            assert await second.read() == b""
            assert await first.read() == b""
        (failed,) = await door.told(HandshakeFailed)
        assert isinstance(failed, HandshakeFailed)
        assert failed.reason == "not done within 0.2s"
        (refused,) = await door.told(CommandRefused)
        assert isinstance(refused, CommandRefused)
        assert (refused.stage, refused.detail, refused.reply.code) == ("connect", "tls.handshakes", 454)
        await door.told(ConnectionClosed, 2)
        one.close()
        other.close()
        await door.listeners.drain(1)

    run(main())


def test_starttls_is_told_to_come_back_when_all_places_are_taken(run: Run, authority: Authority) -> None:
    async def main() -> None:
        door = await door_of(authority, most=1, implicit=False)
        talks = [await door.connect() for _ in range(2)]
        answers = []
        async with asyncio.timeout(60):
            for reader, writer in talks:
                await reader.readline()
                writer.write(b"EHLO c\r\n")
                while not (await reader.readline()).startswith(b"250 "):
                    pass
                writer.write(b"STARTTLS\r\n")
                answers.append(await reader.readline())
            assert answers[0].startswith(b"220 2.0.0")
            assert answers[1].startswith(b"454 4.7.0 TLS not available now")
            talks[1][1].write(b"QUIT\r\n")
            assert (await talks[1][0].readline()).startswith(b"221")  # its session goes on
        await door.listeners.drain(1)
        (failed,) = await door.told(HandshakeFailed)
        assert isinstance(failed, HandshakeFailed)
        assert failed.reason == "the server shuts down"
        for _, writer in talks:
            writer.close()

    run(main())
