"""Where parts of the queue meet: limits with the last slot of all, suspensions that end, orders in the middle of it."""

from postroad.model.suspension import NEXT_HOP, Suspension
from postroad.queue.settings import QueueSettings
from tests.scenarios.queue_world import World, takes


async def test_a_suspension_that_has_ended_asks_nothing_of_the_spool() -> None:
    world = World()
    end = world.clock.now() + 60_000_000
    world.dispatcher.suspensions.add(Suspension(NEXT_HOP, "a.example", end, "root", world.clock.now()))
    world.send("u@a.example")
    await world.clock.run(59)
    assert not world.copies
    await world.clock.run(11)
    assert len(world.copies) == 1
    asked = world.spool.leases
    await world.clock.turn(500)
    await world.clock.run(10)
    assert world.spool.leases - asked < 5
    assert not world.dispatcher.suspensions.entries
    await world.stop()


async def test_limited_next_hops_get_their_share_of_slots_while_others_have_mail_without_end() -> None:
    rule = {"domains": ["a.example", "b.example"], "per": "rule", "concurrency": 1}
    for others in (2, 6):
        world = World(QueueSettings(deliveries=2, window=2000), shaping=[rule])
        names = [f"o{number}.example" for number in range(others)]
        for name in (*names, "a.example", "b.example"):
            world.hops[f"mx:{name}"] = takes(seconds=1.0, clock=world.clock)
        for number in range(100):
            for name in names:
                world.send(f"u{number}@{name}")
        for number in range(5):
            world.send(f"u{number}@a.example", f"v{number}@b.example")
        await world.clock.run(60)
        limited = sum(1 for _, address in world.copies if address.endswith(("@a.example", "@b.example")))
        assert limited == 10, f"{limited} of 10 with {others} others"
        await world.clock.run(600)
        await world.stop()
