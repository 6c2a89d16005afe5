"""A recipient that is put off: tries over five days, one warning, expiry, and the reports on the way."""

from email.message import EmailMessage

import pytest

from postroad.model.address import parse_mailbox
from postroad.model.envelope import NOTIFY_DELAY, NOTIFY_FAILURE, NOTIFY_NEVER, NOTIFY_SUCCESS, Recipient
from postroad.model.records import (
    DsnQueued,
    DsnSuppressed,
    MessageRemoved,
    RecipientDeferred,
    RecipientFailed,
    RecipientHeld,
)
from postroad.model.work import Status
from postroad.queue.settings import QueueSettings
from tests.scenarios.queue_world import World, dead, defers, refuses, takes

HOUR = 3600.0
DAY = 86400.0


def status_of(message: EmailMessage) -> list[EmailMessage]:
    """The blocks of the delivery-status part: one for the message, then one a recipient."""
    part = message.get_payload(1)
    assert isinstance(part, EmailMessage)
    assert part.get_content_type() == "message/delivery-status"
    blocks = part.get_payload()
    assert isinstance(blocks, list)
    return blocks  # type: ignore[return-value]  # the library does not know that delivery-status holds messages


def recipient(address: str, notify: int, orcpt: str = "") -> Recipient:
    return Recipient(parse_mailbox(address), notify, orcpt)


async def test_tries_follow_the_schedule_until_the_recipient_expires() -> None:
    world = World()
    world.hops["mx:example.org"] = defers()
    start = world.clock.now()
    world.send("bob@example.org")
    await world.clock.run(5 * DAY + 60)
    tries = [round((record.at - start) / 1e6) for record in world.of(RecipientDeferred)]
    steps = [60, 300, 900, 1800, 3600, 7200, 14400]
    expected = [0]
    while expected[-1] + steps[min(len(expected), len(steps)) - 1] < 5 * DAY:
        expected.append(expected[-1] + steps[min(len(expected), len(steps)) - 1])
    assert tries == expected
    failed = world.of(RecipientFailed)
    assert [(record.expired, round((record.at - start) / DAY / 1e6, 3)) for record in failed] == [(True, 5.0)]
    assert failed[0].attempts == len(expected) + 1  # a last try at the very end
    await world.stop()


async def test_jitter_moves_a_try_by_at_most_a_tenth() -> None:
    world = World(jitter=0.999)
    world.hops["mx:example.org"] = defers()
    start = world.clock.now()
    world.send("bob@example.org")
    await world.clock.run(70)
    second = world.of(RecipientDeferred)[1]
    assert 65 < (second.at - start) / 1e6 <= 66.1
    await world.stop()


async def test_the_sender_is_told_when_a_recipient_expires() -> None:
    world = World(QueueSettings(warn_after="never"))
    world.hops["mx:example.org"] = defers()
    world.send("bob@example.org")
    await world.clock.run(5 * DAY + 60)
    (report,) = world.received("alice@example.com")
    assert report["Subject"] == "Undelivered Mail Returned to Sender"
    block = status_of(report)[1]
    assert (block["Action"], block["Status"]) == ("failed", "4.4.7")
    assert block["Diagnostic-Code"] == "smtp; 451 4.3.2 try again later"
    assert "delivery time expired" in report.get_payload(0).get_content()  # type: ignore[union-attr]
    await world.stop()


async def test_reports_of_what_expires_while_it_waits_tell_what_the_remote_host_said_last() -> None:
    world = World(QueueSettings(expire_after="90m", warn_after="45m", retry=("30m", "3h")))
    world.hops["mx:example.org"] = defers()
    world.send("bob@example.org")
    await world.clock.run(2 * HOUR)  # tries at 0 and 30 minutes; the warning and the end come between tries
    assert len(world.of(RecipientDeferred)) == 2
    for report, action, status in zip(
        world.received("alice@example.com"), ("delayed", "failed"), ("4.3.2", "4.4.7"), strict=True
    ):
        block = status_of(report)[1]
        assert (block["Action"], block["Status"]) == (action, status)
        assert block["Remote-MTA"] == "dns; example.org"
        assert block["Diagnostic-Code"] == "smtp; 451 4.3.2 try again later"
    await world.stop()


