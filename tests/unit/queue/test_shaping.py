"""Rules merge, and lanes share accounts."""

from postroad.model.route import Route, Target, Terms
from postroad.queue.lane import UNPLANNED, Lane, Shape
from postroad.queue.limits import Limit
from postroad.queue.planning import ShapedPlans
from postroad.queue.ready import Ready
from postroad.queue.settings import QueueSettings, ShapingSettings
from postroad.queue.shaping import Shaping, domains_of, terms_of
from tests.unit.queue.builders import NOW, SECOND, message


def shaping(*rules: dict[str, object]) -> Shaping:
    return Shaping([ShapingSettings.model_validate(rule) for rule in rules], recipients=100)


def route(lane: str = "mx:a.example", *hosts: str, site: str = "", source: str = "") -> Route:
    targets = tuple(Target("smtp", host, "192.0.2.1", 25) for host in hosts or ("mx.a.example",))
    return Route(lane, targets, "test", site=site, source=source)


def test_the_last_rule_that_gives_an_option_wins() -> None:
    rules = shaping(
        {"concurrency": 5, "tls": "required", "connect_timeout": "5s"},
        {"domains": ["a.example"], "concurrency": 9},
        {"domains": ["b.example"], "concurrency": 1},
        {"mx": ["MX.*"], "tls": ""},
    )
    merged = rules.merge("mx:a.example", route())
    assert merged.rules == (0, 1, 3)
    assert {name: given.number for name, given in merged.options.items() if name in ("concurrency", "tls")} == {
        "concurrency": 1,
        "tls": 3,
    }
    assert terms_of(merged) == Terms(connect_timeout=5.0)
    assert rules.shape("mx:a.example", route()).concurrency == 9


def test_a_rule_covers_what_all_its_criteria_cover() -> None:
    rules = shaping({"domains": ["*.example"], "sites": ["x"], "sources": ["s"], "rates": ["1/day"]})
    assert rules.merge("mx:a.example", route(site="x", source="s")).rules == (0,)
    for lane, other in (
        ("mx:a.net", route(site="x", source="s")),
        ("mx:a.example", route(site="y", source="s")),
        ("mx:a.example", route(site="x")),
        ("mx:a.example", None),
        ("smtp://mail.a.example:25", route(site="x", source="s")),
    ):
        assert rules.merge(lane, other).rules == ()


def test_an_empty_list_lifts_a_rate_that_an_earlier_rule_sets() -> None:
    rules = shaping({"rates": ["1/day"]}, {"domains": ["a.example"], "rates": []})
    assert rules.shape("mx:a.example", None).limits == ()
    assert len(rules.shape("mx:b.example", None).limits) == 1


def test_who_shares_an_account() -> None:
    per_lane: dict[str, object] = {"per": "lane", "recipient_rates": ["5/day"]}
    rules = shaping({"rates": ["1/day"]}, {"per": "site", "concurrency": 2}, per_lane)
    one = accounts(rules.shape("mx:a.example", route(site="x")))
    two = accounts(rules.shape("mx:b.example", route(site="x")))
    other = accounts(rules.shape("mx:c.example", route()))
    assert [name for name in one if one[name] is two[name]] == ["concurrency", "rates"]
    assert [name for name in one if one[name] is other[name]] == ["rates"]


def accounts(shape: Shape) -> dict[str, Limit]:
    """The limits of a shape by the option they come from, in the order of names."""
    named = {limit.words.partition(".")[2].partition(":")[0]: limit for limit in shape.limits}
    return dict(sorted(named.items()))


def test_a_source_has_accounts_of_its_own() -> None:
    rules = shaping({"sources": ["s"], "rates": ["9/day"]}, {"rates": ["5/day"]})
    limits = rules.shape("mx:a.example", route(source="s")).limits
    assert sorted((limit.of_source, limit.words) for limit in limits) == [
        (False, "shaping[1].rates: 5/day"),
        (True, "shaping[0].rates: 9/day"),
    ]


