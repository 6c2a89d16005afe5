"""200,000 recipients wait for a dead, a slow and a limited destination, and the healthy one is never delayed.

A tenth of that by default, all of it in the long mode.
"""

import os

from postroad.model.records import LaneSuspended, RecipientDelivered
from postroad.queue.settings import QueueSettings
from tests.scenarios.queue_world import World, dead, takes
from tests.support.largespool import LargeSpool

WAITING = 200_000 if os.environ.get("POSTROAD_LONG") else 20_000
DOMAINS = 200  # of the one provider that takes so many messages a minute and no more
RATE = 60
LIMITED = {f"mx:d{number}.limited.example": "limited" for number in range(DOMAINS)}


def healthy(world: World) -> list[RecipientDelivered]:
    return [record for record in world.of(RecipientDelivered) if record.lane == "mx:healthy.example"]


def fill(world: World, recipients: int) -> int:
    """Queue mail for all destinations by turns; how many of it is for the healthy one."""
    sent = 0
    for number in range(recipients // 20):
        for name in ("dead.example", "slow.example"):
            world.send(*(f"u{index}@{name}" for index in range(6)))
        for index in range(6):
            world.send(f"u@d{(6 * number + index) % DOMAINS}.limited.example")
        world.send("a@healthy.example", "b@healthy.example")
        sent += 2
    return sent


async def test_a_healthy_destination_is_never_delayed_by_any_other() -> None:
    rule = {"sites": ["limited"], "rates": [f"{RATE}/minute"]}
    world = World(QueueSettings(window=2000), shaping=[rule], sites=LIMITED, spool=LargeSpool)
    world.hops["mx:dead.example"] = dead()
    world.hops["mx:slow.example"] = takes(seconds=300.0, clock=world.clock)
    sent = 0
    for _ in range(WAITING // 2000):
        sent += fill(world, 2000)
        await world.clock.turn(50)
        assert world.spool.leased <= 2000
    await world.clock.run(1)
    assert len(healthy(world)) == sent
    assert max(record.delay for record in healthy(world)) <= 1.0
    assert [record.lane for record in world.of(LaneSuspended)] == ["mx:dead.example"]
    assert len(world.spool.rows()) > WAITING * 0.85

    # All of it waits while new mail for the healthy one goes on coming.
    leases, batches = world.spool.leases, len(world.batches)
    for number in range(600):
        world.send(f"later{number}@healthy.example")
        await world.clock.run(1.0, turns=8)
    late = healthy(world)[sent:]
    assert len(late) == 600
    assert max(record.delay for record in late) == 0.0
    assert world.spool.leases - leases < 10 * (len(world.batches) - batches), "what may not go is not asked for"

    limited = [record.at / 1e6 for record in world.of(RecipientDelivered) if record.lane in LIMITED]
    minutes = (max(limited) - min(limited)) / 60
    assert len(limited) >= RATE * (minutes - 1), "as fast as the rate allows"
    for begin in limited[:: len(limited) // 50]:
        assert sum(1 for at in limited if begin <= at < begin + 60) <= RATE

    # A restart finds everything in the spool; the healthy one is served before the others have filled the window.
    await world.crash_and_restart()
    world.send("after@healthy.example")
    await world.clock.run(1)
    assert healthy(world)[-1].recipient == "after@healthy.example"
    assert healthy(world)[-1].delay <= 1.0
    await world.stop()
