"""Drops on their way through the one intake: taken, refused with a report, deferred, set aside, resumed."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from postroad.listener.drops import AGAIN, SPACING, Drops, Parts
from postroad.listener.settings import LimitsSettings
from postroad.model.address import NULL_PATH, parse_mailbox
from postroad.model.envelope import Envelope
from postroad.model.errors import SpoolError
from postroad.model.expansion import Expanded, Incoming, Unexpanded
from postroad.model.queueid import QueueIds
from postroad.model.records import CommandRefused, DropSetAside, DropsFaulted, DsnQueued, MessageAccepted, Record
from postroad.policy.context import RcptContext
from postroad.policy.verdict import Accept, Defer, Reject, Verdict
from postroad.queue.announce import Announcer
from postroad.smtp import replies
from postroad.smtp.events import MailFrom, RcptTo
from postroad.store.dropbell import ring
from postroad.store.drops import DropFolder, Letter, write_drop
from tests.support.clock import ManualClock
from tests.support.conversation import HOSTNAME, Desk

CONTENT = b"Subject: x\r\nMessage-ID: <1@x>\r\n\r\nhello\r\n"


def policy(ctx: RcptContext) -> Verdict:
    """Refuses who is called bad, defers who is called later, takes the rest; only relays come here."""
    assert ctx.peer.relays
    match ctx.recipient.local:
        case "bad":
            return Reject(replies.unknown_recipient(ctx.recipient), "bad")
        case "later":
            return Defer(replies.ALIASES_UNAVAILABLE, "later")
        case _:
            return Accept("good")


class Bench:
    """A folder, the server's parts, and what came of them."""

    def __init__(self, folder: Path, *, limits: LimitsSettings | None = None) -> None:
        self.answer: Unexpanded | None = None
        self.desk = Desk(policies=(policy,), limits=limits, expand=self._expand)
        self.folder = DropFolder(folder / "drops")
        self.folder.prepare()
        self.clock = ManualClock()
        self.known: set[str] = set()
        self.drops = self.begin()

    def _expand(self, incoming: Incoming) -> Expanded | Unexpanded:
        return self.answer or Expanded(incoming.recipients)

    def begin(self) -> Drops:
        """A server's start."""
        desk = self.desk
        announcer = Announcer(
            spool=desk.spool,
            admit=lambda _stored, _works: None,
            emit=desk.records.append,
            hostname=HOSTNAME,
            queue_ids=QueueIds(2),
        )

        async def knows(queue_id: str) -> bool:
            return queue_id in self.known

        parts = Parts(
            folder=self.folder,
            clock=self.clock,
            emit=desk.records.append,
            stages=desk.stages,
            intake=desk.intake,
            limits=desk.limits,
            queue_ids=QueueIds(1),
            postmaster=desk.postmaster,
            hostname=HOSTNAME,
            knows=knows,
            refuse=announcer.refused,
        )
        return Drops(parts, poll=1.0)

    def drop(self, *to: str, sender: str = "ann@example.org", content: bytes = CONTENT) -> str:
        path = parse_mailbox(sender) if sender else NULL_PATH
        letter = Letter(MailFrom(path), tuple(RcptTo(parse_mailbox(address)) for address in to))
        return write_drop(self.folder.new, letter, [content])

    def messages(self) -> list[Envelope]:
        return [envelope for envelope, _ in self.desk.spool.messages]

    def told(self, kind: type[Record]) -> list[Record]:
        return [record for record in self.desk.records if isinstance(record, kind)]

    def left(self) -> dict[str, int]:
        """How much lies where."""
        return {name: len(list((self.folder.path / name).iterdir())) for name in ("new", "taken", "aside")}


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    await made.drops.stop()


EMPTY = {"new": 0, "taken": 0, "aside": 0}


async def test_a_drop_becomes_mail(bench: Bench) -> None:
    bench.drop("bob@example.net", "cid@example.net")
    await bench.drops.look()
    ((envelope, content),) = bench.desk.spool.messages
    (accepted,) = bench.told(MessageAccepted)
    assert isinstance(accepted, MessageAccepted)
    assert accepted.id == envelope.id
    assert content == CONTENT
    assert envelope.sender.text == "ann@example.org"
    assert [str(one.address) for one in envelope.recipients] == ["bob@example.net", "cid@example.net"]
    assert envelope.origin.helo == f"userid {os.getuid()}"
    assert envelope.origin.listener == "drops"
    assert envelope.message_id == "<1@x>"
    assert envelope.prefix.startswith(
        f"Received: by {HOSTNAME} (Postroad, from userid {os.getuid()})\r\n\tid {envelope.id};"
    )
    assert bench.left() == EMPTY


