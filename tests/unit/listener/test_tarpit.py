"""Peers that err are slowed, more and more; those near to a ban are sent away; sleepers are bounded."""

import pytest

from postroad.listener.tarpit import Tarpit
from postroad.model.records import CommandRefused
from postroad.policy.shield.settings import TarpitSettings
from postroad.smtp import replies
from tests.support.clock import ManualClock
from tests.support.conversation import Desk, MemoryTransport

SETTINGS = TarpitSettings.model_validate({"after": 2, "delay": "1s", "longest": "5s", "waiting": 1})
WRONG = b"BOGUS\r\n"
ANSWER = replies.UNKNOWN_COMMAND.encode()


class World:
    """A desk with a tarpit and a clock."""

    def __init__(self, near: float | None = None) -> None:
        self.clock = ManualClock()
        self.desk = Desk()
        self.tarpit = Tarpit(SETTINGS, None if near is None else lambda _ip: near)
        self.desk.tarpit = self.tarpit
        self.desk.call_later = self.clock.call_later


def taken(transport: MemoryTransport) -> bytes:
    """What was written since the last time."""
    written, transport.written = transport.written, b""
    return written


@pytest.mark.parametrize(
    ("near", "refusals", "seconds", "ends"),
    [
        (None, 2, 0.0, False),
        (None, 3, 1.0, False),
        (None, 5, 4.0, False),
        (None, 50, 5.0, False),
        (0.1, 1, 0.0, False),
        (0.5, 1, 2.5, False),
        (0.5, 50, 5.0, False),
        (0.9, 1, 4.5, True),
    ],
)
def test_how_long(near: float | None, refusals: int, seconds: float, ends: bool) -> None:
    tarpit = Tarpit(SETTINGS, None if near is None else lambda _ip: near)
    assert tarpit.wait("192.0.2.1", refusals) == (seconds, ends)


def test_who_errs_waits_and_what_follows_waits_too() -> None:
    world = World()
    conversation, transport = world.desk.connect()
    conversation.data_received(WRONG + WRONG)
    assert taken(transport).endswith(ANSWER + ANSWER)
    conversation.data_received(WRONG + b"NOOP\r\n" + WRONG + b"QUIT\r\n")
    assert not transport.reading
    world.clock.advance(0.9)
    assert taken(transport) == b""
    world.clock.advance(0.2)
    assert taken(transport) == ANSWER
    world.clock.advance(1.7)
    assert taken(transport) == b""
    world.clock.advance(0.4)
    assert taken(transport) == b"250 2.0.0 Ok\r\n" + ANSWER + b"221 2.0.0 Bye\r\n"
    assert transport.closed
    assert world.tarpit.waiting == 0


def test_only_so_many_wait() -> None:
    world = World()
    pairs = [world.desk.connect() for _ in range(2)]
    for conversation, transport in pairs:
        taken(transport)
        conversation.data_received(WRONG * 3)
    assert [taken(transport) for _, transport in pairs] == [b"", ANSWER * 3]
    assert world.tarpit.waiting == 1
    pairs[0][0].connection_lost(None)
    assert world.tarpit.waiting == 0
    world.clock.advance(10)
    assert taken(pairs[0][1]) == b""


def test_a_drain_ends_the_wait() -> None:
    world = World()
    conversation, transport = world.desk.connect()
    conversation.data_received(WRONG * 3)
    taken(transport)
    conversation.drain()
    assert taken(transport).endswith(replies.SHUTTING_DOWN.encode())
    assert world.tarpit.waiting == 0


def test_who_is_near_to_a_ban_is_sent_away() -> None:
    world = World(near=0.9)
    conversation, transport = world.desk.connect()
    taken(transport)
    conversation.data_received(
        b"HELO me\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<no domain>\r\nRCPT TO:<a@b.example>\r\n"
    )
    world.clock.advance(5)
    said = taken(transport)
    assert b"501 5.1.3" in said
    assert said.endswith(replies.TOO_MANY_ERRORS.encode())
    assert transport.closed
    assert sum(isinstance(record, CommandRefused) for record in world.desk.records) == 1
