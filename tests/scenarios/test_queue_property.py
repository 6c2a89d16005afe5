"""No schedule of outcomes, delays, crashes, limits, suspensions and fallbacks loses, doubles or starves a recipient."""

import asyncio
from collections import Counter
from itertools import cycle

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postroad.model.content import Content
from postroad.model.outcome import Deferred, Delivered, Failed, Outcome, Scope
from postroad.model.records import MessageRemoved, RecipientDelivered, RecipientFailed
from postroad.model.reply import Reply
from postroad.model.route import Fallback
from postroad.model.work import Work
from postroad.queue.settings import QueueSettings
from tests.scenarios.queue_world import BUSY, DOWN, GONE, OK, World, target_of

LANES = ("a.example", "b.example", "c.example")
LONGEST_WAIT = 4 * 3600 * 1.1 + 660  # the last pause of the retry schedule, and of a suspension

steps = st.lists(
    st.tuples(
        st.sampled_from(["take", "defer", "host", "next hop", "refuse", "bug", "short", "plan"]),
        st.sampled_from([0.0, 0.0, 0.3, 5.0, 400.0]),
    ),
    min_size=1,
    max_size=40,
)
messages = st.lists(
    st.tuples(
        st.lists(st.sampled_from(LANES), min_size=1, max_size=6), st.booleans(), st.sampled_from([0.0, 1.0, 90.0])
    ),
    min_size=1,
    max_size=30,
)


def outcome_of(word: str, work: Work) -> Outcome:
    target = target_of(work.lane)
    match word:
        case "take":
            return Delivered(OK, target)
        case "refuse":
            return Failed(GONE, Scope.RECIPIENT, target, "RCPT TO")
        case "host":
            return Deferred(DOWN, Scope.HOST, target)
        case "next hop":
            return Deferred(DOWN, Scope.NEXT_HOP, target)
        case _:
            return Deferred(BUSY, Scope.RECIPIENT, target, "RCPT TO")


def script(world: World, plan: list[tuple[str, float]]) -> None:
    """Make every next hop follow `plan`, over and over."""
    turns = cycle(plan)

    async def hop(works: list[Work], content: Content) -> list[Outcome]:
        word, seconds = next(turns)
        await world.clock.sleep(seconds)
        if word == "bug":
            raise RuntimeError("a bug")
        if word == "short":
            return []
        return [outcome_of(word if not index else next(turns)[0], work) for index, work in enumerate(works)]

    for index, lane in enumerate(LANES):
        world.hops[f"mx:{lane}"] = hop
        if plan[index % len(plan)][0] == "plan":
            world.plans[f"mx:{lane}"] = Deferred(Reply(451, "4.4.3", "no answer"), Scope.NEXT_HOP)


async def live(plan: list[tuple[str, float]], mail: list[tuple[list[str], bool, float]], crashes: list[int]) -> None:
    world = World(QueueSettings(window=100, concurrency=3, deliveries=4), jitter=0.5)
    script(world, plan)
    expected: set[tuple[str, str]] = set()
    for number, (lanes, null_sender, pause) in enumerate(mail):
        addresses = [f"u{index}@{lane}" for index, lane in enumerate(lanes)]
        queue_id = world.send(*addresses, sender="" if null_sender else "alice@example.com")
        expected |= {(queue_id, address) for address in addresses}
        await world.clock.turn(3)
        if number in crashes:
            await world.clock.turn(5)
            await world.crash_and_restart()
        await world.clock.run(pause)
    await world.clock.run(3600)
    world.hops.clear()
    world.plans.clear()
    await world.clock.run(LONGEST_WAIT)

    finals = Counter(
        (record.id, record.recipient)
        for record in world.records
        if isinstance(record, RecipientDelivered | RecipientFailed)
    )
    delivered = {(record.id, record.recipient) for record in world.of(RecipientDelivered)}
    failed = {(record.id, record.recipient) for record in world.of(RecipientFailed)}
    assert world.spool.rows() == {}, "starved"
    assert not delivered & failed
    assert max(finals.values()) == 1
    assert delivered <= set(world.copies), "told of a delivery that was none"
    refused_in_a_crash = expected - delivered - failed
    if not crashes:
        assert not refused_in_a_crash, "lost"
        assert max(world.copies.values(), default=1) == 1, "doubled"
        assert len(world.of(MessageRemoved)) == len({queue_id for queue_id, _ in finals})
    else:
        # A crash between an outcome and its record: durable, delivered or reported, but not told.
        assert all(world.copies.values())
        assert max(world.copies.values(), default=1) <= 1 + len(crashes)
    await world.stop()


@given(steps, messages)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_schedule_of_outcomes_loses_doubles_or_starves(
    plan: list[tuple[str, float]], mail: list[tuple[list[str], bool, float]]
) -> None:
    asyncio.run(live(plan, mail, []))


@given(steps, messages, st.lists(st.integers(0, 29), min_size=1, max_size=3, unique=True))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_crashes_repeat_at_most_what_was_under_way(
    plan: list[tuple[str, float]], mail: list[tuple[list[str], bool, float]], crashes: list[int]
) -> None:
    asyncio.run(live(plan, mail, crashes))


