"""Next hops side by side: dead, slow and healthy ones, each in its own lane; the window and its limits."""

from postroad.model.content import Content
from postroad.model.outcome import Deferred, Delivered, Failed, Outcome, Scope
from postroad.model.records import (
    DeliveryFaulted,
    LaneResumed,
    LaneSuspended,
    RecipientDeferred,
    RecipientDelivered,
    RecipientFailed,
)
from postroad.model.reply import Reply
from postroad.model.work import Work
from postroad.queue.lane import WaitReason
from postroad.queue.settings import QueueSettings
from tests.scenarios.queue_world import BUSY, CONTENT, OK, World, dead, refuses, takes, target_of

HOUR = 3600.0


async def test_a_dead_and_a_slow_next_hop_delay_no_other() -> None:
    world = World()
    world.hops["mx:dead.example"] = dead()
    world.hops["mx:slow.example"] = takes(seconds=100.0, clock=world.clock)
    for number in range(200):
        for name in ("dead", "slow", "healthy"):
            world.send(f"user{number}@{name}.example")
    await world.clock.run(1)
    delivered = [record.lane for record in world.of(RecipientDelivered)]
    assert delivered.count("mx:healthy.example") == 200
    assert world.peak["mx:slow.example"] == 5  # the window of a next hop nothing is known about
    assert [record.lane for record in world.of(LaneSuspended)] == ["mx:dead.example"]
    waiting = [record for record in world.of(RecipientDeferred) if record.attempts == 0]
    assert {record.lane for record in waiting} == {"mx:dead.example"}
    assert waiting[0].reply.text == "next hop suspended: 451 4.4.1 connection refused"
    await world.clock.run(1500)
    delivered = [record.lane for record in world.of(RecipientDelivered)]
    assert delivered.count("mx:slow.example") == 200
    assert world.peak["mx:slow.example"] == 20
    await world.stop()


async def test_a_suspended_next_hop_costs_nothing_but_probes() -> None:
    world = World()
    world.hops["mx:dead.example"] = dead()
    for number in range(300):
        world.send(f"user{number}@dead.example", sender="")
    await world.clock.run(6 * HOUR)
    suspensions = world.of(LaneSuspended)
    attempts = [batch for batch in world.batches if batch[0] == "mx:dead.example"]
    assert len(attempts) <= 6 + len(suspensions)  # those under way at the start, then one a pause
    pauses = [round((record.until - record.at) / 1e6) for record in suspensions]
    assert pauses[:7] == [15, 30, 60, 120, 300, 600, 600]
    assert set(pauses[6:]) == {600}
    assert world.spool.leases <= 6 * len(attempts)  # no polling meanwhile
    await world.stop()


async def test_all_is_delivered_soon_after_a_next_hop_returns() -> None:
    world = World(QueueSettings(window=1000))
    world.hops["mx:dead.example"] = dead()
    ids = [world.send(f"user{number}@dead.example", sender="") for number in range(3000)]
    await world.clock.run(2 * HOUR)
    assert not world.of(RecipientDelivered)
    returned = world.clock.now()
    world.hops["mx:dead.example"] = takes()
    await world.clock.run(601)
    assert len(world.of(LaneResumed)) == 1
    late = {record.id for record in world.of(RecipientDelivered)}
    # Those that were tried while the next hop was dead follow the retry schedule; all others are through.
    tried = {record.id for record in world.of(RecipientDeferred) if record.attempts > 0}
    assert set(ids) - tried <= late
    assert len(tried) < 60
    await world.clock.run(5 * HOUR)
    assert all(count == 1 for count in world.copies.values())
    assert len(world.copies) == 3000
    assert world.clock.now() > returned
    await world.stop()


async def test_new_mail_for_a_suspended_next_hop_waits_and_goes_first_in_first_out() -> None:
    world = World(QueueSettings(concurrency=1))
    world.hops["mx:dead.example"] = dead()
    await world.clock.run(1)
    world.send("first@dead.example")
    await world.clock.run(5)
    for number in range(10):
        world.send(f"user{number}@dead.example")
        await world.clock.run(0.1)
    assert len([batch for batch in world.batches if batch[0] == "mx:dead.example"]) == 1
    world.hops["mx:dead.example"] = takes()
    await world.clock.run(10)
    through = [record.recipient for record in world.of(RecipientDelivered)]
    assert through == [f"user{number}@dead.example" for number in range(10)]
    await world.clock.run(60)
    assert world.of(RecipientDelivered)[-1].recipient == "first@dead.example"
    await world.stop()


async def test_a_next_hop_that_answers_is_never_suspended() -> None:
    world = World()

    async def greylist(works: list[Work], content: Content) -> list[Outcome]:
        return [
            Deferred(BUSY, Scope.RECIPIENT, target_of(work.lane), "RCPT TO")
            if work.attempts == 0
            else Delivered(OK, target_of(work.lane))
            for work in works
        ]

    world.hops["mx:grey.example"] = greylist
    for number in range(100):
        world.send(f"user{number}@grey.example")
    await world.clock.run(61)
    assert not world.of(LaneSuspended)
    assert len(world.of(RecipientDelivered)) == 100
    await world.stop()


async def test_a_next_hop_with_a_limit_of_its_own_keeps_taking_mail() -> None:
    world = World()

    async def limited(works: list[Work], content: Content) -> list[Outcome]:
        if world.busy["mx:limited.example"] > 8:
            return [Deferred(BUSY, Scope.HOST, target_of(works[0].lane), "greeting")]
        await world.clock.sleep(1.0)
        return [Delivered(OK, target_of(works[0].lane))]

    world.hops["mx:limited.example"] = limited
    for number in range(2000):
        world.send(f"user{number}@limited.example")
    await world.clock.run(600)
    assert len(world.of(RecipientDelivered)) == 2000
    assert len(world.of(RecipientDeferred)) < 100
    await world.stop()


