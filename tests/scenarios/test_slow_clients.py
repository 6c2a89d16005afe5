"""Slow clients ("slow loris"): many sessions that idle, or send an octet now and then, cost others nothing.

Against a real relay: it serves while they stay, and the limit of sessions per address holds. With a hand-driven clock:
who sends an octet a second is never idle, and is ended by the total time of its phase all the same.
"""

import asyncio
import resource
import smtplib
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from postroad.listener.server import Listeners
from postroad.listener.settings import LimitsSettings, ListenerSettings
from tests.support.conversation import Desk
from tests.support.relay import CAPTURE, Relay

SESSIONS = 1200
LIMITS = f"\n[limits]\nsessions = {SESSIONS + 100}\nsessions_per_ip = {SESSIONS}\n"
OPENINGS = (
    b"",
    b"MAIL FROM:<slow@exam",
    b"MAIL FROM:<slow@example.org>\r\nRCPT TO:<a@example.net>\r\nDATA\r\nSubject: never the end\r\n",
)
LEAST = 300  # seconds: the shortest total time of a phase that can be set


@contextmanager
def slow_sessions(port: int, count: int) -> Iterator[list[socket.socket]]:
    """That many sessions, a third of them idle, a third inside a command, a third inside content."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * count + 200)), hard))
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        peers = []
        for number in range(count):
            peer = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            assert peer.recv(512).startswith(b"220")
            peer.sendall(b"HELO slow.example.org\r\n" + OPENINGS[number % len(OPENINGS)])
            peers.append(peer)
        yield peers


def is_open(peer: socket.socket) -> bool:
    """True while the relay has neither said 421 nor closed the connection; replies so far are read."""
    peer.setblocking(False)
    try:
        while heard := peer.recv(4096):
            if b"421" in heard:
                return False
    except BlockingIOError:
        return True
    return False


def send_one(port: int, ip: str, number: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, "client.example.org", timeout=60, source_address=(ip, 0)) as client:
        client.sendmail("a@example.org", "b@example.net", f"Subject: normal {number}\r\n\r\ntext\r\n")


def test_mail_flows_beside_many_slow_sessions(tmp_path: Path) -> None:
    with Relay(tmp_path, CAPTURE + LIMITS) as relay:
        with slow_sessions(relay.port, SESSIONS) as slow:
            for number in range(20):
                send_one(relay.port, "127.0.0.2", number)
                for peer in slow:
                    peer.sendall(b"x")
            relay.wait_captured(b"Subject: normal", 20)
            with socket.create_connection(("127.0.0.1", relay.port), timeout=60) as one_more:
                assert one_more.recv(512).startswith(b"421 4.7.0 ")
            assert all(map(is_open, slow))
            assert not any(b"never the end" in mail for mail in relay.captured())
        send_one(relay.port, "127.0.0.1", 20)  # and nothing is left of them
        relay.wait_captured(b"Subject: normal 20")
        relay.wait_for("ConnectionClosed", SESSIONS, ip="127.0.0.1", messages=0)


@pytest.mark.parametrize(
    ("opening", "option"),
    [
        (b"", "transaction_time"),
        (b"MAIL FROM:<slow@example.org> ", "transaction_time"),
        (b"MAIL FROM:<slow@example.org>\r\nRCPT TO:<a@example.net>\r\nDATA\r\n", "content_time"),
    ],
    ids=["first command", "inside MAIL", "inside content"],
)
async def test_an_octet_a_second_ends_with_the_time_of_its_phase(opening: bytes, option: str) -> None:
    desk = Desk(limits=LimitsSettings.model_validate({option: f"{LEAST}s"}))
    listeners = desk.listeners()
    bound = await listeners.bind({"a": ListenerSettings(bind=("127.0.0.1:0",))})
    await listeners.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(bound[0].rpartition(":")[2]))
    async with asyncio.timeout(60):
        assert (await reader.readline()).startswith(b"220")
        writer.write(b"HELO slow.example.org\r\n" + opening)
        for _ in range(1 + opening.count(b"\r\n")):
            await reader.readline()
        for _ in range(LEAST):
            desk.time += 1
            writer.write(b"x")
            await heard(listeners, desk.time)
            listeners.sweep()
            assert len(listeners) == 1
        desk.time += 1  # a second over the limit, and never idle for more than one
        writer.write(b"x")
        await heard(listeners, desk.time)
        listeners.sweep()
        assert (await reader.read()).startswith(b"421 4.4.2")
    writer.close()
    await writer.wait_closed()
    await listeners.drain(5)
    assert desk.spool.messages == []


async def test_nobody_waits_for_the_message_of_a_slow_session() -> None:
    """The spool lets a message wait a moment for those that are on their way; of who is slow nothing is on its way."""
    desk = Desk()
    listeners = desk.listeners()
    bound = await listeners.bind({"a": ListenerSettings(bind=("127.0.0.1:0",))})
    await listeners.start()
    port = int(bound[0].rpartition(":")[2])
    peers = [await asyncio.open_connection("127.0.0.1", port) for _ in OPENINGS]
    async with asyncio.timeout(60):
        for (reader, writer), opening in zip(peers, OPENINGS, strict=True):
            writer.write(b"HELO slow.example.org\r\n" + opening)
            for _ in range(2 + min(opening.count(b"\r\n"), 3)):
                await reader.readline()
    assert desk.spool.expected == len(peers)
    listeners.sweep()
    assert desk.spool.expected == len(peers)
    desk.time += 2
    listeners.sweep()
    assert desk.spool.expected == 0
    async with asyncio.timeout(60):
        reader, writer = peers[0]
        writer.write(b"MAIL FROM:<a@example.org>\r\n")
        assert (await reader.readline()).startswith(b"250")
        assert desk.spool.expected == 1
        writer.write(b"RCPT TO:<b@example.net>\r\nDATA\r\n\r\n.\r\n")
        for _ in range(3):
            await reader.readline()
    assert desk.spool.expected == 0
    assert len(desk.spool.messages) == 1
    for _, writer in peers:
        writer.close()
        await writer.wait_closed()
    await listeners.drain(5)
    assert desk.spool.expected == 0


async def heard(listeners: Listeners, now: float) -> None:
    """Return once the only session has had the octet that was sent `now`."""
    async with asyncio.timeout(60):
        while not all(session.last_seen == now for session in listeners._sessions):
            await asyncio.sleep(0)
