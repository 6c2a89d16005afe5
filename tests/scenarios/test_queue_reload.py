"""Another regime while the queue works: what runs ends by the old one, what was learned and used up stays."""

from collections.abc import Mapping, Sequence

from postroad.model.records import RecipientDeferred, RecipientDelivered, RecipientFailed
from postroad.queue.books import Reporting
from postroad.queue.lane import WaitReason
from postroad.queue.planning import ShapedPlans
from postroad.queue.regime import Regime
from postroad.queue.retryrules import retries_of
from postroad.queue.settings import QueueSettings, ShapingSettings
from postroad.queue.shaping import Shaping
from postroad.queue.spooling import CachedPlan, Plan
from tests.scenarios.queue_world import Hop, World, dead, defers, refuses, takes


def regime_of(
    world: World, settings: QueueSettings, shaping: Sequence[Mapping[str, object]] = (), old: Shaping | None = None
) -> Regime:
    """The world's own ways, with other settings and rules."""
    plan: Plan = world._plan
    cached_plan: CachedPlan = world.routes.get
    rules = [ShapingSettings.model_validate(rule) for rule in shaping]
    made = Shaping(rules, recipients=100) if rules else None
    if made is not None:
        plans = ShapedPlans(plan, cached_plan, made)
        plan, cached_plan = plans.plan, plans.cached_plan
        if old is not None:
            made.take_over(old)
    return Regime(
        settings=settings,
        plan=plan,
        cached_plan=cached_plan,
        deliver=world._deliver,
        retries=retries_of(settings, ()),
        reporting=Reporting("new.example.net", settings.return_size),
        shaping=made,
    )


def shaping_of(world: World) -> Shaping:
    rations = world.dispatcher.ready.rations
    assert rations is not None
    return rations.shaping


async def test_a_delivery_that_runs_is_settled_by_what_it_began_with() -> None:
    world = World(QueueSettings(retry=(60.0,)))
    slow = defers()

    async def slowly(works: list, content: object) -> list:  # type: ignore[type-arg]
        await world.clock.sleep(10)
        return await slow(works, content)  # type: ignore[arg-type]

    world.hops["mx:b.example"] = slowly
    world.send("x@b.example")
    await world.clock.run(1)
    world.dispatcher.adopt(regime_of(world, QueueSettings(retry=(3600.0,))))
    world.send("y@b.example")
    await world.clock.run(20)
    first, second = world.of(RecipientDeferred)
    assert first.due - first.at < 100e6
    assert second.due - second.at > 3000e6
    await world.stop()


async def test_more_deliveries_are_allowed_at_once() -> None:
    world = World(QueueSettings(deliveries=1))
    for name in "abcd":
        world.hops[f"mx:{name}.example"] = takes(seconds=100, clock=world.clock)
        world.send(f"x@{name}.example")
    await world.clock.run(1)
    assert sum(world.busy.values()) == 1
    world.dispatcher.adopt(regime_of(world, QueueSettings(deliveries=3)))
    await world.clock.run(1)
    assert sum(world.busy.values()) == 3
    world.dispatcher.adopt(regime_of(world, QueueSettings(deliveries=1)))
    await world.clock.run(400)
    assert len(world.copies) == 4
    await world.stop()


async def test_what_is_used_up_of_a_rate_stays_used_up() -> None:
    world = World(shaping=[{"domains": ["b.example"], "rates": ["5/hour"]}])
    for number in range(20):
        world.send(f"u{number}@b.example")
    await world.clock.run(60)
    assert len(world.copies) == 5
    rules: list[dict[str, object]] = [{"concurrency": 9}, {"domains": ["b.example"], "rates": ["5/hour"]}]
    world.dispatcher.adopt(regime_of(world, QueueSettings(), rules, shaping_of(world)))
    await world.clock.run(600)
    assert len(world.copies) == 5
    (state,) = world.dispatcher.lanes_state()
    assert (state.wait, state.reason) == (WaitReason.RATE, "shaping[1].rates: 5/hour")
    await world.clock.run(3600)
    assert len(world.copies) == 10
    await world.stop()


async def test_rules_come_go_and_come_while_mail_flows() -> None:
    world = World()
    every: list[tuple[str, Hop]] = [(f"mx:{name}.example", takes(seconds=1, clock=world.clock)) for name in "abc"]
    world.hops |= dict(every)
    rules: list[list[dict[str, object]]] = [
        [{"concurrency": 1, "per": "rule"}],
        [],
        [{"sites": ["s"], "concurrency": 2}, {"domains": ["a.example"], "rates": ["1/second"]}],
        [{"concurrency": 30}],
        [{"domains": ["*"], "rates": ["100000/minute"]}, {"sources": ["none"], "concurrency": 1}],
    ]
    world.sites = {"mx:a.example": "s", "mx:b.example": "s"}
    for step in range(60):
        for name in "abc":
            for number in range(5):
                world.send(f"u{step}-{number}@{name}.example")
        rations = world.dispatcher.ready.rations
        old = None if rations is None else rations.shaping
        world.dispatcher.adopt(regime_of(world, QueueSettings(concurrency=1 + step % 20), rules[step % 5], old))
        await world.clock.run(0.3)
    world.dispatcher.adopt(regime_of(world, QueueSettings()))
    await world.clock.run(600)
    assert len(world.copies) == 900
    assert set(world.copies.values()) == {1}
    await world.stop()


async def test_mail_behind_a_limit_goes_on_when_the_rule_is_gone() -> None:
    world = World(shaping=[{"rates": ["1/day"]}])
    for number in range(10):
        world.send(f"u{number}@b.example")
    await world.clock.run(10)
    assert len(world.copies) == 1
    world.dispatcher.adopt(regime_of(world, QueueSettings()))
    await world.clock.run(10)
    assert len(world.copies) == 10
    await world.stop()


async def test_accounts_of_limits_are_right_after_many_swaps() -> None:
    world = World(shaping=[{"per": "rule", "concurrency": 2}])
    world.hops["mx:b.example"] = takes(seconds=5, clock=world.clock)
    for number in range(20):
        world.send(f"u{number}@b.example")
    for _ in range(10):
        await world.clock.run(1)
        rules = [{"per": "rule", "concurrency": 2}]
        world.dispatcher.adopt(regime_of(world, QueueSettings(), rules, shaping_of(world)))
        assert world.busy["mx:b.example"] <= 2
    await world.clock.run(100)
    assert world.peak["mx:b.example"] == 2
    _, limits, _ = shaping_of(world).accounts()
    assert [(one.running, one.held, one.reserved, one.line) for one in limits.values()] == [(0, 0, 0, 0)] * len(limits)
    assert len(world.copies) == 20
    await world.stop()


async def test_a_suspended_next_hop_stays_suspended_and_reports_are_the_new_ones() -> None:
    world = World(QueueSettings(suspend=(600.0,)))
    world.hops["mx:b.example"] = dead()
    world.send("x@b.example")
    for _ in range(5):
        world.send("z@b.example")
    await world.clock.run(5)
    before = {state.name: state.until for state in world.dispatcher.lanes_state()}
    world.dispatcher.adopt(regime_of(world, QueueSettings(suspend=(60.0,))))
    assert {state.name: state.until for state in world.dispatcher.lanes_state()} == before
    world.hops["mx:gone.example"] = refuses()
    world.send("x@gone.example")
    await world.clock.run(5)
    assert world.of(RecipientFailed)
    (report,) = world.received("alice@example.com")
    assert "new.example.net" in report.as_string()
    assert world.of(RecipientDelivered)
    await world.stop()