async def test_many_and_large_drops(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    large = b"".join(b"line %d\r\n" % number for number in range(300_000))
    bench.drop("big@example.net", content=large)
    for number in range(100):
        bench.drop(f"u{number}@example.net")
    await bench.drops.look()
    assert len(bench.messages()) == 101
    (found,) = [content for envelope, content in bench.desk.spool.messages if envelope.size > 1000]
    assert found == large
    assert bench.left() == EMPTY


async def test_refused_recipients_are_reported_and_the_others_get_it(bench: Bench) -> None:
    bench.drop("bob@example.net", "bad@example.net")
    await bench.drops.look()
    report, message = bench.messages()
    assert (str(report.recipients[0].address), report.sender) == ("ann@example.org", NULL_PATH)
    assert [str(one.address) for one in message.recipients] == ["bob@example.net"]
    text = bench.desk.spool.messages[0][1]
    assert b"bad@example.net" in text
    assert b"Status: 5.1.1" in text
    (told,) = bench.told(DsnQueued)
    assert isinstance(told, DsnQueued)
    assert (told.id, told.kind) == (message.id, "failed")
    assert len(bench.told(CommandRefused)) == 1
    assert bench.left() == EMPTY


async def test_when_all_are_refused_only_the_report_goes(bench: Bench) -> None:
    bench.drop("bad@example.net")
    await bench.drops.look()
    assert [str(one.recipients[0].address) for one in bench.messages()] == ["ann@example.org"]
    assert bench.left() == EMPTY


async def test_nobody_to_tell_means_set_aside(bench: Bench) -> None:
    bench.drop("bad@example.net", sender="")
    await bench.drops.look()
    assert bench.messages() == []
    assert len(bench.told(DropSetAside)) == 1
    assert bench.left() == {**EMPTY, "aside": 1}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"a\nb\r\n", id="bare LF"),
        pytest.param(b"a\rb\r\n", id="bare CR"),
        pytest.param(b"a\0b\r\n", id="NUL"),
        pytest.param(b"Received: x\r\n" * 51 + b"\r\n", id="loop"),
        pytest.param(b"x" * 70_000, id="large"),
    ],
)
async def test_what_smtp_would_refuse_is_reported_and_set_aside(tmp_path: Path, content: bytes) -> None:
    limits = LimitsSettings.model_validate({"message_size": "64KiB", "header_size": "64KiB"})
    bench = Bench(tmp_path, limits=limits)
    bench.drop("bob@example.net", content=content)
    await bench.drops.look()
    assert [str(one.recipients[0].address) for one in bench.messages()] == ["ann@example.org"]
    assert bench.left() == {**EMPTY, "aside": 1}
    (record,) = bench.told(DropSetAside)
    assert isinstance(record, DropSetAside)
    assert Path(record.aside).exists()
    assert record.uid == os.getuid()


async def test_what_smtp_would_defer_waits_and_is_told_once(bench: Bench) -> None:
    bench.drop("bob@example.net", "bad@example.net")
    bench.answer = Unexpanded(replies.ALIASES_UNAVAILABLE, "no answer")
    for _ in range(3):
        await bench.drops.look()
        bench.clock.advance(AGAIN)
    assert len(bench.messages()) == 1  # the report
    assert bench.left() == {**EMPTY, "taken": 1}
    bench.answer = None
    await bench.drops.look()
    assert [one.sender.text for one in bench.messages()] == ["", "ann@example.org"]
    assert bench.left() == EMPTY


async def test_a_full_spool_and_a_deferring_policy_let_drops_wait(bench: Bench) -> None:
    bench.drop("later@example.net", "bad@example.net")
    await bench.drops.look()
    bench.desk.spool.room = False
    bench.drop("bob@example.net")
    await bench.drops.look()
    assert bench.messages() == []
    assert bench.left() == {**EMPTY, "taken": 2}
    bench.desk.spool.room = True
    bench.clock.advance(AGAIN)
    await bench.drops.look()
    assert len(bench.messages()) == 1
    assert bench.left() == {**EMPTY, "taken": 1}


async def test_a_failing_spool_lets_drops_wait(bench: Bench) -> None:
    bench.drop("bob@example.net")
    bench.drop("bad@example.net")
    bench.desk.spool.fault = SpoolError("broken")
    await bench.drops.look()
    assert bench.left() == {**EMPTY, "taken": 2}
    bench.desk.spool.fault = None
    bench.clock.advance(AGAIN)
    await bench.drops.look()
    assert len(bench.messages()) == 2
    assert bench.left() == EMPTY


