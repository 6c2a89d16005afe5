"""The desk's HTTP listener over real sockets: bounds, errors without a word of why, and its end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from postroad.desk.health import HealthPages
from postroad.desk.http import USUAL, Deadlines, DeskServer, Page, Pages
from postroad.desk.readiness import DRAINING, FULL, STARTING, Readiness
from postroad.desk.request import HEAD_LIMIT
from postroad.model.errors import ConfigError
from postroad.model.records import DeskFaulted, Record
from postroad.net.clock import SystemClock

GET = b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n"
SECRET = "must-not-be-told"


async def pages(path: str) -> Page | None:
    if path == "/fails":
        raise ValueError(SECRET)
    return Page(200, b"hello", "text/plain") if path == "/hello" else None


@asynccontextmanager
async def serving(
    records: list[Record], answer: Pages = pages, *, connections: int = 4, deadlines: Deadlines = USUAL
) -> AsyncIterator[int]:
    server = DeskServer(
        ["127.0.0.1:0"],
        answer,
        connections=connections,
        clock=SystemClock(),
        emit=records.append,
        deadlines=deadlines,
    )
    (where,) = await server.bind()
    await server.start()
    try:
        yield int(where.rpartition(":")[2])
    finally:
        await server.stop()


async def say(port: int, octets: bytes) -> bytes:
    """Everything that comes for `octets` until the server ends the connection, or ours is at its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(20):
            writer.write(octets)
            writer.write_eof()
            return await reader.read()
    finally:
        writer.close()


async def test_pages_on_one_connection() -> None:
    async with serving([]) as port:
        answer = await say(port, GET % b"hello" + b"HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n" + GET % b"nothing")
    first, second, third = answer.split(b"HTTP/1.1 ")[1:]
    assert first.startswith(b"200 OK\r\n")
    assert first.endswith(b"\r\n\r\nhello")
    assert b"Content-Length: 5\r\n" in second
    assert second.endswith(b"\r\n\r\n")
    assert third.startswith(b"404 Not Found\r\n")


async def test_a_page_that_fails_costs_itself_alone_and_tells_nothing() -> None:
    records: list[Record] = []
    async with serving(records) as port:
        answer = await say(port, GET % b"fails" + GET % b"hello")
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert answer.endswith(b"hello")
    assert SECRET.encode() not in answer
    assert b"Traceback" not in answer
    (record,) = records
    assert isinstance(record, DeskFaulted)
    assert record.page == "/fails"
    assert SECRET in record.detail


async def test_a_long_head_is_refused() -> None:
    async with serving([]) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /hello HTTP/1.1\r\nHost: " + b"a" * (2 * HEAD_LIMIT) + b"\r\n\r\n")
        async with asyncio.timeout(20):
            assert (await reader.readline()).startswith(b"HTTP/1.1 431 ")
        writer.close()


async def test_bad_requests_end_the_connection() -> None:
    async with serving([]) as port:
        answer = await say(port, b"POST /hello HTTP/1.1\r\nHost: a\r\n\r\n" + GET % b"hello")
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert b"Allow: GET, HEAD\r\n" in answer
    assert answer.count(b"HTTP/1.1") == 1


async def test_connections_above_the_limit_are_sent_away() -> None:
    async with serving([], connections=2) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for reader, writer in held:  # both are being served
            writer.write(GET % b"hello")
            async with asyncio.timeout(20):
                assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        assert (await say(port, GET % b"hello")).startswith(b"HTTP/1.1 503 ")
        for _, writer in held:
            writer.close()


async def test_stop_ends_connections_that_wait() -> None:
    async with serving([]) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET % b"hello")
        await reader.readuntil(b"hello")
    async with asyncio.timeout(20):
        assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize("sent", [b"", b"GET /hello HTT", GET % b"hello"])
async def test_a_client_that_says_no_more_is_cut_off(sent: bytes) -> None:
    async with serving([], deadlines=Deadlines(head=0.05)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        async with asyncio.timeout(20):
            assert (await reader.read()).endswith(b"hello" if sent.endswith(b"\r\n") else b"")
        writer.close()


async def test_a_client_that_does_not_read_is_cut_off() -> None:
    async def large(path: str) -> Page:
        return Page(200, path.encode() * (4_000_000 if path == "/x" else 1), "text/plain")

    async with serving([], large, connections=1, deadlines=Deadlines(write=0.05)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1000)
        writer.write(GET % b"x")
        async with asyncio.timeout(20):
            while not (await say(port, GET % b"small")).startswith(b"HTTP/1.1 200 "):  # until the first one is gone
                await asyncio.sleep(0.01)
            with contextlib.suppress(ConnectionError):
                assert len(await reader.read()) < 8_000_000
        writer.close()


async def test_a_page_that_takes_too_long_is_given_up() -> None:
    async def slow(_: str) -> Page:
        await asyncio.Event().wait()
        raise AssertionError

    async with serving([], slow, deadlines=Deadlines(page=0.05)) as port:
        answer = await say(port, GET % b"x" + GET % b"x")
    assert answer.count(b"HTTP/1.1 503 ") == 2


async def test_a_port_that_is_taken_is_told() -> None:
    records: list[Record] = []
    async with serving(records) as port:
        other = DeskServer([f"127.0.0.1:{port}"], pages, connections=1, clock=SystemClock(), emit=records.append)
        with pytest.raises(ConfigError, match=rf"desk.bind\[0\]: cannot listen on 127.0.0.1:{port}"):
            await other.bind()


async def test_health_pages_follow_the_phases() -> None:
    room = True
    ready = Readiness(lambda: room)

    async def metrics() -> bytes:
        return b"x 1\n"

    health = HealthPages(unready=ready.unready, metrics=metrics, metrics_type="text/plain; version=0.0.4")

    async def readyz() -> tuple[int, str]:
        page = await health("/readyz")
        assert page is not None
        return page.status, page.body.decode().rstrip()

    assert await readyz() == (503, STARTING)
    ready.serve()
    assert await readyz() == (200, "ready")
    room = False
    assert await readyz() == (503, FULL)
    room = True
    ready.drain()
    assert await readyz() == (503, DRAINING)
    alive = await health("/healthz")
    assert alive is not None
    assert alive.status == 200
    assert await health("/metrics") == Page(200, b"x 1\n", "text/plain; version=0.0.4")
    assert await health("/") is None
