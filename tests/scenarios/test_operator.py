"""An operator's orders over a real spool: they hold, they outlive a restart, and nothing is lost or doubled."""

import asyncio
from pathlib import Path

import pytest

from postroad.model.envelope import Envelope, Recipient
from postroad.model.errors import SpoolError
from postroad.model.outcome import Outcome
from postroad.model.records import (
    DsnQueued,
    LaneSuspended,
    MessageRemoved,
    OperatorActed,
    RecipientDeferred,
    RecipientFailed,
    RecipientHandled,
)
from postroad.model.suspension import NEXT_HOP, ROUTE, SITE, Suspension
from postroad.model.trail import attempts_of
from postroad.model.work import Status, Work
from postroad.queue.throttle import START
from postroad.queue.times import NEVER
from postroad.spool.filters import Query
from tests.support.operating import OperatedWorld, defers, is_down, takes

HOUR = 3_600_000_000


async def test_hold_outlives_restart_and_index_and_release_delivers(tmp_path: Path) -> None:
    world = await OperatedWorld(tmp_path / "spool", defers).start()
    first, second = world.send("a@one.example", "b@two.example"), world.send("c@two.example")
    await world.at_rest()
    tally = await world.order("hold", Query(domain="two.example"), reason="why not")
    assert (tally.recipients, tally.messages, tally.busy) == (2, 2, 0)
    rows = await world.rows()
    assert {address: row.status for address, row in rows.items()} == {
        "a@one.example": Status.PENDING,
        "b@two.example": Status.HELD,
        "c@two.example": Status.HELD,
    }
    assert rows["b@two.example"].reply == "held by root: why not"
    assert len(attempts_of(rows["b@two.example"].trail)) == 1
    await world.stop()
    (tmp_path / "spool" / "index.db").unlink()
    world.hop = takes
    await world.start()
    await world.until(lambda: len(world.copies) == 1, step=1.0)
    await world.passing(3600)
    assert set(world.copies) == {("mx:one.example", first, "a@one.example")}
    assert (await world.order("retry", Query())).unconcerned == 2
    assert (await world.order("release", second)).recipients == 1
    await world.until(lambda: len(world.copies) == 2)
    assert (await world.order("release", Query(status=Status.HELD))).recipients == 1
    await world.until(lambda: len(world.copies) == 3)
    await world.at_rest()
    assert set(world.copies.values()) == {1}
    assert {record.id for record in world.of(MessageRemoved)} == {first, second}
    await world.stop()


async def test_a_moved_recipient_keeps_its_lane_through_restart_rebuild_and_lease(tmp_path: Path) -> None:
    world = await OperatedWorld(tmp_path / "spool", defers).start()
    world.send("a@one.example", "b@two.example")
    await world.at_rest()
    lane = "smtp://other.example:25"
    assert (await world.order("reroute", Query(recipient="a@one.example"), lane=lane)).recipients == 1
    await world.at_rest()
    for index in ("keep", "remove"):
        await world.stop()
        if index == "remove":
            (tmp_path / "spool" / "index.db").unlink()
        await world.start()
        row = (await world.rows())["a@one.example"]
        assert (row.lane, row.moved) == (lane, True)
    world.hop = takes
    assert (await world.order("retry", Query())).recipients == 2
    await world.until(lambda: len(world.copies) == 2)
    assert {(lane, recipient) for lane, _, recipient in world.copies} == {
        (lane, "a@one.example"),
        ("mx:two.example", "b@two.example"),
    }
    assert [record.lane for record in world.of(RecipientHandled) if record.action == "reroute"] == [lane]
    await world.stop()


async def test_reroute_to_mx_goes_to_each_recipients_own_domain(tmp_path: Path) -> None:
    world = await OperatedWorld(tmp_path / "spool", defers).start()
    world.lane_of = lambda envelope, recipient: "smtp://smarthost.example:25"
    world.send("a@one.example", "b@two.example")
    await world.at_rest()
    await world.order("reroute", Query(), lane="mx")
    await world.at_rest()
    assert {row.lane for row in (await world.rows()).values()} == {"mx:one.example", "mx:two.example"}
    await world.stop()