async def test_hostile_files_are_set_aside_and_stop_nobody(bench: Bench, tmp_path: Path) -> None:
    new = bench.folder.new
    (new / "drop-garbage").write_bytes(b"\xff" * 1000)
    (new / "drop-empty").touch()
    (new / "drop-link").symlink_to("/etc/passwd")
    os.mkfifo(new / "drop-fifo")
    (new / "drop-folder").mkdir()
    (new / os.fsdecode(b"drop-\xff\n")).write_bytes(b"postroad-drop 1\n")
    bench.drop("bob@example.net")
    await bench.drops.look()
    await bench.drops.look()
    assert len(bench.messages()) == 1
    assert len(bench.told(DropSetAside)) == 6
    assert bench.left() == {**EMPTY, "aside": 6}


async def test_too_many_recipients_for_one_drop(tmp_path: Path) -> None:
    bench = Bench(tmp_path, limits=LimitsSettings(recipients_per_message=100))
    bench.drop(*(f"u{number}@example.net" for number in range(101)))
    await bench.drops.look()
    assert bench.left() == {**EMPTY, "aside": 1}


async def test_postmaster_without_a_domain(bench: Bench) -> None:
    letter = Letter(MailFrom(parse_mailbox("ann@example.org")), (RcptTo(parse_mailbox("postmaster")),))
    write_drop(bench.folder.new, letter, [CONTENT])
    await bench.drops.look()
    assert [one.address for one in bench.messages()[0].recipients] == [bench.desk.postmaster]


async def test_what_was_being_taken_in_is_taken_in_once(bench: Bench) -> None:
    for queue_id in ("3Pt2mN2VXxznj", "3Pt2mN2VXxznk"):
        bench.folder.take(bench.drop("bob@example.net"), queue_id)
    bench.known.add("3Pt2mN2VXxznj")  # killed after the spool had it and before the drop was removed
    restarted = bench.begin()
    await restarted.resume()
    await restarted.look()
    assert [one.id for one in bench.messages()] == ["3Pt2mN2VXxznk"]
    assert bench.left() == EMPTY


async def test_a_drop_is_gone_before_the_queue_has_it(bench: Bench) -> None:
    left: list[dict[str, int]] = []
    bench.desk.intake._admit = lambda _stored, _works: left.append(bench.left())
    bench.drop("bob@example.net")
    await bench.drops.look()
    assert left == [EMPTY]


async def tick(bench: Bench) -> None:
    """Let a second pass, and threads do their work."""
    bench.clock.advance(1)
    await asyncio.sleep(0.01)


async def test_the_loop_looks_again_and_tells_a_fault_once(bench: Bench) -> None:
    bench.drops.start()
    await tick(bench)
    bench.drop("bob@example.net")
    while not bench.messages():
        await tick(bench)
    bench.folder.new.rename(bench.folder.path / "moved")
    while not bench.told(DropsFaulted):
        await tick(bench)
    for _ in range(5):
        await tick(bench)
    assert len(bench.told(DropsFaulted)) == 1
    (bench.folder.path / "moved").rename(bench.folder.new)
    bench.drop("cid@example.net")
    while len(bench.messages()) < 2:
        await tick(bench)


async def heard(condition: Callable[[], bool]) -> None:
    """Wait until threads and the event loop have come so far; the clock stands still."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


def rests(bench: Bench) -> bool:
    """True when it has looked, and does not listen yet."""
    due = bench.clock.next_due()
    return due is not None and due <= SPACING * 1.001


async def test_who_drops_something_wakes_the_server(bench: Bench) -> None:
    began = bench.clock.monotonic()
    bench.drops.start()
    await heard(lambda: rests(bench))
    await bench.clock.run(SPACING)
    for count in (1, 2, 3):
        bench.drop("bob@example.net")
        await heard(lambda count=count: len(bench.messages()) == count)  # type: ignore[misc]  # bound at once
        await heard(lambda: bench.clock.next_due() is not None)
        await bench.clock.run(SPACING)
    assert bench.clock.monotonic() < began + 1  # it was never time to look anyway


async def test_a_bell_that_is_missing_costs_a_second_and_is_told(bench: Bench) -> None:
    (bench.folder.path / "bell").unlink()
    bench.drops.start()
    bench.drop("bob@example.net")
    while not bench.messages():
        await tick(bench)
    (told,) = bench.told(DropsFaulted)
    assert "bell" in str(told)


async def test_however_many_ring_it_is_looked_once_in_a_moment(bench: Bench) -> None:
    bench.drops.start()
    await heard(lambda: rests(bench))
    for _ in range(20):
        ring(bench.folder.path)
        await bench.clock.run(SPACING)
        await heard(lambda: rests(bench))  # and hears nobody now
        for _ in range(100):
            ring(bench.folder.path)
            await asyncio.sleep(0)
        assert not bench.drops._rung.is_set()
    bench.drop("bob@example.net")
    await bench.clock.run(SPACING)
    await heard(lambda: len(bench.messages()) == 1)