async def test_a_recipient_never_tried_expires_too_and_says_why() -> None:
    world = World(QueueSettings(expire_after="1h", warn_after="never", suspend=("30d",)))
    world.hops["mx:dead.example"] = dead()
    for number in range(8):
        world.send(f"user{number}@dead.example")
    await world.clock.run(30)
    world.send("late@dead.example")
    await world.clock.run(2 * HOUR)
    late = [record for record in world.of(RecipientFailed) if record.recipient == "late@dead.example"]
    assert [(record.expired, record.attempts) for record in late] == [(True, 0)]
    assert "connection refused" in late[0].reply.text
    assert len(world.received("alice@example.com")) == 9
    assert world.spool.rows() == {}
    await world.stop()


async def test_the_sender_is_warned_once() -> None:
    world = World()
    world.hops["mx:example.org"] = defers()
    start = world.clock.now()
    world.send("bob@example.org", "carol@example.org")
    await world.clock.run(3.9 * HOUR)
    assert world.received("alice@example.com") == []
    await world.clock.run(1 * DAY)
    (warning,) = world.received("alice@example.com")
    assert warning["Subject"] == "Delayed Mail (still being retried)"
    blocks = status_of(warning)
    assert [block["Action"] for block in blocks[1:]] == ["delayed", "delayed"]
    assert [block["Will-Retry-Until"] for block in blocks[1:]] == ["Sun, 19 Nov 2023 22:13:20 +0000"] * 2
    (queued,) = world.of(DsnQueued)
    assert queued.kind == "delayed"
    assert 4 * HOUR <= (queued.at - start) / 1e6 <= 4 * HOUR + 120
    await world.clock.run(5 * DAY)
    assert [message["Subject"] for message in world.received("alice@example.com")] == [
        "Delayed Mail (still being retried)",
        "Undelivered Mail Returned to Sender",
    ]
    await world.stop()


async def test_mail_that_waits_for_a_suspended_next_hop_is_warned_about_too() -> None:
    world = World(QueueSettings(suspend=("30d",)))
    world.hops["mx:dead.example"] = dead()
    for number in range(5):
        world.send(f"user{number}@dead.example", sender="")
    await world.clock.run(10)
    world.send("late@dead.example")
    await world.clock.run(5 * HOUR)
    (warning,) = world.received("alice@example.com")
    block = status_of(warning)[1]
    assert (block["Action"], block["Final-Recipient"]) == ("delayed", "rfc822; late@dead.example")
    assert block["Diagnostic-Code"].startswith("x-postroad; 451 4.4.1 next hop suspended")
    await world.stop()


@pytest.mark.parametrize(
    ("notify", "failed", "delayed", "relayed"),
    [
        (0, 1, 1, 0),
        (NOTIFY_NEVER, 0, 0, 0),
        (NOTIFY_SUCCESS, 0, 0, 1),
        (NOTIFY_FAILURE, 1, 0, 0),
        (NOTIFY_DELAY, 0, 1, 0),
        (NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY, 1, 1, 1),
    ],
)
async def test_notify_decides_who_is_told(notify: int, failed: int, delayed: int, relayed: int) -> None:
    world = World()
    world.hops["mx:refuses.example"] = refuses()
    world.hops["mx:defers.example"] = defers()
    world.hops["mx:takes.example"] = takes()
    world.send(recipient("a@refuses.example", notify), sender="failed@example.com")
    world.send(recipient("b@defers.example", notify), sender="delayed@example.com")
    world.send(recipient("c@takes.example", notify), sender="relayed@example.com")
    await world.clock.run(5 * HOUR)
    told = [len(world.received(f"{kind}@example.com")) for kind in ("failed", "delayed", "relayed")]
    assert told == [failed, delayed, relayed]
    assert [record.kind for record in world.of(DsnSuppressed)] == ["failed"] * (1 - failed)
    await world.stop()


async def test_success_is_the_next_hops_to_report_when_it_knows_dsn() -> None:
    world = World()
    world.hops["mx:example.org"] = takes(dsn=True)
    world.send(recipient("bob@example.org", NOTIFY_SUCCESS))
    await world.clock.run(1)
    assert world.received("alice@example.com") == []
    await world.stop()


