"""Listeners: limits on sessions, time-outs, pre-greeting talkers, drain; over real sockets."""

import asyncio

import pytest

from postroad.listener.settings import LimitsSettings, ListenerSettings
from postroad.model.errors import ConfigError
from postroad.net.process.inherited import Inherited
from tests.support.conversation import Desk

LOCAL = ListenerSettings(bind=("127.0.0.1:0",))


class Client:
    """A raw client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int) -> "Client":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def line(self) -> bytes:
        async with asyncio.timeout(10):
            return await self.reader.readline()

    async def rest(self) -> bytes:
        async with asyncio.timeout(10):
            return await self.reader.read()

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


def port_of(bound: list[str]) -> int:
    return int(bound[0].rpartition(":")[2])


async def test_sessions_per_address_are_limited() -> None:
    desk = Desk(limits=LimitsSettings(sessions_per_ip=2))
    listeners = desk.listeners()
    port = port_of(await listeners.bind({"a": LOCAL}))
    await listeners.start()
    clients = [await Client.connect(port) for _ in range(2)]
    assert [(await client.line())[:3] for client in clients] == [b"220", b"220"]
    third = await Client.connect(port)
    assert await third.rest() == b"421 4.7.0 Too many connections from your address, try again later\r\n"
    await clients[0].close()
    while len(listeners) > 1:  # the server notices in its own time
        await asyncio.sleep(0)
    fourth = await Client.connect(port)
    assert (await fourth.line())[:3] == b"220"
    for client in (clients[1], third, fourth):
        await client.close()
    await listeners.drain(5)


async def test_sessions_in_all_are_limited() -> None:
    desk = Desk(limits=LimitsSettings(sessions=1))
    listeners = desk.listeners()
    port = port_of(await listeners.bind({"a": LOCAL}))
    await listeners.start()
    first = await Client.connect(port)
    assert (await first.line())[:3] == b"220"
    second = await Client.connect(port)
    assert (await second.rest())[:9] == b"421 4.3.2"
    await first.close()
    await second.close()
    await listeners.drain(5)


async def test_a_stranger_who_talks_before_the_greeting_is_refused() -> None:
    desk = Desk(relay_networks=())
    listeners = desk.listeners()
    port = port_of(await listeners.bind({"a": ListenerSettings(bind=("127.0.0.1:0",), greeting_delay=30.0)}))
    await listeners.start()
    client = await Client.connect(port)
    client.writer.write(b"EHLO early\r\n")
    assert (await client.rest())[:9] == b"554 5.5.1"
    await client.close()
    await listeners.drain(5)
    assert [(one.kind, one.ip, one.listener) for one in desk.conduct] == [("talked_first", "127.0.0.1", "a")]


async def test_a_stranger_who_waits_for_the_greeting_gets_it() -> None:
    listeners = Desk(relay_networks=()).listeners()
    port = port_of(await listeners.bind({"a": ListenerSettings(bind=("127.0.0.1:0",), greeting_delay=0.01)}))
    await listeners.start()
    client = await Client.connect(port)
    assert (await client.line())[:3] == b"220"
    await client.close()
    await listeners.drain(5)


@pytest.mark.parametrize(("relay", "exempt"), [(["127.0.0.0/8"], []), ([], ["192.0.2.0/24", "127.0.0.1/32"])])
async def test_relay_networks_and_who_is_exempt_get_the_greeting_at_once(relay: list[str], exempt: list[str]) -> None:
    listeners = Desk(relay_networks=relay).listeners()
    settings = ListenerSettings.model_validate(
        {"bind": ["127.0.0.1:0"], "greeting_delay": "1m", "greeting_exempt": exempt}
    )
    port = port_of(await listeners.bind({"a": settings}))
    await listeners.start()
    client = await Client.connect(port)
    assert (await client.line())[:3] == b"220"  # well before a minute has passed
    await client.close()
    await listeners.drain(5)


async def test_idle_sessions_are_told_and_closed() -> None:
    desk = Desk()
    listeners = desk.listeners()
    port = port_of(await listeners.bind({"a": LOCAL}))
    await listeners.start()
    client = await Client.connect(port)
    assert (await client.line())[:3] == b"220"
    desk.time += desk.limits.command_timeout
    listeners.sweep()
    desk.time += 2
    listeners.sweep()
    assert await client.rest() == b"421 4.4.2 Timeout, closing connection\r\n"
    await client.close()
    await listeners.drain(5)


async def test_a_drip_of_commands_ends_at_the_phase_limit() -> None:
    desk = Desk()
    listeners = desk.listeners()
    port = port_of(await listeners.bind({"a": LOCAL}))
    await listeners.start()
    client = await Client.connect(port)
    assert (await client.line())[:3] == b"220"
    for _ in range(20):
        desk.time += desk.limits.transaction_time / 19.5
        client.writer.write(b"NOOP\r\n")
        answer = await client.line()
        listeners.sweep()
    assert answer[:3] == b"250"
    assert (await client.rest())[:9] == b"421 4.4.2"
    await client.close()
    await listeners.drain(5)


async def test_drain_cuts_what_does_not_end() -> None:
    listeners = Desk().listeners()
    port = port_of(await listeners.bind({"a": LOCAL}))
    await listeners.start()
    client = await Client.connect(port)
    client.writer.write(b"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nhalf")
    for _ in range(5):
        await client.line()
    await listeners.drain(0.01)
    assert len(listeners) == 0
    with pytest.raises(ConnectionRefusedError):
        await Client.connect(port)
    await client.close()


async def test_an_address_in_use_is_named() -> None:
    listeners = Desk().listeners()
    port = port_of(await listeners.bind({"a": LOCAL}))
    await listeners.start()
    other = Desk().listeners()
    with pytest.raises(ConfigError, match=r"listeners\.b\.bind: cannot listen on 127\.0\.0\.1"):
        await other.bind({"b": ListenerSettings(bind=(f"127.0.0.1:{port}",))})
    await listeners.drain(5)


async def test_listening_sockets_are_handed_over_and_who_speaks_is_told_to_come_back() -> None:
    desk = Desk()
    old = desk.listeners()
    port = port_of(await old.bind({"a": LOCAL}))
    await old.start()
    idle, active, busy = [await Client.connect(port) for _ in range(3)]
    for client in (idle, active, busy):
        assert (await client.line())[:3] == b"220"
    desk.time += 2
    busy.writer.write(b"HELO c\r\nMAIL FROM:<>\r\n")
    active.writer.write(b"HELO c\r\n")
    for client in (busy, busy, active):
        assert (await client.line())[:3] == b"250"
    handing = asyncio.create_task(old.hand_over(5))
    assert (await idle.rest())[:9] == b"421 4.3.2"
    late = await Client.connect(port)  # the kernel keeps it
    active.writer.write(b"MAIL FROM:<>\r\n")
    assert (await active.rest())[:9] == b"421 4.3.2"
    busy.writer.write(b"RSET\r\n")
    assert (await busy.rest()).split(b"\r\n")[1][:9] == b"421 4.3.2"
    (given,) = await handing
    assert given.name == "a"  # port 0 was asked for, so the address does not tell whose it is
    new = Desk().listeners(Inherited([given]))
    assert port_of(await new.bind({"a": LOCAL})) == port
    await new.start()
    assert (await late.line())[:3] == b"220"
    for client in (idle, active, busy, late):
        await client.close()
    await new.drain(5)
