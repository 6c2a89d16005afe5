"""The dispatcher: from admission to settlement, with a spool in memory and a clock driven by hand."""

import asyncio
import gc

from postroad.model.records import MessageRemoved, RecipientDelivered
from postroad.queue.settings import QueueSettings
from tests.scenarios.queue_world import World


async def test_an_admitted_message_is_delivered_and_gone() -> None:
    world = World()
    queue_id = world.send("bob@example.org")
    await world.clock.turn()
    assert world.copies == {(queue_id, "bob@example.org"): 1}
    assert [record.id for record in world.of(MessageRemoved)] == [queue_id]
    delivered = world.of(RecipientDelivered)[0]
    assert delivered.target == "example.org[192.0.2.1]:25"
    assert delivered.attempts == 1
    assert world.spool.rows() == {}
    await world.stop()


async def test_a_fault_of_our_own_stops_nothing_else_and_is_tried_again() -> None:
    world = World(QueueSettings(concurrency=1))
    faults = [ZeroDivisionError("a bug in settling")]

    def entropy() -> float:
        if faults:
            raise faults.pop()
        return 0.0

    world.dispatcher._random = entropy
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context.get("exception")))
    world.send("first@example.org")
    world.send("second@example.org")
    await world.clock.run(1)
    assert [record.recipient for record in world.of(RecipientDelivered)] == ["second@example.org"]
    await world.clock.run(61)
    assert [record.recipient for record in world.of(RecipientDelivered)][1:] == ["first@example.org"]
    await world.stop()
    gc.collect()
    assert [str(error) for error in told] == ["a bug in settling"]
