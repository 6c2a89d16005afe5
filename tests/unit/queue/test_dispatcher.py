"""The dispatcher: from admission to settlement, with a spool in memory and a clock driven by hand."""

from postroad.model.records import MessageRemoved, RecipientDelivered
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