REPLIES = (
    {"match": "451 4.3.2 *", "as": "retry 3m"},
    {"match": "550 5.1.1 *", "as": "defer"},
    {"match": "451 4.3.2 *", "as": "suspend 2m"},
    {"match": "451 *", "as": "fail"},
)
rules = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "domains": st.sampled_from([["*"], [LANES[0]], [LANES[0], LANES[1]]]),
            "sites": st.sampled_from([["big"], ["other"]]),
            "mx": st.sampled_from([["*"], ["a.*", "c.*"]]),
            "per": st.sampled_from(["rule", "site", "lane"]),
            "concurrency": st.integers(1, 4),
            "rates": st.sampled_from([["1/second"], ["2/minute", "60/hour"], ["5/minute"]]),
            "recipient_rates": st.sampled_from([["1/second"], ["3/minute"]]),
            "recipients_per_transaction": st.integers(1, 3),
            "replies": st.lists(st.sampled_from(REPLIES), max_size=2),
        },
    ),
    max_size=4,
)
retries = st.lists(
    st.fixed_dictionaries(
        {"retry": st.sampled_from([["30s"], ["5m", "20m"]])},
        optional={
            "domains": st.just([LANES[1]]),
            "errors": st.sampled_from([["4.3."], ["451 *later"]]),
            "sites": st.just(["big"]),
            "warn_after": st.sampled_from(["never", "20m"]),
        },
    ),
    max_size=2,
)
fallbacks = st.dictionaries(
    st.sampled_from(LANES[:2]),
    st.tuples(st.sampled_from([60.0, 600.0, float("inf")]), st.sampled_from([(), ("4.4.1",), ("4.3.", "4.4.")])),
)


async def live_shaped(
    plan: list[tuple[str, float]],
    mail: list[tuple[list[str], bool, float]],
    shaping: list[dict[str, object]],
    retry: list[dict[str, object]],
    falls: dict[str, tuple[float, tuple[str, ...]]],
) -> None:
    world = World(
        QueueSettings(window=100, concurrency=3, deliveries=4),
        jitter=0.5,
        shaping=shaping,
        retry=retry,
        sites={f"mx:{LANES[0]}": "big", f"mx:{LANES[1]}": "big"},
        fallbacks={f"mx:{name}": Fallback(f"mx:{LANES[2]}", *fall) for name, fall in falls.items()},
    )
    script(world, plan)
    expected: set[tuple[str, str]] = set()
    for number, (lanes, null_sender, pause) in enumerate(mail):
        addresses = [f"u{index}@{lane}" for index, lane in enumerate(lanes)]
        queue_id = world.send(*addresses, sender="" if null_sender else "alice@example.com")
        expected |= {(queue_id, address) for address in addresses}
        await world.clock.run(pause)
        if number == len(mail) // 2:
            world.sites = {f"mx:{LANES[1]}": "other", f"mx:{LANES[2]}": "big"}
            world.routes.clear()
    await world.clock.run(1800)
    world.hops.clear()
    world.plans.clear()
    await world.clock.run(LONGEST_WAIT)
    finals = Counter(
        (record.id, record.recipient)
        for record in world.records
        if isinstance(record, RecipientDelivered | RecipientFailed)
    )
    assert world.spool.rows() == {}, "starved"
    assert set(finals) >= expected, "lost"
    assert set(finals.values()) == {1}
    delivered = {(record.id, record.recipient) for record in world.of(RecipientDelivered)}
    assert Counter(delivered) == world.copies, "doubled, or told of a delivery that was none"
    rations = world.dispatcher.ready.rations
    if rations is not None:
        for limit in rations.shaping._limits.values():
            assert (limit.running, limit.reserved, limit.held, limit.line) == (0, 0, 0, 0)
    await world.stop()


@given(steps, messages, rules, retries, fallbacks)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_limits_suspensions_remaps_and_fallbacks_lose_double_or_starve(
    plan: list[tuple[str, float]],
    mail: list[tuple[list[str], bool, float]],
    shaping: list[dict[str, object]],
    retry: list[dict[str, object]],
    falls: dict[str, tuple[float, tuple[str, ...]]],
) -> None:
    asyncio.run(live_shaped(plan, mail, shaping, retry, falls))


async def live_limited(
    concurrency: int, rate: int, recipient_rate: int, mail: list[tuple[list[str], bool, float]], seconds: float
) -> None:
    rule = {
        "sites": ["big"],
        "concurrency": concurrency,
        "rates": [f"{rate}/minute"],
        "recipient_rates": [f"{recipient_rate}/minute"],
        "recipients_per_transaction": 2,
    }
    world = World(QueueSettings(window=100), shaping=[rule], sites={f"mx:{lane}": "big" for lane in LANES})
    begun: list[tuple[float, int]] = []
    most = 0

    async def hop(works: list[Work], content: Content) -> list[Outcome]:
        nonlocal most
        begun.append((world.clock.monotonic(), len(works)))
        most = max(most, sum(world.busy.values()))
        await world.clock.sleep(seconds)
        return [Delivered(OK, target_of(work.lane)) for work in works]

    for lane in LANES:
        world.hops[f"mx:{lane}"] = hop
    for lanes, null_sender, pause in mail:
        world.send(*(f"u{at}@{lane}" for at, lane in enumerate(lanes)), sender="" if null_sender else "a@a.example")
        await world.clock.run(pause)
    await world.clock.run(3 * 3600)
    assert world.spool.rows() == {}
    assert most <= concurrency
    for start, _ in begun:
        span = [count for at, count in begun if start <= at < start + 60]
        assert sum(span) <= recipient_rate
        assert sum(-(-count // 2) for count in span) <= rate
    await world.stop()


@given(st.integers(1, 4), st.integers(2, 20), st.integers(2, 30), messages, st.sampled_from([0.0, 0.5, 20.0]))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_shared_limits_are_exact(
    concurrency: int, rate: int, recipient_rate: int, mail: list[tuple[list[str], bool, float]], seconds: float
) -> None:
    asyncio.run(live_limited(concurrency, rate, recipient_rate, mail, seconds))
