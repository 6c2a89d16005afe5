"""Retry rules, greylisting, peers' wishes and fallbacks, over days that pass in milliseconds."""

from postroad.message.dsntexts import Languages
from postroad.model.address import parse_mailbox
from postroad.model.content import Content
from postroad.model.outcome import Deferred, Delivered, Outcome, Scope
from postroad.model.records import (
    DsnQueued,
    DsnSuppressed,
    LaneSuspended,
    RecipientDeferred,
    RecipientDelivered,
    RecipientFailed,
)
from postroad.model.reply import Reply
from postroad.model.route import Fallback
from postroad.model.work import Work
from postroad.queue.books import Reporting
from postroad.queue.settings import QueueSettings
from tests.scenarios.queue_world import OK, Hop, World, dead, defers, refuses, takes, target_of

HOUR = 3600.0
BACKUP = "mx:backup.example"


def pauses(world: World, recipient: str) -> list[int]:
    """The seconds between the tries of `recipient` that were put off and the next ones."""
    return [
        round((record.due - record.at) / 1e6) for record in world.of(RecipientDeferred) if record.recipient == recipient
    ]


async def test_each_rule_has_its_own_tries_warning_and_end() -> None:
    rules = [
        {"domains": ["slow.example"], "retry": ["10m"], "warn_after": "never"},
        {"tags": ["code"], "retry": ["20s"], "expire_after": "5m", "warn_after": "1m"},
        {"sites": ["full"], "errors": ["4.2.2"], "retry": ["2h"], "expire_after": "9h"},
    ]
    world = World(retry=rules, sites={"mx:full.example": "full"})
    world.hops["mx:slow.example"] = defers()
    world.hops["mx:code.example"] = defers()
    world.hops["mx:full.example"] = defers(Reply(452, "4.2.2", "mailbox full"))
    world.send("a@slow.example")
    world.send("a@code.example", tags=("code",))
    world.send("a@full.example")
    await world.clock.run(10 * HOUR)
    assert set(pauses(world, "a@slow.example")) == {600}
    assert set(pauses(world, "a@code.example")) == {20}
    assert set(pauses(world, "a@full.example")) >= {7200}
    ended = {record.recipient: record.delay for record in world.of(RecipientFailed)}
    assert set(ended) == {"a@code.example", "a@full.example"}
    assert 300 <= ended["a@code.example"] <= 360
    assert 9 * HOUR <= ended["a@full.example"] <= 9 * HOUR + 60
    told = sorted((record.kind, record.at) for record in world.of(DsnQueued))
    assert [kind for kind, _ in told] == ["delayed", "delayed", "failed", "failed"]
    await world.stop()


async def test_greylisting_is_tried_again_soon_and_a_wish_is_followed() -> None:
    world = World(QueueSettings(retry=("2h",)))

    def after(seconds: float, text: str) -> Hop:
        begin = world.clock.now()

        async def hop(works: list[Work], content: Content) -> list[Outcome]:
            target = target_of(works[0].lane)
            if world.clock.now() - begin < seconds * 1_000_000:
                return [Deferred(Reply(450, "4.2.0", text), Scope.RECIPIENT, target, "RCPT TO") for _ in works]
            return [Delivered(OK, target) for _ in works]

        return hop

    world.hops["mx:grey.example"] = after(290, "Greylisted, see https://example.com")
    world.hops["mx:wish.example"] = after(1500, "busy, try again in 25 minutes")
    world.hops["mx:plain.example"] = after(10, "busy")
    for name in ("grey", "wish", "plain"):
        world.send(f"a@{name}.example")
    await world.clock.run(3 * HOUR)
    delays = {record.recipient: round(record.delay) for record in world.of(RecipientDelivered)}
    assert delays == {"a@grey.example": 300, "a@wish.example": 1500, "a@plain.example": 7200}
    await world.stop()


async def test_a_recipient_goes_on_at_the_fallback_for_an_error_that_says_so() -> None:
    world = World(fallbacks={"mx:a.example": Fallback(BACKUP, float("inf"), ("4.3.",))})
    world.hops["mx:a.example"] = defers(Reply(451, "4.3.2", "shutting down"))
    world.send("x@a.example", "y@a.example")
    await world.clock.run(1)
    moved = world.of(RecipientDeferred)
    assert {(record.moved_to, record.due) for record in moved} == {(BACKUP, moved[0].at)}
    assert [record.lane for record in world.of(RecipientDelivered)] == [BACKUP] * 2
    assert [record.attempts for record in world.of(RecipientDelivered)] == [2, 2]
    await world.stop()


