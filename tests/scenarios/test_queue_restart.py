"""Stopping, crashing and a stuck disk: nothing accepted is lost, and nothing is told before it is durable."""

import asyncio

from postroad.model.content import Content
from postroad.model.outcome import Delivered, Outcome
from postroad.model.records import DsnQueued, MessageRemoved, RecipientDelivered, RecipientFailed
from postroad.model.work import Work
from postroad.queue.lane import WaitReason
from postroad.queue.settings import QueueSettings
from tests.scenarios.queue_world import OK, World, dead, defers, refuses, takes, target_of


async def test_drain_lets_deliveries_finish_and_gives_the_rest_back() -> None:
    world = World(QueueSettings(concurrency=2))
    world.hops["mx:slow.example"] = takes(seconds=5.0, clock=world.clock)
    for number in range(10):
        world.send(f"user{number}@slow.example")
    await world.clock.run(1)
    await world.stop()
    assert len(world.of(RecipientDelivered)) == 2
    assert len(world.spool.rows()) == 8
    world.start()
    await world.clock.run(60)
    assert len(world.copies) == 10
    assert set(world.copies.values()) == {1}
    await world.stop()


async def test_drain_cancels_what_outlives_the_deadline() -> None:
    world = World()
    world.hops["mx:stuck.example"] = takes(seconds=1e9, clock=world.clock)
    world.send("bob@stuck.example")
    await world.clock.run(1)
    await world.stop()
    assert world.spool.leased == 0
    ((_, row),) = world.spool.rows().items()
    assert row.attempts == 0
    world.hops.clear()
    world.start()
    await world.clock.run(1)
    assert list(world.copies.values()) == [1]
    await world.stop()


async def test_mail_that_comes_while_draining_waits_in_the_spool() -> None:
    world = World()
    draining = asyncio.create_task(world.dispatcher.drain(5))
    await world.clock.turn()
    world.send("bob@example.org", "carol@example.net")
    await world.clock.run(10)
    await draining
    assert world.batches == []
    assert world.spool.leased == 0
    assert len(world.spool.rows()) == 2


async def test_drain_waits_for_reports_whose_original_must_be_read() -> None:
    world = World(inline=10)

    async def slow_refusal(works: list[Work], content: Content) -> list[Outcome]:
        await world.clock.sleep(5.0)
        return await refuses()(works, content)

    world.hops["mx:example.org"] = slow_refusal
    world.send("bob@example.org")
    await world.clock.run(1)
    await world.stop()
    assert [record.recipient for record in world.of(RecipientFailed)] == ["bob@example.org"]
    assert len(world.of(DsnQueued)) == 1
    assert [row.lane for row in world.spool.rows().values()] == ["mx:example.com"]


async def test_a_crash_loses_no_mail_and_repeats_only_what_was_not_durable() -> None:
    world = World()
    ids = [world.send(f"user{number}@example.org") for number in range(5)]
    await world.clock.run(1)
    world.spool.stuck = True
    world.hops["mx:late.example"] = takes()
    world.spool.stuck = False
    late = world.send("late@late.example")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    world.spool.stuck = True
    await world.clock.run(1)
    assert world.copies[late, "late@late.example"] == 1
    assert late not in [record.id for record in world.of(RecipientDelivered)]  # delivered, but not durable
    await world.crash_and_restart()
    await world.clock.run(1)
    assert world.copies[late, "late@late.example"] == 2
    assert all(world.copies[queue_id, f"user{number}@example.org"] == 1 for number, queue_id in enumerate(ids))
    assert world.spool.rows() == {}
    await world.stop()


async def test_records_and_reports_come_after_durability() -> None:
    world = World()
    world.hops["mx:refuses.example"] = refuses()
    world.send("bob@example.org", "carol@refuses.example")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    world.spool.stuck = True
    await world.clock.run(10)
    assert len(world.batches) == 2
    assert world.records == []
    world.spool.stuck = False
    await world.clock.run(1)
    assert len(world.of(MessageRemoved)) == 2  # the message and its report
    kinds = [type(record).__name__ for record in world.records]
    assert kinds.index("RecipientFailed") < kinds.index("DsnQueued")
    await world.stop()


async def test_what_is_not_durable_counts_against_the_window() -> None:
    world = World(QueueSettings(window=100))
    for number in range(60):
        world.send(f"user{number}@example.org")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    world.spool.stuck = True
    await world.clock.run(10)
    delivered = len(world.batches)
    assert delivered <= 60
    assert world.spool.leased <= 100
    world.spool.stuck = False
    await world.clock.run(10)
    assert len(world.copies) == 60
    await world.stop()


async def test_mail_for_a_dead_next_hop_is_tried_at_once_after_a_restart() -> None:
    world = World()
    world.hops["mx:dead.example"] = dead()
    for number in range(50):
        world.send(f"user{number}@dead.example", sender="")
    await world.clock.run(3600)
    await world.stop()
    world.hops.clear()
    world.start()
    await world.clock.run(1)
    # Those that were tried keep their place in the retry schedule.
    assert len(world.of(RecipientDelivered)) > 25
    await world.stop()


async def test_lanes_tell_why_they_wait() -> None:
    world = World(QueueSettings(concurrency=1))
    world.hops["mx:dead.example"] = dead()
    world.hops["mx:slow.example"] = takes(seconds=60.0, clock=world.clock)
    for name in ("dead", "slow", "slow"):
        world.send(f"user@{name}.example")
    await world.clock.run(1)
    states = {state.name: state for state in world.dispatcher.lanes_state()}
    assert states["mx:dead.example"].wait is WaitReason.LANE_SUSPENDED
    assert states["mx:dead.example"].reason == "451 4.4.1 connection refused"
    assert states["mx:slow.example"].wait is WaitReason.LANE_BUSY
    assert (states["mx:slow.example"].waiting, states["mx:slow.example"].running) == (1, 1)
    await world.stop()


async def test_house_keeping_goes_on_and_idle_lanes_are_forgotten() -> None:
    world = World()
    world.send("bob@example.org")
    world.hops["mx:defers.example"] = defers()
    world.send("carol@defers.example")
    await world.clock.run(200)
    assert world.spool.maintained >= 3
    assert world.dispatcher.lanes_state() == []
    await world.stop()


async def test_a_spool_without_room_is_tidied_at_once_and_until_it_has_some() -> None:
    world = World()
    await world.clock.run(10)
    before = world.spool.maintained
    world.spool.room = False
    assert world.spool.full is not None
    world.spool.full()
    await world.clock.run(10)
    assert world.spool.maintained >= before + 10
    world.spool.room = True
    await world.clock.run(2)
    before = world.spool.maintained
    await world.clock.run(50)
    assert world.spool.maintained <= before + 1
    await world.stop()


async def test_deliveries_that_take_turns_never_share_work() -> None:
    world = World()
    seen: list[tuple[str, int]] = []

    async def watchful(works: list[Work], content: Content) -> list[Outcome]:
        keys = [(work.stored.id, work.index) for work in works]
        assert not set(keys) & set(seen)
        seen.extend(keys)
        await world.clock.sleep(0.5)
        return [Delivered(OK, target_of(work.lane)) for work in works]

    world.hops["mx:example.org"] = watchful
    for number in range(100):
        world.send(f"a{number}@example.org", f"b{number}@example.org")
    await world.clock.run(20)
    assert len(seen) == 200
    await world.stop()
