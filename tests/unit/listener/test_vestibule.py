"""The PROXY protocol over sockets: the client behind it is the peer, and nobody else is listened to."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from postroad.listener.server import Listeners
from postroad.listener.settings import LimitsSettings, ListenerSettings
from postroad.listener.vestibule import HEADER_SECONDS, Caller, Vestibule
from postroad.model.records import ConnectionClosed, ConnectionOpened, ProxyRefused
from postroad.net.proxyproto import SIGNATURE, encode_header
from tests.support.clock import ManualClock
from tests.support.conversation import Desk, MemoryTransport

BEHIND = ListenerSettings.model_validate(
    {
        "bind": ["127.0.0.1:0"],
        "proxy_protocol": True,
        "proxies": ["127.0.0.1/32", "192.0.2.99/32"],
        "xclient": ["127.0.0.1/32"],
    }
)
MAIL = b"HELO me\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nQUIT\r\n"


class World:
    """Listeners behind a proxy that is us."""

    def __init__(self) -> None:
        self.desk = Desk(relay_networks=["10.0.0.0/8", "127.0.0.1/32"], limits=LimitsSettings(sessions_per_network=2))
        self.listeners: Listeners = self.desk.listeners()
        self.port = 0

    async def open(self) -> None:
        bound = await self.listeners.bind({"behind": BEHIND})
        await self.listeners.start()
        self.port = int(bound[0].rpartition(":")[2])

    async def connect(self, source: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))

    async def say(self, octets: bytes, source: str = "127.0.0.1") -> str:
        """What is answered to `octets` in all."""
        reader, writer = await self.connect(source)
        writer.write(octets)
        async with asyncio.timeout(30):
            try:
                return (await reader.read()).decode()
            except ConnectionResetError:
                return ""
            finally:
                writer.close()

    def told(self) -> list[str]:
        return [record.reason for record in self.desk.records if isinstance(record, ProxyRefused)]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    await world.open()
    yield world
    await world.listeners.drain(5)


V1 = b"PROXY TCP4 10.1.2.3 127.0.0.1 4711 25\r\n"
V2 = encode_header("10.1.2.3", 4711, "127.0.0.1", 25)


@pytest.mark.parametrize("header", [V1, V2])
async def test_the_client_behind_is_the_peer(world: World, header: bytes) -> None:
    said = await world.say(header + MAIL)
    assert said.endswith("250 2.1.5 Ok\r\n221 2.0.0 Bye\r\n")
    opened, closed = (
        next(record for record in world.desk.records if isinstance(record, kind))
        for kind in (ConnectionOpened, ConnectionClosed)
    )
    assert (opened.ip, opened.port, closed.ip) == ("10.1.2.3", 4711, "10.1.2.3")


async def test_a_stranger_behind_may_not_relay_though_the_proxy_may(world: World) -> None:
    assert "554 5.7.1" in await world.say(encode_header("192.0.2.1", 4711, "127.0.0.1", 25) + MAIL)
    assert "554 5.7.1" in await world.say(b"PROXY UNKNOWN\r\n" + MAIL)
    assert "554 5.7.1" not in await world.say(SIGNATURE + b"\x20\0\0\0" + MAIL)  # the proxy speaks for itself


async def test_xclient_is_for_who_is_known_to_be_trusted(world: World) -> None:
    """The proxy itself may use it; a client that it cannot name may not, though its address is the proxy's."""
    named = b"XCLIENT ADDR=10.9.9.9\r\nQUIT\r\n"
    assert "500 5.5.2" in await world.say(b"PROXY UNKNOWN\r\n" + named)
    assert "500 5.5.2" in await world.say(V1 + named)
    assert "500 5.5.2" not in await world.say(SIGNATURE + b"\x20\0\0\0" + named)


async def test_nobody_else_is_believed(world: World) -> None:
    assert await world.say(V1 + MAIL, source="127.0.0.2") == ""
    assert world.told() == ["the address is in no network of proxies"]
    assert not any(isinstance(record, ConnectionOpened) for record in world.desk.records)


async def test_what_is_no_header_is_cut(world: World) -> None:
    assert await world.say(MAIL) == ""
    assert await world.say(b"\x16\x03\x01\x02\0\x01") == ""
    reader, writer = await world.connect()
    writer.write(V1[:20])
    writer.write_eof()
    with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
        await reader.readexactly(1)
    writer.close()
    reader, writer = await world.connect()  # a proxy that only looks whether we are here
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()
    assert [reason[:15] for reason in world.told()] == ["no PROXY header", "no PROXY header", "the connection "]


async def test_limits_are_those_of_the_client(world: World) -> None:
    open_ones = []
    for host in (1, 2):
        reader, writer = await world.connect()
        writer.write(encode_header(f"203.0.113.{host}", 4711, "127.0.0.1", 25))
        assert (await reader.readline()).startswith(b"220 ")
        open_ones.append(writer)
    third = encode_header("203.0.113.3", 4711, "127.0.0.1", 25)
    assert (await world.say(third)).startswith("421 4.7.0 Too many connections from your network")
    assert (await world.say(encode_header("203.0.114.3", 4711, "127.0.0.1", 25) + b"QUIT\r\n")).startswith("220 ")
    for writer in open_ones:
        writer.close()


def test_a_header_has_its_time() -> None:
    """One that comes octet by octet is as good as any other, until its time is over."""
    desk, clock, begun = Desk(), ManualClock(), list[Caller]()
    conversation, _ = desk.connect()
    terms = replace(conversation.terms, call_later=clock.call_later)

    def begin(caller: Caller) -> asyncio.Protocol:
        begun.append(caller)
        return asyncio.Protocol()

    for octets in (V1, V1[:-1]):
        transport = MemoryTransport("192.0.2.99")
        vestibule = Vestibule(terms, lambda _ip: True, begin)
        vestibule.connection_made(transport)
        for octet in octets:
            vestibule.data_received(bytes((octet,)))
        clock.advance(HEADER_SECONDS + 1)
        assert transport.closed is (octets != V1)
    assert begun == [Caller("10.1.2.3", 4711)]
    assert [record.reason for record in desk.records if isinstance(record, ProxyRefused)] == [
        "no PROXY header within 10 s"
    ]