async def test_the_window_bounds_memory_and_everything_is_delivered() -> None:
    world = World(QueueSettings(window=100, window_content=2000))
    world.hops["mx:slow.example"] = takes(seconds=1.0, clock=world.clock)
    held = 0
    for number in range(500):
        world.send(f"user{number}@slow.example", content=CONTENT)
    for _ in range(150):
        await world.clock.run(1)
        held = max(held, world.spool.leased)
    assert held <= 100
    assert len(world.copies) == 500
    assert set(world.copies.values()) == {1}
    assert world.spool.bodies > 0  # content that memory had no room for came from the spool
    await world.stop()


async def test_one_slow_next_hop_never_fills_the_window() -> None:
    world = World(QueueSettings(window=100))
    world.hops["mx:slow.example"] = takes(seconds=HOUR, clock=world.clock)
    for number in range(400):
        world.send(f"user{number}@slow.example")
    await world.clock.run(1)
    world.send("bob@example.org")
    await world.clock.turn()
    assert [record.recipient for record in world.of(RecipientDelivered)] == ["bob@example.org"]
    await world.stop()


async def test_a_message_larger_than_the_window_goes_in_pieces() -> None:
    world = World(QueueSettings(window=100))
    world.send(*(f"user{number}@example.org" for number in range(950)))
    await world.clock.run(5)
    assert len(world.copies) == 950
    assert max(count for _, count in world.batches) <= 100
    await world.stop()


async def test_recipients_of_one_message_and_next_hop_are_one_batch() -> None:
    world = World()
    world.send(*(f"user{number}@example.org" for number in range(50)), "carol@example.net")
    await world.clock.turn()
    assert sorted(world.batches) == [("mx:example.net", 1), ("mx:example.org", 50)]
    await world.stop()


async def test_a_batch_that_was_put_off_comes_back_as_one() -> None:
    world = World(jitter=0.7)
    world.plans["mx:example.org"] = Deferred(Reply(451, "4.4.3", "no answer from the resolver"), Scope.NEXT_HOP)
    world.send(*(f"user{number}@example.org" for number in range(50)))
    await world.clock.run(1)
    assert world.of(RecipientDeferred)[0].scope == "next hop"
    del world.plans["mx:example.org"]
    await world.clock.run(70)
    assert world.batches == [("mx:example.org", 50)]
    await world.stop()


async def test_deliveries_in_all_are_limited_and_go_round_by_next_hop() -> None:
    world = World(QueueSettings(deliveries=4))
    for name in "abcdefgh":
        world.hops[f"mx:{name}.example"] = takes(seconds=1.0, clock=world.clock)
        for number in range(4):
            world.send(f"user{number}@{name}.example")
    await world.clock.turn()
    assert sum(world.busy.values()) == 4
    states = world.dispatcher.lanes_state()
    assert WaitReason.GLOBAL_LIMIT in {state.wait for state in states}
    await world.clock.run(1.5)
    first = {record.lane for record in world.of(RecipientDelivered)}
    await world.clock.run(1)
    second = {record.lane for record in world.of(RecipientDelivered)}
    assert len(second) > len(first)
    await world.clock.run(20)
    assert len(world.copies) == 32
    assert sum(world.busy.values()) == 0
    await world.stop()


async def test_a_route_that_fails_settles_its_recipients() -> None:
    world = World()
    world.plans["mx:none.example"] = Failed(Reply(556, "5.1.10", "the domain takes no mail"), Scope.NEXT_HOP)
    world.send("bob@none.example")
    await world.clock.run(1)
    (failed,) = world.of(RecipientFailed)
    assert (failed.reply.code, failed.target) == (556, "none")
    assert len(world.received("alice@example.com")) == 1
    await world.stop()


async def test_a_bug_in_delivery_defers_its_batch_alone_and_is_reported() -> None:
    world = World()
    broken = True

    async def buggy(works: list[Work], content: Content) -> list[Outcome]:
        if broken:
            raise ZeroDivisionError("a bug")
        return [Delivered(OK, target_of(works[0].lane))]

    async def careless(works: list[Work], content: Content) -> list[Outcome]:
        return []

    world.hops["mx:buggy.example"] = buggy
    world.hops["mx:careless.example"] = careless
    world.hops["mx:refuses.example"] = refuses()
    world.send("a@buggy.example", "b@example.org", "c@careless.example", "d@refuses.example")
    await world.clock.run(1)
    details = [record.detail for record in world.of(DeliveryFaulted)]
    assert len(details) == 2
    assert any("ZeroDivisionError: a bug" in detail for detail in details)
    assert any("0 outcomes for 1 recipients" in detail for detail in details)
    assert next(record.recipient for record in world.of(RecipientDelivered)) == "b@example.org"
    assert not world.of(LaneSuspended)
    broken = False
    await world.clock.run(61)
    assert "a@buggy.example" in [record.recipient for record in world.of(RecipientDelivered)]
    await world.stop()


async def test_delays_tell_where_the_time_went() -> None:
    world = World(QueueSettings(concurrency=1))
    world.hops["mx:slow.example"] = takes(seconds=2.0, clock=world.clock)
    world.send("a@slow.example")
    world.send("b@slow.example")
    await world.clock.run(5)
    first, second = world.of(RecipientDelivered)
    assert first.delays == (0.0, 0.0, 0.0, 2.0)
    assert second.delays == (0.0, 2.0, 0.0, 2.0)
    assert (first.delay, second.delay) == (2.0, 4.0)
    await world.stop()
