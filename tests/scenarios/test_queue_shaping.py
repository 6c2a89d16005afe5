"""Shaping rules at work: shared concurrency, rates, pauses and other meanings of replies, each wait with its reason."""

from postroad.model.content import Content
from postroad.model.outcome import Deferred, Delivered, Failed, Outcome, Scope
from postroad.model.records import LaneSuspended, RecipientDeferred, RecipientDelivered, RecipientFailed
from postroad.model.reply import Reply
from postroad.model.work import Work
from postroad.queue.lane import LaneState, WaitReason
from postroad.queue.rationing import HELD
from postroad.queue.settings import QueueSettings
from tests.scenarios.queue_world import OK, Hop, World, refuses, takes, target_of

GOOGLE = {"mx:a.example": "google", "mx:b.example": "google"}


def state(world: World, lane: str) -> LaneState:
    return next(state for state in world.dispatcher.lanes_state() if state.name == lane)


def delivered(world: World, since: float = 0.0) -> list[float]:
    """The seconds since the start at which recipients were delivered."""
    start = world.clock._start
    return [(record.at - start) / 1e6 for record in world.of(RecipientDelivered) if record.at >= start + since * 1e6]


def busiest(times: list[float], period: float) -> int:
    """The most that ever happened in any span of `period` seconds, its end left out."""
    times = sorted(times)
    return max(sum(1 for other in times if begin <= other < begin + period) for begin in times)


async def test_two_next_hops_of_one_site_share_one_concurrency() -> None:
    world = World(shaping=[{"sites": ["google"], "concurrency": 3}], sites=GOOGLE)
    for name in ("a", "b", "other"):
        world.hops[f"mx:{name}.example"] = takes(seconds=1.0, clock=world.clock)
        for number in range(30):
            world.send(f"u{number}@{name}.example")
    most = 0
    for _ in range(60):
        await world.clock.run(0.5)
        most = max(most, world.busy["mx:a.example"] + world.busy["mx:b.example"])
        if world.busy["mx:a.example"] and world.busy["mx:b.example"] and len(world.copies) < 60:
            waits = {state(world, lane).wait for lane in GOOGLE}
            assert waits <= {WaitReason.CONCURRENCY, WaitReason.LANE_BUSY}
            assert WaitReason.CONCURRENCY in waits
    assert most == 3
    assert world.peak["mx:other.example"] > 3
    assert len(world.copies) == 90
    assert set(world.copies.values()) == {1}
    await world.stop()


async def test_a_rule_raises_and_lowers_the_concurrency_of_one_next_hop() -> None:
    rules = [{"per": "lane", "concurrency": 2}, {"domains": ["big.example"], "concurrency": 40}]
    world = World(shaping=rules)
    for name in ("big", "small"):
        world.hops[f"mx:{name}.example"] = takes(seconds=1.0, clock=world.clock)
        for number in range(400):
            world.send(f"u{number}@{name}.example")
    await world.clock.run(250)
    assert (world.peak["mx:big.example"], world.peak["mx:small.example"]) == (40, 2)
    assert len(world.copies) == 800
    await world.stop()


async def test_a_rate_is_never_exceeded_is_shared_and_nothing_polls() -> None:
    world = World(shaping=[{"sites": ["google"], "rates": ["10/minute"]}], sites=GOOGLE)
    for name in ("a", "b", "free"):
        world.hops[f"mx:{name}.example"] = takes(seconds=0.1, clock=world.clock)
    for number in range(25):
        for name in ("a", "b", "free"):
            world.send(f"u{number}@{name}.example")
    await world.clock.run(1)
    assert sum(lane == "mx:free.example" for lane, _ in world.batches) == 25
    shared = [record.lane for record in world.of(RecipientDelivered) if record.lane in GOOGLE]
    assert len(shared) == 10
    waiting = state(world, "mx:a.example")
    assert waiting.wait is WaitReason.RATE
    assert waiting.reason == "shaping[0].rates: 10/minute"
    assert waiting.until <= world.clock._start + 61_000_000
    leases = world.spool.leases
    await world.clock.run(58)
    assert world.spool.leases - leases <= 2
    await world.clock.run(2)
    second = [record.lane for record in world.of(RecipientDelivered) if record.lane in GOOGLE][10:]
    assert min(second.count(lane) for lane in GOOGLE) >= 3, "both have their share"
    await world.clock.run(300)
    times = [(record.at - world.clock._start) / 1e6 for record in world.of(RecipientDelivered) if record.lane in GOOGLE]
    assert len(times) == 50
    assert busiest(times, 60.0) == 10
    assert max(times) < 241, "no slower than the rate"
    await world.stop()