async def test_final_delivery_is_reported_as_delivered() -> None:
    world = World()
    world.send(recipient("bob@lmtp.example.org", NOTIFY_SUCCESS, "rfc822;robert+2Bx@example.org"), envid="QQ+2B314")
    await world.clock.run(1)
    (report,) = world.received("alice@example.com")
    about, block = status_of(report)
    assert block["Action"] == "delivered"
    assert block["Original-Recipient"] == "rfc822; robert+x@example.org"
    assert about["Original-Envelope-Id"] == "QQ+314"
    await world.stop()


async def test_one_report_tells_of_all_recipients_of_a_settlement() -> None:
    world = World()
    world.hops["mx:example.org"] = refuses()
    world.send(*(f"user{number}@example.org" for number in range(5)))
    await world.clock.run(1)
    (report,) = world.received("alice@example.com")
    assert [block["Final-Recipient"] for block in status_of(report)[1:]] == [
        f"rfc822; user{number}@example.org" for number in range(5)
    ]
    await world.stop()


async def test_nobody_is_told_about_a_report() -> None:
    world = World()
    world.hops["mx:example.org"] = refuses()
    world.hops["mx:example.com"] = refuses()  # where the report goes
    world.send("bob@example.org")
    await world.clock.run(HOUR)
    assert len(world.of(DsnQueued)) == 1
    (suppressed,) = world.of(DsnSuppressed)
    assert (suppressed.kind, suppressed.reason) == ("failed", "null reverse-path")
    assert len(world.of(MessageRemoved)) == 2
    assert world.spool.rows() == {}
    await world.stop()


async def test_a_report_that_cannot_be_delivered_expires_in_silence() -> None:
    world = World()
    world.hops["mx:example.org"] = refuses()
    world.hops["mx:example.com"] = defers()
    world.send("bob@example.org")
    await world.clock.run(6 * DAY)
    assert len(world.of(DsnQueued)) == 1
    assert [record.reason for record in world.of(DsnSuppressed)] == ["null reverse-path"]
    assert world.spool.rows() == {}
    await world.stop()


async def test_large_content_is_returned_as_its_header_section() -> None:
    world = World(inline=1000)
    world.hops["mx:example.org"] = refuses()
    world.send("bob@example.org", content=b"Subject: large\r\n\r\n" + b"x" * 76 + b"\r\n" + b"y" * 200_000 + b"\r\n")
    await world.clock.run(1)
    (report,) = world.received("alice@example.com")
    returned = report.get_payload(2)
    assert isinstance(returned, EmailMessage)
    assert returned.get_content_type() == "text/rfc822-headers"
    assert "Subject: large" in returned.get_content()
    await world.stop()


async def test_content_behind_a_reader_is_returned_in_full_when_small_enough() -> None:
    world = World(inline=100)
    world.hops["mx:example.org"] = refuses()
    world.send("bob@example.org", content=b"Subject: middling\r\n\r\n" + b"z" * 500 + b"\r\n")
    await world.clock.run(1)
    (report,) = world.received("alice@example.com")
    returned = report.get_payload(2)
    assert isinstance(returned, EmailMessage)
    assert returned.get_content_type() == "message/rfc822"
    assert "z" * 500 in returned.as_string()
    await world.stop()


async def test_content_that_cannot_be_read_puts_the_recipient_off_and_is_reported_in_the_end() -> None:
    world = World(QueueSettings(expire_after="1h", warn_after="never"), inline=65536)
    world.hops["mx:example.org"] = defers()
    queue_id = world.send("bob@example.org")
    world.spool.unread.add(queue_id)
    await world.clock.run(2 * HOUR)
    (report,) = world.received("alice@example.com")
    block = status_of(report)[1]
    assert block["Diagnostic-Code"] == "x-postroad; 451 4.3.0 the content cannot be read from the spool"
    await world.stop()


async def test_damaged_content_waits_for_people_and_is_not_tried_again() -> None:
    world = World(QueueSettings(expire_after="1h", warn_after="never"), inline=65536)
    world.hops["mx:example.org"] = defers()
    queue_id = world.send("bob@example.org")
    world.spool.damaged.add(queue_id)
    await world.clock.run(2 * HOUR)
    (held,) = world.of(RecipientHeld)
    assert held.reason == "the content's checksum is wrong"
    assert [row.status for row in world.spool.rows().values()] == [Status.HELD]
    assert world.spool.bodies == 1
    assert not world.received("alice@example.com")
    await world.stop()
