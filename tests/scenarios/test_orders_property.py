"""No orders of an operator, amid limits, fallbacks, suspensions and outcomes, lose, double or starve a recipient."""

import asyncio
from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postroad.model.envelope import Envelope, Recipient
from postroad.model.records import RecipientDelivered, RecipientFailed, RecipientHandled
from postroad.model.route import Fallback
from postroad.model.suspension import NEXT_HOP, Suspension
from postroad.queue.actions import ACTIONS, Order, Surroundings
from postroad.queue.operator import Operator, Tally
from postroad.queue.settings import QueueSettings
from postroad.queue.times import NEVER
from postroad.routing.lanes import with_tls
from postroad.spool.filters import Query
from tests.scenarios.queue_world import World, lane_of
from tests.scenarios.test_queue_property import LANES, LONGEST_WAIT, fallbacks, messages, rules, script, steps
from tests.support.memorydesk import MemoryDesk

SUSPEND, RESUME = "suspend", "resume"
ELSEWHERE = "smtp://a.example:25,smtp://b.example:26*3?balance=weighted"

orders = st.lists(
    st.tuples(
        st.sampled_from([*ACTIONS, SUSPEND, RESUME]),
        st.sampled_from(["", *LANES]),
        st.sampled_from([f"mx:{LANES[1]}", f"mx:{LANES[2]}", "mx", ELSEWHERE]),
        st.sampled_from([60, 700, 0]),
    ),
    max_size=30,
)


class Operated:
    """A world with an operator."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.acting: list[asyncio.Task[object]] = []
        self.operator = Operator(
            world.dispatcher,
            MemoryDesk(world.spool),
            around=Surroundings(world.retries, world.dispatcher.known, _placed, with_tls),
            clock=world.clock,
            emit=world.records.append,
            save=lambda _: None,
        )

    def begin(self, action: str, domain: str, lane: str, seconds: int) -> None:
        """Give one order, and do not wait for its end."""
        now = self.world.clock.now()
        if action == SUSPEND:
            until = now + seconds * 1_000_000 if seconds else NEVER
            one = Suspension(NEXT_HOP, domain or "*", until, "root", now, "test")
            self.acting.append(asyncio.create_task(self.operator.suspend(one, 0)))
        elif action == RESUME:
            self.acting.append(asyncio.create_task(self.operator.resume(NEXT_HOP, domain or "*", "root", 0)))
        else:
            order = Order(action, Query(domain=domain), "root", 0, "", lane if action == "reroute" else "")
            self.acting.append(asyncio.create_task(self.operator.act(order, "test", _no_progress)))

    async def finish(self) -> None:
        """Let all orders end, whatever they wait for."""
        while not all(task.done() for task in self.acting):
            await asyncio.sleep(0.001)  # a suspension is kept on a thread
            await self.world.clock.run(1)
        for task in self.acting:
            task.result()


def _placed(envelope: Envelope, recipient: Recipient) -> str:
    return lane_of(envelope, recipient)


async def _no_progress(_tally: Tally) -> None:
    await asyncio.sleep(0)


async def live_ordered(
    plan: list[tuple[str, float]],
    mail: list[tuple[list[str], bool, float]],
    shaping: list[dict[str, object]],
    falls: dict[str, tuple[float, tuple[str, ...]]],
    given_orders: list[tuple[str, str, str, int]],
) -> None:
    world = World(
        QueueSettings(window=100, concurrency=3, deliveries=4),
        jitter=0.5,
        shaping=shaping,
        sites={f"mx:{LANES[0]}": "big", f"mx:{LANES[1]}": "big"},
        fallbacks={f"mx:{name}": Fallback(f"mx:{LANES[2]}", *fall) for name, fall in falls.items()},
    )
    script(world, plan)
    world.hops[ELSEWHERE] = world.hops[f"mx:{LANES[0]}"]
    operated = Operated(world)
    expected: set[tuple[str, str]] = set()
    for number, (lanes, null_sender, pause) in enumerate(mail):
        addresses = [f"u{index}@{lane}" for index, lane in enumerate(lanes)]
        queue_id = world.send(*addresses, sender="" if null_sender else "alice@example.com")
        expected |= {(queue_id, address) for address in addresses}
        await world.clock.turn(number % 7)
        for order in given_orders[number :: len(mail)]:
            operated.begin(*order)
            await world.clock.turn(number % 5)
        await world.clock.run(pause)
    await world.clock.run(1800)
    await operated.finish()
    world.hops.clear()
    world.plans.clear()
    operated.begin(RESUME, "", "", 0)
    await operated.finish()
    operated.begin("release", "", "", 0)
    await operated.finish()
    await world.clock.run(LONGEST_WAIT)

    assert world.spool.rows() == {}, "starved"
    dropped = {(one.id, one.recipient) for one in world.of(RecipientHandled) if one.action == "drop"}
    finals = Counter(
        (record.id, record.recipient)
        for record in world.records
        if isinstance(record, RecipientDelivered | RecipientFailed)
    )
    assert set(finals) | dropped >= expected, "lost"
    assert not dropped & set(finals), "dropped, and sent or returned"
    assert set(finals.values()) <= {1}
    delivered = {(record.id, record.recipient) for record in world.of(RecipientDelivered)}
    assert Counter(delivered) == world.copies, "doubled, or told of a delivery that was none"
    ready = world.dispatcher.ready
    assert all((lane.waiting, lane.running, lane.reserved) == (0, 0, 0) for lane in ready._lanes.values())
    if ready.rations is not None:
        await world.clock.run(86400)
        for limit in ready.rations.shaping._limits.values():
            assert (limit.running, limit.reserved, limit.held, limit.line, limit.low) == (0, 0, 0, 0, -1)
        assert not ready.rations._freed
        assert not ready.rations._lines
    await world.stop()


@given(steps, messages, rules, fallbacks, orders)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_orders_amid_limits_and_fallbacks_lose_double_or_starve(
    plan: list[tuple[str, float]],
    mail: list[tuple[list[str], bool, float]],
    shaping: list[dict[str, object]],
    falls: dict[str, tuple[float, tuple[str, ...]]],
    given_orders: list[tuple[str, str, str, int]],
) -> None:
    asyncio.run(live_ordered(plan, mail, shaping, falls, given_orders))