async def test_recipients_have_a_rate_and_large_messages_go_in_pieces() -> None:
    world = World(shaping=[{"domains": ["a.example"], "recipient_rates": ["40/minute", "100/hour"]}])
    world.send(*(f"u{number}@a.example" for number in range(150)))
    await world.clock.run(1)
    assert world.batches == [("mx:a.example", 40)]
    await world.clock.run(180)
    assert [count for _, count in world.batches] == [40, 40, 20]
    assert state(world, "mx:a.example").wait is WaitReason.RATE
    await world.clock.run(3600)
    assert len(world.copies) == 150
    assert set(world.copies.values()) == {1}
    await world.stop()


async def test_messages_are_counted_as_transactions() -> None:
    world = World(shaping=[{"domains": ["a.example"], "rates": ["2/minute"], "recipients_per_transaction": 10}])
    world.send(*(f"u{number}@a.example" for number in range(45)))
    await world.clock.run(1)
    assert [count for _, count in world.batches] == [20]
    await world.clock.run(121)
    assert [count for _, count in world.batches] == [20, 20, 5]
    terms = world.given[0].terms
    assert terms is not None
    assert terms.recipients == 10
    await world.stop()


async def test_a_used_up_rate_of_many_next_hops_holds_little_in_memory() -> None:
    lanes = {f"mx:d{number}.example": "google" for number in range(300)}
    world = World(QueueSettings(window=500), shaping=[{"sites": ["google"], "rates": ["5/minute"]}], sites=lanes)
    for number in range(3):
        for lane in lanes:
            world.send(f"u{number}@{lane.removeprefix('mx:')}")
    await world.clock.run(2)
    assert len(world.copies) == 5
    assert world.dispatcher.ready.used <= HELD + 5
    for number in range(600):
        world.send(f"u{number}@healthy.example")
    await world.clock.run(2)
    assert sum(lane == "mx:healthy.example" for lane, _ in world.batches) == 600
    leases = world.spool.leases
    await world.clock.run(600)
    assert 50 <= len(world.copies) - 600 <= 60
    assert world.spool.leases - leases < 100, "what may not go is not fetched over and over"
    await world.clock.run(3 * 3600)
    assert len(world.copies) == 1500
    assert set(world.copies.values()) == {1}
    await world.stop()


async def test_a_source_has_limits_beside_those_of_the_next_hop() -> None:
    rules = [{"sources": [""], "rates": ["6/minute"]}, {"domains": ["a.example"], "rates": ["4/minute"]}]
    world = World(shaping=rules)
    for number in range(10):
        world.send(f"u{number}@a.example")
        world.send(f"u{number}@b.example")
    await world.clock.run(1)
    lanes = [record.lane for record in world.of(RecipientDelivered)]
    assert len(lanes) == 6
    assert lanes.count("mx:a.example") <= 4
    assert WaitReason.SOURCE_LIMIT in {state.wait for state in world.dispatcher.lanes_state()}
    await world.clock.run(600)
    assert len(world.copies) == 20
    await world.stop()


async def test_a_next_hop_is_planned_once_before_its_limits_are_known() -> None:
    world = World(shaping=[{"mx": ["a.*"], "concurrency": 1}])
    world.hops["mx:a.example"] = takes(seconds=1.0, clock=world.clock)
    for number in range(20):
        world.send(f"u{number}@a.example")
    await world.clock.run(0)
    assert world.busy["mx:a.example"] == 1
    await world.clock.run(30)
    assert world.peak["mx:a.example"] == 1
    assert len(world.copies) == 20
    await world.stop()


async def test_a_next_hop_without_a_route_is_settled_under_any_rules() -> None:
    world = World(shaping=[{"mx": ["*"], "concurrency": 1}])
    world.plans["mx:none.example"] = Failed(Reply(556, "5.1.10", "takes no mail"), Scope.NEXT_HOP)
    world.plans["mx:later.example"] = Deferred(Reply(451, "4.4.3", "no answer"), Scope.NEXT_HOP)
    for number in range(3):
        world.send(f"u{number}@none.example", f"u{number}@later.example")
    await world.clock.run(1)
    assert len(world.of(RecipientFailed)) == 3
    del world.plans["mx:later.example"]
    await world.clock.run(400)
    assert len([record for record in world.of(RecipientDelivered) if record.lane == "mx:later.example"]) == 3
    await world.stop()