def test_lanes_say_their_domains() -> None:
    assert domains_of("mx:a.example") == ["a.example"]
    assert domains_of("mx:a.example*3,smtp://b:25?balance=weighted&fallback=mx%3Ac.example") == ["a.example"]
    assert domains_of("smtp://mail:25") == []


def test_rules_that_need_no_route_apply_at_once() -> None:
    assert shaping({"domains": ["a.example"], "rates": ["1/day"]}).first_shape("mx:a.example").limits
    assert shaping({"mx": ["*"], "rates": ["1/day"]}).first_shape("mx:a.example") is UNPLANNED


def test_a_used_up_rate_outlives_its_lanes_and_an_unused_one_does_not() -> None:
    rules = shaping({"per": "lane", "rates": ["1/minute"]})
    ready = Ready(QueueSettings(), rules)
    used, idle = ready.lane("mx:used.example", NOW), ready.lane("mx:idle.example", NOW)
    deliver(ready, used)
    ready.forget_idle(NOW)
    assert ready.states(NOW) == []
    assert [limit.lanes for limit in rules._limits.values()] == [0]
    again = ready.lane("mx:used.example", NOW)
    push(ready, again)
    assert ready.begin(again, NOW) is not None
    assert ready.begin(idle, NOW + 60 * SECOND) is None
    ready.unload(again)


def push(ready: Ready, lane: Lane) -> None:
    works = message(lane=lane.name)
    ready.push(lane, works[0].stored, works)


def deliver(ready: Ready, lane: Lane) -> None:
    push(ready, lane)
    assert ready.begin(lane, NOW) is None
    ready.lease(lane, NOW)
    ready.end(lane)
    ready.finish(1)


async def test_routes_get_their_terms_once() -> None:
    plain = route()

    async def plan(lane: str) -> Route:
        return plain

    rules = shaping({"domains": ["a.example"], "tls": "off"})
    plans = ShapedPlans(plan, lambda lane: plain if lane == plain.lane else None, rules)
    shaped = await plans.plan("mx:a.example")
    assert isinstance(shaped, Route)
    assert shaped.terms == Terms(tls="off")
    assert plans.cached_plan("mx:a.example") is shaped
    assert plans.cached_plan("mx:b.example") is None


async def test_tls_that_a_policy_requires_goes_before_what_a_rule_says() -> None:
    secure = Route("mx:a.example?tls=required", (), "test", terms=Terms(tls="required"))

    async def plan(lane: str) -> Route:
        return secure

    for rules, terms in (
        (
            shaping({"domains": ["a.example"], "tls": "off", "recipients_per_transaction": 3}),
            Terms(recipients=3, tls="required"),
        ),
        (shaping({"domains": ["b.example"], "tls": "off"}), Terms(tls="required")),
    ):
        shaped = await ShapedPlans(plan, lambda lane: None, rules).plan(secure.lane)
        assert isinstance(shaped, Route)
        assert shaped.terms == terms


def test_a_next_hop_that_leaves_a_crowded_limit_makes_place_there() -> None:
    ready = Ready(QueueSettings(window=1000), shaping({"sites": ["big"], "rates": ["1/hour"]}))
    leaving, staying = ready.lane("mx:a.example", NOW), ready.lane("mx:b.example", NOW)
    for lane in (leaving, staying):
        ready.learn(lane, route(lane.name, site="big"), NOW)
    for limit in leaving.shape.limits if leaving.shape is not None else ():
        limit.count(NOW, 1)
    while ready.has_place(leaving, 1, NOW):
        ready.push(leaving, (works := message())[0].stored, works)
    assert {"mx:a.example", "mx:b.example"} <= ready.closed(NOW)
    ready.hungry = False
    ready.learn(leaving, route(leaving.name, site="other"), NOW)
    assert ready.hungry
    assert "mx:b.example" not in ready.closed(NOW)
