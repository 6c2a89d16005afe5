"""Somebody guesses names of recipients: first it is slow, then the session ends, then the address is banned.

Sessions, policies, guard and tarpit are real; the clock is driven by hand.
"""

from pathlib import Path

import pytest

from postroad.config.schema import Config
from postroad.house.guard.board import GuardBoard
from postroad.house.guard.guard import Guard
from postroad.house.guard.lookout import Eyes, shield_of
from postroad.model.records import NetworkBanned
from postroad.policy.chain import Chain
from postroad.policy.context import ConnectContext, RcptContext
from postroad.policy.stages import Stages
from postroad.policy.verdict import Accept, Reject, Verdict
from postroad.smtp import replies
from tests.support.clock import ManualClock
from tests.support.conversation import Desk

HARVESTER, OTHER = "203.0.113.66", "198.51.100.1"


def known(ctx: RcptContext) -> Verdict:
    """Ann alone is here."""
    if ctx.recipient.local == "ann":
        return Accept("she is here")
    return Reject(replies.unknown_recipient(ctx.recipient), "no such name")


class World:
    """A desk behind a shield."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        config = Config.model_validate(
            {
                "data_dir": str(folder),
                "listeners": {"mx": {"bind": ["127.0.0.1:2525"]}},
                "bans": {"unknown_recipient": 10, "half_life": "10m", "time": "10m"},
                "tarpit": {"after": 100, "delay": "2s", "longest": "20s", "close_at": 0.75},
            }
        )
        self.desk = Desk(policies=(known,))
        board = GuardBoard(1, b"key")
        self.guard = Guard(config, board, self.clock, self.desk.records.append)
        shield = shield_of(config, Eyes(board, self.guard.hear, self.clock))
        connect = Chain[ConnectContext](
            "connect", shield.connect, timeout=5, emit=self.desk.records.append, now=self.clock.now
        )
        self.desk.stages = Stages(rcpt=self.desk.stages.rcpt, connect=connect)
        self.desk.tarpit = shield.tarpit
        self.desk.call_later = self.clock.call_later
        self.desk.watch = self.guard.hear


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def guess(world: World, names: int) -> tuple[int, bytes, float]:
    """How many of so many guesses were answered in one session, what was said last, and how long it took."""
    conversation, transport = world.desk.connect(HARVESTER)
    if transport.closed:
        return 0, transport.written, 0.0
    conversation.data_received(b"HELO me\r\nMAIL FROM:<a@b.example>\r\n")
    began, done = world.clock.monotonic(), 0
    while done < names and not transport.closed:
        before = len(transport.written)
        conversation.data_received(b"RCPT TO:<guess%d@example.com>\r\n" % done)
        while len(transport.written) == before:
            world.clock.advance(0.5)
        done += 1
    last = transport.written.splitlines()[-1]
    conversation.connection_lost(None)
    return done, last, world.clock.monotonic() - began


def test_a_harvester_is_slowed_sent_away_and_banned(world: World) -> None:
    done, last, seconds = guess(world, 3)
    assert (done, last[:9]) == (3, b"550 5.1.1")
    assert 2 + 4 + 6 <= seconds <= 13  # a tenth, two and three of the way to a ban
    done, last, seconds = guess(world, 100)
    assert last == replies.TOO_MANY_ERRORS.encode().rstrip()
    assert 4 <= done <= 6
    assert seconds > 40
    assert not any(isinstance(record, NetworkBanned) for record in world.desk.records)
    while not any(isinstance(record, NetworkBanned) for record in world.desk.records):
        assert guess(world, 100)[0] == 1  # each is the last of its session
    assert guess(world, 1)[:2] == (0, replies.BANNED_FOR_NOW.encode())
    conversation, transport = world.desk.connect(OTHER)
    conversation.data_received(b"HELO me\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<ann@example.com>\r\n")
    assert transport.written.endswith(replies.RECIPIENT_OK.encode())  # at once
    world.clock.advance(601)
    assert guess(world, 1)[0] == 1