async def test_a_soft_reply_is_made_final_and_a_hard_one_soft_with_the_original_kept() -> None:
    replies = [
        {"match": "450 4.2.1 *disabled*", "as": "fail"},
        {"match": "554 *blocked*", "as": "defer"},
        {"match": "452 *", "as": "retry 7m"},
    ]
    world = World(shaping=[{"domains": ["*"], "replies": replies}])
    said: dict[str, Outcome] = {
        "mx:soft.example": Deferred(Reply(450, "4.2.1", "mailbox DISABLED"), Scope.RECIPIENT, None, "RCPT"),
        "mx:hard.example": Failed(Reply(554, "5.7.1", "your address is blocked"), Scope.RECIPIENT, None, "RCPT"),
        "mx:full.example": Deferred(Reply(452, "4.2.2", "full"), Scope.RECIPIENT, None, "RCPT"),
    }

    def answers(outcome: Outcome) -> Hop:
        async def hop(works: list[Work], content: Content) -> list[Outcome]:
            return [outcome] * len(works)

        return hop

    for lane, outcome in said.items():
        world.hops[lane] = answers(outcome)
        world.send(f"u@{lane.removeprefix('mx:')}")
    await world.clock.run(1)
    (failed,) = world.of(RecipientFailed)
    assert (str(failed.reply), failed.original) == ("554 5.2.1 mailbox DISABLED", "450 4.2.1 mailbox DISABLED")
    hard, full = sorted(world.of(RecipientDeferred), key=lambda record: record.due)
    assert (str(hard.reply), hard.original) == (
        "451 4.7.1 your address is blocked",
        "554 5.7.1 your address is blocked",
    )
    assert (full.due - full.at, full.original) == (420_000_000, "")
    assert "Status: 5.2.1" in world.received("alice@example.com")[0].as_string()
    await world.stop()


async def test_a_reply_suspends_all_next_hops_that_share_the_rule() -> None:
    lanes = {**GOOGLE, "mx:late.example": "google"}
    rule = {"sites": ["google"], "replies": [{"match": "421 4.7.28*", "as": "suspend 10m"}]}
    world = World(shaping=[rule], sites=lanes)
    world.hops["mx:b.example"] = takes(seconds=5.0, clock=world.clock)
    world.send("u@b.example")
    await world.clock.run(1)

    async def slow_down(works: list[Work], content: Content) -> list[Outcome]:
        return [Deferred(Reply(421, "4.7.28", "unusual rate"), Scope.HOST, target_of(works[0].lane), "EHLO")]

    world.hops["mx:a.example"] = slow_down
    world.send("u@a.example")
    await world.clock.run(1)
    assert {record.lane for record in world.of(LaneSuspended)} == set(GOOGLE)
    until = world.clock.now() + 600_000_000
    world.hops.pop("mx:a.example")
    world.send("v@b.example")
    world.send("v@late.example")
    world.send("v@free.example")
    await world.clock.run(300)
    assert {record.recipient for record in world.of(RecipientDelivered)} == {"u@b.example", "v@free.example"}
    suspended = state(world, "mx:late.example")
    assert (suspended.wait, suspended.reason) == (WaitReason.LANE_SUSPENDED, "421 4.7.28 unusual rate")
    assert abs(suspended.until - until) < 2_000_000
    await world.clock.run(330)
    assert len(world.of(RecipientDelivered)) == 5
    await world.stop()


async def test_a_host_that_names_its_limit_is_kept_at_it() -> None:
    world = World(QueueSettings(concurrency=20))

    async def limited(works: list[Work], content: Content) -> list[Outcome]:
        if world.busy["mx:a.example"] > 4:
            reply = Reply(421, "4.3.2", "too many connections from your host (limit 4)")
            return [Deferred(reply, Scope.HOST, target_of(works[0].lane), "connect")]
        await world.clock.sleep(1.0)
        return [Delivered(OK, target_of(works[0].lane))]

    world.hops["mx:a.example"] = limited
    for number in range(400):
        world.send(f"u{number}@a.example")
    await world.clock.run(400)
    assert len(world.copies) == 400
    assert not world.of(LaneSuspended)
    assert len(world.of(RecipientDeferred)) <= 10
    await world.stop()


async def test_limits_hold_after_a_next_hop_moves_to_another_site() -> None:
    world = World(shaping=[{"sites": ["google"], "concurrency": 1}], sites=GOOGLE)
    for name in ("a", "b"):
        world.hops[f"mx:{name}.example"] = takes(seconds=1.0, clock=world.clock)
        for number in range(40):
            world.send(f"u{number}@{name}.example")
    await world.clock.run(3)
    assert sum(world.busy.values()) == 1
    world.sites["mx:a.example"] = "elsewhere"
    world.routes.clear()
    await world.clock.run(20)
    assert world.peak["mx:a.example"] > 1
    assert world.peak["mx:b.example"] == 1
    await world.clock.run(60)
    assert len(world.copies) == 80
    rations = world.dispatcher.ready.rations
    assert rations is not None
    assert not any(limit.running or limit.reserved or limit.held for limit in rations.shaping._limits.values())
    await world.stop()


async def test_refusals_are_untouched_without_a_matching_rule() -> None:
    world = World(shaping=[{"domains": ["x.example"], "replies": [{"match": "*", "as": "defer"}]}])
    world.hops["mx:y.example"] = refuses()
    world.send("u@y.example")
    await world.clock.run(1)
    assert len(world.of(RecipientFailed)) == 1
    await world.stop()
