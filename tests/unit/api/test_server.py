"""The HTTP listener of the API: whatever a client sends or leaves out, it gets an answer or the end in time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from postroad.api.exchange import Asked, Told
from postroad.api.server import ApiServer, Deadlines
from postroad.model.errors import ConfigError
from postroad.model.records import DeskFaulted, Record
from postroad.net.clock import SystemClock

LONG = Deadlines(idle=30.0, answer=30.0, linger=0.1)
SHORT = Deadlines(idle=0.2, answer=0.2, linger=0.1)
OPEN = b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
POST = OPEN + b"Connection: close\r\n"


class Served(NamedTuple):
    """A listener, its port, and what it recorded."""

    server: ApiServer
    port: int
    records: list[Record]


async def echo(asked: Asked) -> Told:
    return Told(200, await asked.read(1000), "text/plain")


@asynccontextmanager
async def serving(
    answer: Callable[[Asked], Awaitable[Told]] = echo,
    connections: int = 5,
    timeout: float = 30.0,
    deadlines: Deadlines = LONG,
) -> AsyncIterator[Served]:
    records: list[Record] = []
    server = ApiServer(
        ["127.0.0.1:0"],
        answer,
        connections=connections,
        timeout=lambda: timeout,
        clock=SystemClock(),
        emit=records.append,
        deadlines=deadlines,
    )
    (where,) = await server.bind()
    await server.start()
    try:
        yield Served(server, int(where.rpartition(":")[2]), records)
    finally:
        await server.close()


async def said(port: int, *octets: bytes) -> bytes:
    """All that the server says to `octets` until it ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in octets:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(60):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_a_body_in_any_form_is_read() -> None:
    async with serving() as served:
        assert b"\r\n\r\nhello" in await said(served.port, POST + b"\r\n", b"he", b"llo")
        head = b"POST /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunked = head + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
        assert b"\r\n\r\nhello" in await said(served.port, chunked)
        expecting = await said(served.port, POST + b"Expect: 100-continue\r\n\r\n", b"hello")
        assert expecting.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
        assert b" 417 " in await said(served.port, POST + b"Expect: miracles\r\n\r\nhello")


@pytest.mark.parametrize("octets", [b"", b"POST", b"POST /x HTTP/1.1\r\nHost: x\r\nX-Slow: ", POST])
async def test_a_head_that_does_not_end_ends_the_connection(octets: bytes) -> None:
    async with serving(deadlines=SHORT) as served:
        assert await said(served.port, octets) == b""


async def test_a_body_that_does_not_end_is_a_408() -> None:
    async with serving(timeout=0.2) as served:
        answer = await said(served.port, POST + b"\r\nhel")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"application/problem+json" in answer


async def test_a_body_that_is_too_large_is_a_413_and_the_end() -> None:
    async with serving() as served:
        head = b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert b" 413 " in await said(served.port, head, *[b"200\r\n" + b"x" * 512 + b"\r\n"] * 3)


@pytest.mark.parametrize(
    "octets",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 9000 + b"\r\n\r\n",
        b"GET /" + b"y" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100 + b"\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_a_problem(octets: bytes) -> None:
    async with serving() as served:
        answer = await said(served.port, octets)
        if answer:
            assert answer.split(b" ")[1] == b"400"
            assert b"application/problem+json" in answer
        assert served.records == []


async def test_a_bug_is_a_500_without_a_word_and_a_record() -> None:
    async def broken(asked: Asked) -> Told:
        raise RuntimeError("secret")

    async with serving(broken) as served:
        answer = await said(served.port, POST + b"\r\nhello")
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert b"secret" not in answer
        (record,) = served.records
        assert isinstance(record, DeskFaulted)
        assert "secret" in record.detail


async def test_a_client_that_does_not_read_is_left() -> None:
    async def large(asked: Asked) -> Told:
        return Told(200, b"x" * (32 << 20))

    async with serving(large, deadlines=SHORT) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1000)
        writer.write(POST + b"\r\nhello")
        async with asyncio.timeout(60):
            while served.server._http.connections or not served.server._http.requests_count:
                await asyncio.sleep(0.02)
        assert len(await reader.read(32 << 20)) < 32 << 20
        writer.close()


async def test_a_connection_too_many_is_told_so() -> None:
    async with serving(connections=2) as served:
        open_ones = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(2)]
        while len(served.server._http.connections) < 2:
            await asyncio.sleep(0)
        assert (await said(served.port, b"")).startswith(b"HTTP/1.1 503 ")
        for _, writer in open_ones:
            writer.close()


async def test_a_drain_waits_for_what_runs_and_begins_nothing() -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(asked: Asked) -> Told:
        begun.set()
        await go.wait()
        return Told(202, b"{}")

    async with serving(slow) as served:
        running = asyncio.create_task(said(served.port, POST + b"\r\nhello"))
        await begun.wait()
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        while len(served.server._http.connections) < 2:
            await asyncio.sleep(0)
        draining = asyncio.create_task(served.server.drain(20))
        await asyncio.sleep(0)
        writer.write(OPEN + b"\r\nhello")
        assert (await reader.readline()).startswith(b"HTTP/1.1 503 ")
        writer.close()
        assert not draining.done()
        go.set()
        await draining
        assert (await running).startswith(b"HTTP/1.1 202 ")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", served.port)


async def test_who_was_accepted_before_the_sockets_are_handed_over_is_answered() -> None:
    async with serving(deadlines=Deadlines(linger=0.1, first=60.0)) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        while not served.server._http.connections:
            await asyncio.sleep(0)
        leaving = asyncio.create_task(served.server.hand_over(20))
        await asyncio.sleep(0)
        writer.write(OPEN + b"\r\nhello")
        said = await reader.read()  # to the end: nothing more is taken on this connection
        assert said.startswith(b"HTTP/1.1 200 ")
        assert said.endswith(b"hello")
        writer.close()
        for given in await leaving:
            given.socket.close()


async def test_who_says_nothing_keeps_no_upgrade_waiting() -> None:
    async with serving(deadlines=Deadlines(linger=0.1, first=0.05)) as served:
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        while not served.server._http.connections:
            await asyncio.sleep(0)
        async with asyncio.timeout(30):
            given = await served.server.hand_over(20)
        assert len(given) == 1
        given[0].socket.close()
        writer.close()


async def test_a_taken_port_is_told() -> None:
    async with serving() as served:
        again = ApiServer(
            [f"127.0.0.1:{served.port}"], echo, connections=1, timeout=lambda: 1.0, clock=SystemClock(), emit=print
        )
        with pytest.raises(ConfigError, match=r"api\.bind\[0\]: cannot listen"):
            await again.bind()