async def test_a_recipient_goes_on_at_the_fallback_once_it_is_old_enough() -> None:
    world = World(fallbacks={"mx:a.example": Fallback(BACKUP, 1800.0)})
    world.hops["mx:a.example"] = defers()
    world.send("x@a.example")
    await world.clock.run(1790)
    assert not world.copies
    await world.clock.run(130)
    (record,) = world.of(RecipientDelivered)
    assert record.lane == BACKUP
    assert 1800 <= record.delay <= 1860
    await world.stop()


async def test_what_waits_for_a_suspended_next_hop_falls_back_too() -> None:
    fallbacks = {"mx:dead.example": Fallback(BACKUP, 600.0), "mx:gone.example": Fallback(BACKUP, 1e9, ("4.4.1",))}
    world = World(QueueSettings(suspend=("5h",)), fallbacks=fallbacks)
    for name in ("dead", "gone"):
        world.hops[f"mx:{name}.example"] = dead()
        for number in range(60):
            world.send(f"u{number}@{name}.example")
    await world.clock.run(5)
    assert {record.lane for record in world.of(LaneSuspended)} == {"mx:dead.example", "mx:gone.example"}
    assert {address.partition("@")[2] for _, address in world.copies} == {"gone.example"}
    world.send("late@gone.example")
    await world.clock.run(5)
    assert len(world.copies) == 61
    await world.clock.run(700)
    assert len(world.copies) == 121
    assert set(world.copies.values()) == {1}
    await world.stop()


async def test_a_fallback_that_is_dead_as_well_loses_nothing() -> None:
    fallbacks = {"mx:a.example": Fallback(BACKUP, 0.0), BACKUP: Fallback("mx:a.example", 0.0)}
    world = World(QueueSettings(expire_after="1d", warn_after="never"), fallbacks=fallbacks)
    world.hops["mx:a.example"] = dead()
    world.hops[BACKUP] = dead()
    world.send("x@a.example")
    await world.clock.run(10)
    assert len(world.batches) < 200, "two dead next hops must not send mail round and round"
    world.hops[BACKUP] = takes()
    await world.clock.run(2 * HOUR)
    assert sum(world.copies.values()) == 1
    await world.stop()


async def test_nobody_is_told_where_the_sender_is_not_verified() -> None:
    world = World()
    world.hops["mx:full.example"] = defers()
    world.send("x@full.example", sender="forged@example.net", tags=("unverified",))
    await world.clock.run(130 * HOUR)
    assert [record.expired for record in world.of(RecipientFailed)] == [True]
    suppressed = [(record.kind, record.reason) for record in world.of(DsnSuppressed)]
    assert suppressed == [("delayed", "unverified sender"), ("failed", "unverified sender")]
    assert not world.of(DsnQueued)
    await world.stop()


def postmaster(*copies: str) -> Reporting:
    return Reporting(
        "relay.example.net", 65536, Languages(), parse_mailbox("postmaster@example.net"), frozenset(copies)
    )


async def test_the_postmaster_gets_copies_by_class_of_error_without_content() -> None:
    world = World(reporting=postmaster("policy", "delay"))
    world.hops["mx:policy.example"] = refuses(Reply(550, "5.7.1", "not you"))
    world.hops["mx:gone.example"] = refuses(Reply(550, "5.1.1", "who?"))
    world.hops["mx:slow.example"] = defers()
    for name in ("policy", "gone", "slow"):
        world.send(f"a@{name}.example")
    await world.clock.run(5 * HOUR)
    copies = world.received("postmaster@example.net")
    assert sorted(copy["Subject"] for copy in copies) == [
        "Postmaster Copy: Delayed Mail (still being retried)",
        "Postmaster Copy: Undelivered Mail Returned to Sender",
    ]
    assert all("not you" in copy.as_string() or "try again later" in copy.as_string() for copy in copies)
    assert not any("Hello." in copy.as_string() for copy in copies)
    assert len(world.received("alice@example.com")) == 3
    assert sorted(record.kind for record in world.of(DsnQueued)) == [
        "delayed",
        "delayed copy",
        "failed",
        "failed",
        "failed copy",
    ]
    await world.stop()


async def test_what_nobody_is_told_may_be_copied_and_copies_never_breed() -> None:
    world = World(reporting=postmaster("bounce", "2bounce"))
    world.hops["mx:example.net"] = refuses()
    world.hops["mx:gone.example"] = refuses()
    world.send("a@gone.example", sender="")
    world.send("b@gone.example", sender="x@example.net", tags=("unverified",))
    await world.clock.run(10)
    assert [record.to for record in world.of(DsnQueued)] == ["postmaster@example.net"] * 2
    assert world.spool.rows() == {}
    await world.stop()