async def test_fail_sends_a_dsn_and_drop_sends_none(tmp_path: Path) -> None:
    world = await OperatedWorld(tmp_path / "spool", defers).start()
    failed = world.send("a@one.example", "b@two.example")
    dropped = world.send("c@two.example")
    await world.at_rest()
    assert (await world.order("fail", Query(recipient="a@one.example"), reason="closed")).recipients == 1
    assert [(record.id, record.to) for record in world.of(DsnQueued)] == [(failed, "alice@example.com")]
    (record,) = world.of(RecipientFailed)
    assert (record.recipient, record.reply.text) == ("a@one.example", "failed by the operator: closed")
    assert (await world.order("drop", Query(domain="two.example"))).recipients == 2
    assert len(world.of(DsnQueued)) == 1
    assert {one.id for one in world.of(MessageRemoved)} == {failed, dropped}
    await world.at_rest()
    assert set(await world.rows()) == {"alice@example.com"}  # the report waits
    (acted, _) = world.of(OperatorActed)
    assert (acted.action, acted.by, acted.uid, acted.recipients, acted.messages) == ("fail", "root", 0, 1, 1)
    assert acted.reason == "closed"
    await world.stop()


async def test_orders_reach_what_waits_in_memory_for_its_turn(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def slow(works: list[Work]) -> list[Outcome]:
        await gate.wait()
        return await takes(works)

    world = await OperatedWorld(tmp_path / "spool", slow, concurrency=1).start()
    ids = [world.send(f"user{number}@one.example") for number in range(5)]
    await world.until(lambda: world.dispatcher.ready.used == 5)
    await world.until(lambda: world.dispatcher.ready.running == 1)
    tally = await world.order("drop", Query())
    assert (tally.recipients, tally.busy) == (4, 1)
    gate.set()
    await world.at_rest()
    assert {queue_id for _, queue_id, _ in world.copies} == {ids[0]}
    assert await world.rows() == {}
    await world.stop()


async def test_what_is_being_delivered_is_waited_for_a_little(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def slow(works: list[Work]) -> list[Outcome]:
        await gate.wait()
        return await defers(works)

    world = await OperatedWorld(tmp_path / "spool", slow).start()
    queue_id = world.send("a@one.example")
    await world.until(lambda: world.dispatcher.ready.running == 1)
    ordered = asyncio.create_task(world.order("hold", queue_id))
    await world.passing(0.5)
    gate.set()
    tally = await ordered
    assert (tally.recipients, tally.busy) == (1, 0)
    assert (await world.rows())["a@one.example"].status is Status.HELD
    await world.stop()


async def test_retry_does_not_wait_for_the_end_of_a_next_hops_pause(tmp_path: Path) -> None:
    world = await OperatedWorld(tmp_path / "spool", is_down, suspend=["10m"], retry=["1h"]).start()
    for number in range(8):
        world.send(f"user{number}@one.example")
    await world.at_rest()
    assert [state.until > world.clock.now() for state in world.dispatcher.lanes_state()] == [True]
    world.hop = takes
    before = world.clock.now()
    assert (await world.order("retry", Query())).recipients == 8
    await world.until(lambda: len(world.copies) == 8)
    assert world.clock.now() < before + 120_000_000
    await world.stop()


async def test_the_trail_has_every_attempt_and_a_delivery_leaves_none(tmp_path: Path) -> None:
    world = await OperatedWorld(tmp_path / "spool", defers, retry=["1m"]).start()
    world.send("a@one.example")
    await world.until(lambda: len(world.of(RecipientDeferred)) == 3, step=1.0)
    await world.at_rest()
    row = (await world.rows())["a@one.example"]
    said = attempts_of(row.trail)
    assert [one.at for one in said] == [record.at for record in world.of(RecipientDeferred)]
    assert {(one.target, one.command, one.reply) for one in said} == {
        ("one.example[192.0.2.1]:25", "RCPT TO", "451 4.3.2 try again later")
    }
    await world.stop()


def suspension(world: OperatedWorld, kind: str, name: str, until: int = NEVER) -> Suspension:
    return Suspension(kind, name, until, "root", world.clock.now(), "maintenance")


@pytest.mark.parametrize("pattern", ["one.example", "mx:one.*", "*"])
async def test_a_suspended_next_hop_gets_nothing_until_it_is_resumed(tmp_path: Path, pattern: str) -> None:
    world = await OperatedWorld(tmp_path / "spool").start()
    await world.operator.suspend(suspension(world, NEXT_HOP, pattern), 0)
    world.send("a@one.example")
    world.send("b@one.example")
    await world.until(lambda: len(world.of(RecipientDeferred)) == 2)
    await world.at_rest()
    await world.stop()
    await world.start()  # it outlives a restart
    world.send("c@one.example")
    await world.passing(7200)
    await world.at_rest()
    assert world.copies == {}
    assert {row.attempts for row in (await world.rows()).values()} == {0}
    resumed = await world.operator.resume(NEXT_HOP, pattern, "root", 0)
    assert [one.name for one in resumed] == [pattern]
    await world.until(lambda: len(world.copies) == 3)
    assert world.kept == []
    assert [one.action for one in world.of(OperatorActed)] == ["suspend", "resume"]
    await world.stop()


async def test_a_suspension_ends_by_itself_and_stops_nobody_else(tmp_path: Path) -> None:
    world = await OperatedWorld(tmp_path / "spool").start()
    end = world.clock.now() + HOUR
    await world.operator.suspend(suspension(world, NEXT_HOP, "one.example", end), 0)
    world.send("a@one.example", "b@two.example")
    await world.until(lambda: len(world.copies) == 1)
    await world.passing(3500)
    assert {lane for lane, _, _ in world.copies} == {"mx:two.example"}
    await world.until(lambda: len(world.copies) == 2, step=1.0)
    assert end <= world.clock.now() < end + 60_000_000
    await world.stop()


async def test_what_waits_in_memory_is_put_off_when_its_next_hop_is_suspended(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def slow(works: list[Work]) -> list[Outcome]:
        await gate.wait()
        return await takes(works)

    world = await OperatedWorld(tmp_path / "spool", slow, concurrency=1).start()
    for number in range(4):
        world.send(f"user{number}@one.example")
    await world.until(lambda: world.dispatcher.ready.used == 4 and world.dispatcher.ready.running == 1)
    assert await world.operator.suspend(suspension(world, NEXT_HOP, "one.example"), 0) == ["mx:one.example"]
    gate.set()
    await world.at_rest()
    await world.passing(600)
    assert len(world.copies) == 1  # the one under way
    assert len(await world.rows()) == 3
    await world.operator.resume(NEXT_HOP, "*", "root", 0)
    await world.until(lambda: len(world.copies) == 4)
    await world.stop()


async def test_a_suspended_site_stops_all_its_next_hops_also_new_ones(tmp_path: Path) -> None:
    world = await OperatedWorld(tmp_path / "spool", retry=["5m"]).start()
    world.sites = {"mx:one.example": "big", "mx:two.example": "big", "mx:three.example": "other"}
    world.send("a@one.example")
    await world.until(lambda: len(world.copies) == 1)
    await world.operator.suspend(suspension(world, SITE, "big"), 0)
    world.send("b@one.example", "c@two.example", "d@three.example")
    await world.until(lambda: len(world.copies) == 2)
    await world.passing(3600)
    await world.at_rest()
    assert {lane for lane, _, _ in world.copies} == {"mx:one.example", "mx:three.example"}
    assert world.operator.suspensions.lanes_of("b*") == ["mx:one.example", "mx:two.example"]
    await world.operator.resume(SITE, "big", "root", 0)
    await world.until(lambda: len(world.copies) == 4)
    await world.stop()


async def test_a_lane_first_seen_while_its_site_is_suspended_has_not_failed(tmp_path: Path) -> None:
    world = await OperatedWorld(tmp_path / "spool", retry=["5m"], suspend=["1h"]).start()
    world.sites = {"mx:one.example": "big"}
    await world.operator.suspend(suspension(world, SITE, "big"), 0)
    for number in range(8):
        world.send(f"u{number}@one.example")
    await world.at_rest()
    await world.passing(3600)
    assert world.copies == {}
    assert world.of(LaneSuspended) == []
    assert {(row.attempts, row.trail) for row in (await world.rows()).values()} == {(0, "")}
    lane = world.dispatcher.ready.find("mx:one.example")
    assert lane is None or lane.throttle.failed_at == 0
    assert {"next hop suspended" in record.reply.text for record in world.of(RecipientDeferred)} == {True}
    await world.operator.resume(SITE, "big", "root", 0)
    await world.until(lambda: len(world.copies) == 8)
    assert set(world.copies.values()) == {1}
    await world.stop()


async def test_a_suspended_route_stops_the_lanes_that_it_leads_to(tmp_path: Path) -> None:
    world = OperatedWorld(tmp_path / "spool")

    def placed(envelope: Envelope, recipient: Recipient) -> str:
        lane = f"mx:{recipient.address.domain}"
        number = 1 if recipient.address.domain == "one.example" else 2
        world.suspensions.note_route(lane, f'route {number} (recipients = ["..."])')
        return lane

    world.lane_of = placed
    await world.start()
    await world.operator.suspend(suspension(world, ROUTE, "2"), 0)
    world.send("a@one.example", "b@two.example", "c@three.example")
    await world.until(lambda: len(world.copies) == 1)
    await world.passing(3600)
    assert {lane for lane, _, _ in world.copies} == {"mx:one.example"}
    await world.operator.resume(ROUTE, "2", "root", 0)
    await world.until(lambda: len(world.copies) == 3)
    await world.stop()


async def test_a_suspended_route_stops_what_waits_in_memory_too(tmp_path: Path) -> None:
    world = OperatedWorld(tmp_path / "spool")
    go_on = asyncio.Event()

    async def is_slow(works: list[Work]) -> list[Outcome]:
        await go_on.wait()
        return await takes(works)

    def placed(envelope: Envelope, recipient: Recipient) -> str:
        lane = f"mx:{recipient.address.domain}"
        world.suspensions.note_route(lane, 'route "slow"' if "two" in lane else "route 1")
        return lane

    world.hop, world.lane_of = is_slow, placed
    await world.start()
    for number in range(12):
        world.send(f"u{number}@two.example", f"u{number}@one.example")
    await world.until(lambda: world.sending == 0)
    stopped = await world.operator.suspend(suspension(world, ROUTE, "slow"), 0)
    assert stopped == ["mx:two.example"]
    go_on.set()
    await world.until(lambda: sum("one" in lane for lane, _, _ in world.copies) == 12)
    await world.passing(3600)
    assert sum("two" in lane for lane, _, _ in world.copies) == START  # those that were under way
    await world.operator.resume(ROUTE, "slow", "root", 0)
    await world.until(lambda: len(world.copies) == 24)
    assert set(world.copies.values()) == {1}
    await world.stop()


async def test_an_order_on_many_goes_by_portions_and_is_whole(tmp_path: Path) -> None:
    world = await OperatedWorld(tmp_path / "spool", is_down, suspend=["1h"]).start()
    for number in range(1300):
        world.send(f"user{number}@one.example", sender=f"s{number % 3}@example.com")
    await world.at_rest()
    tally = await world.order("hold", Query(sender="s1@example.com"))
    assert (tally.recipients, tally.messages, tally.busy) == (433, 433, 0)
    assert (await world.order("drop", Query())).recipients == 1300
    assert await world.rows() == {}
    assert (await world.spool.desk.stats()).messages == 0
    assert world.spool.desk.totals() == (0, 0)
    await world.stop()


async def test_what_cannot_be_kept_for_the_next_start_is_not_begun_or_ended(tmp_path: Path) -> None:
    world = await OperatedWorld(tmp_path / "spool").start()
    await world.operator.suspend(suspension(world, NEXT_HOP, "one.example"), 0)
    world.is_full = True
    with pytest.raises(SpoolError, match="no space"):
        await world.operator.suspend(suspension(world, NEXT_HOP, "two.example"), 0)
    with pytest.raises(SpoolError, match="no space"):
        await world.operator.resume(NEXT_HOP, "*", "root", 0)
    world.send("a@one.example", "b@two.example")
    await world.until(lambda: len(world.copies) == 1)
    await world.at_rest()
    assert {lane for lane, _, _ in world.copies} == {"mx:two.example"}
    world.is_full = False
    await world.operator.resume(NEXT_HOP, "*", "root", 0)
    await world.until(lambda: len(world.copies) == 2)
    await world.stop()


async def test_after_a_restart_nothing_is_fetched_for_what_is_suspended_however_many_domains(tmp_path: Path) -> None:
    world = await OperatedWorld(tmp_path / "spool", is_down).start()
    for thousand in range(3):
        world.send(*(f"u@d{thousand * 500 + number}.example" for number in range(500)), "u@open.test")
    await world.at_rest()
    await world.operator.suspend(Suspension(NEXT_HOP, "*.example", NEVER, "root", 1), 0)
    await world.stop()
    world.hop = takes
    world.clock.advance(7200)
    await world.start()
    await world.until(lambda: len(world.copies) == 3, step=1.0)
    await world.passing(600)
    assert {lane for lane, _, _ in world.copies} == {"mx:open.test"}
    assert not [lane for lane in world.suspensions._stopped if lane.endswith(".example")]  # none was looked at
    await world.operator.resume(NEXT_HOP, "*", "root", 0)
    await world.until(lambda: sum(lane.endswith(".example") for lane, _, _ in world.copies) == 1500, step=1.0)
    assert set(world.copies.values()) == {1}
    await world.stop()
