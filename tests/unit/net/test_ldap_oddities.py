"""Servers that are no directory's, or not what one should be: whatever they say is a fault, within bounds."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from postroad.model.errors import DirectoryError
from postroad.net.ldap.codec import pack
from postroad.net.ldap.connection import ANSWER_LIMIT
from postroad.net.ldap.directory import Directory
from tests.support.directories import Kit

Talk = Callable[[asyncio.StreamWriter], Awaitable[None]]
ALICE = "cn=alice,dc=example,dc=com"
PASSWORD = "a secret"


@pytest.fixture
async def kit() -> AsyncIterator[Kit]:
    made = Kit()
    yield made
    await made.close()


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x30\x84\x7f\xff\xff\xff", b"", b"\x30\x05\x02\x01\x63\x78\x00"]
)
async def test_a_server_that_speaks_something_else_is_a_fault(kit: Kit, said: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(said)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        for directory in (kit(f"ldap://127.0.0.1:{port}", starttls=False), kit(f"ldap://127.0.0.1:{port}")):
            with pytest.raises(DirectoryError, match=f"ldap://127.0.0.1:{port}: "):
                await directory.bind(ALICE, PASSWORD)


@contextlib.asynccontextmanager
async def serve(
    kit: Kit, talk: Callable[[asyncio.StreamWriter], Awaitable[None]], **options: Any
) -> AsyncIterator[Directory]:
    """A directory whose server talks by `talk` to whoever has asked something."""
    gone = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gone.append(asyncio.Event())
        try:
            await reader.read(100)
            await talk(writer)
        except ConnectionError:
            writer.transport.abort()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        gone[-1].set()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"ldap://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield kit(url, starttls=False, bind_dn="", password="", **options)
        async with asyncio.timeout(60):
            for event in gone:
                await event.wait()


VALUE = pack(0x31, pack(0x04, bytes(60_000)))
ENTRY = pack(0x30, b"\x02\x01\x01" + pack(0x64, b"\x04\x04cn=x" + pack(0x30, pack(0x30, b"\x04\x01a" + VALUE))))


async def test_a_server_that_is_endlessly_slow_is_given_up_at_the_deadline(kit: Kit) -> None:
    """It never stops to send, but never comes to an end."""

    async def drip(writer: asyncio.StreamWriter) -> None:
        for octet in ENTRY:
            writer.write(bytes((octet,)))
            await writer.drain()
            await asyncio.sleep(0.01)

    async with serve(kit, drip, answer_timeout=0.5) as directory:
        with pytest.raises(DirectoryError, match=r"no answer within 0\.5 s"):
            await directory.search("dc=x", "(a=1)")


async def test_a_server_that_never_stops_to_send_entries_is_cut_off(kit: Kit) -> None:
    sent = 0

    async def flood(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while sent < 10 * ANSWER_LIMIT:
            writer.write(ENTRY)
            sent += len(ENTRY)
            await writer.drain()

    async with serve(kit, flood) as directory:
        with pytest.raises(DirectoryError, match=f"an answer of more than {ANSWER_LIMIT} octets"):
            await directory.search("dc=x", "(a=1)")
    assert sent < 2 * ANSWER_LIMIT
