"""Routes that do something else than send: hold, discard and fail, as the queue carries them out."""

import asyncio

from postroad.model.address import parse_mailbox
from postroad.model.envelope import NOTIFY_SUCCESS, Recipient
from postroad.model.outcome import Delivered, Failed, Held
from postroad.model.records import (
    DsnQueued,
    MessageRemoved,
    RecipientDeferred,
    RecipientDelivered,
    RecipientFailed,
    RecipientHeld,
)
from postroad.model.reply import Reply
from postroad.model.work import Status
from tests.scenarios.queue_world import World

DAY = 86_400.0
HELD = Held("held by route review")
DISCARDED = Delivered(Reply(250, "2.0.0", "discarded by route spam"), dsn_passed=True)
REFUSED = Failed(Reply(550, "5.7.1", "We do not write to them"))


async def test_held_mail_waits_without_attempts_warnings_and_expiry() -> None:
    world = World()
    world.plans["mx:held.example"] = HELD
    queue_id = world.send("bob@held.example", "carol@example.org")
    await world.clock.run(10 * DAY)
    (held,) = world.of(RecipientHeld)
    assert (held.recipient, held.lane, held.reason) == ("bob@held.example", "mx:held.example", "held by route review")
    ((key, row),) = world.spool.rows().items()
    assert key == (queue_id, "bob@held.example")
    assert (row.status, row.attempts, row.reply) == (Status.HELD, 0, "held by route review")
    assert [record.recipient for record in world.of(RecipientDelivered)] == ["carol@example.org"]
    assert not world.of(MessageRemoved)
    assert not world.of(RecipientFailed)
    assert not world.of(RecipientDeferred)
    assert not world.of(DsnQueued)
    await world.stop()


async def test_held_mail_stays_held_after_a_crash() -> None:
    world = World()
    world.plans["mx:held.example"] = HELD
    world.send("bob@held.example")
    await world.clock.run(1)
    await world.crash_and_restart()
    await world.clock.run(10 * DAY)
    assert len(world.of(RecipientHeld)) == 1
    assert [row.status for row in world.spool.rows().values()] == [Status.HELD]
    await world.stop()


async def test_a_crash_before_the_decision_is_durable_decides_again() -> None:
    world = World()
    world.plans["mx:held.example"] = HELD
    world.send("bob@held.example")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    world.spool.stuck = True
    await world.clock.run(1)
    assert not world.of(RecipientHeld)
    await world.crash_and_restart()
    await world.clock.run(1)
    assert len(world.of(RecipientHeld)) == 1
    await world.stop()


async def test_many_held_messages_do_not_hinder_the_others() -> None:
    world = World()
    world.plans["mx:held.example"] = HELD
    for number in range(300):
        world.send(f"u{number}@held.example")
        world.send(f"u{number}@example.org")
    await world.clock.run(5)
    assert len(world.of(RecipientHeld)) == 300
    assert len(world.of(RecipientDelivered)) == 300
    leases = world.spool.leases
    await world.clock.run(DAY)
    assert world.spool.leases - leases < 5  # nothing looks for mail that nobody released
    await world.stop()


async def test_discarded_mail_is_gone_and_says_so() -> None:
    world = World()
    world.plans["mx:spam.example"] = DISCARDED
    queue_id = world.send(Recipient(parse_mailbox("bob@spam.example"), NOTIFY_SUCCESS))
    await world.clock.run(1)
    (record,) = world.of(RecipientDelivered)
    assert (record.target, str(record.reply)) == ("none", "250 2.0.0 discarded by route spam")
    assert [removed.id for removed in world.of(MessageRemoved)] == [queue_id]
    assert not world.of(DsnQueued)  # nobody is told that it was delivered
    assert not world.copies
    assert not world.spool.rows()
    await world.stop()


async def test_failed_mail_is_reported_with_the_text_of_the_route() -> None:
    world = World()
    world.plans["mx:never.example"] = REFUSED
    world.send("bob@never.example")
    await world.clock.run(1)
    (record,) = world.of(RecipientFailed)
    assert (record.target, str(record.reply)) == ("none", "550 5.7.1 We do not write to them")
    (report,) = world.received("alice@example.com")
    assert "We do not write to them" in str(report)
    assert "Status: 5.7.1" in str(report)
    await world.stop()
