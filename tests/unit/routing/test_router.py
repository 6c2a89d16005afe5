"""The router over a fake look-up: lanes to routes, failover, and how long a route holds."""

import asyncio

import pytest

from postroad.model.address import NULL_PATH, parse_mailbox
from postroad.model.dns import Answer, DnsStatus
from postroad.model.envelope import Envelope, Recipient
from postroad.model.outcome import Deferred, Delivered, Failed, Held
from postroad.model.reply import Reply
from postroad.model.route import Route
from postroad.routing.router import Router
from postroad.routing.rules import compile_rules
from postroad.routing.settings import RouteSettings
from postroad.routing.sites import Sites
from tests.support.clock import ManualClock
from tests.support.dns import FakeLookup

RECORDS = {
    ("example.com", "MX"): ["20 mx2.example.com", "10 mx1.example.com."],
    ("mx1.example.com", "A"): ["192.0.2.1"],
    ("mx1.example.com", "AAAA"): ["2001:db8::1"],
    ("mx2.example.com", "A"): ["192.0.2.2"],
    ("null.example", "MX"): ["0 ."],
    ("plain.example", "A"): ["192.0.2.3"],
    ("alias.example", "CNAME"): ["example.com"],
    ("behind.example", "MX"): ["10 www.behind.example"],
    ("www.behind.example", "CNAME"): ["plain.example"],
    ("backup.example", "MX"): ["10 primary.example", "20 relay.example.net"],
    ("primary.example", "A"): ["192.0.2.4"],
    ("loop.example", "MX"): ["10 relay.example.net"],
    ("relay.example.net", "A"): ["192.0.2.9"],
    ("byaddress.example", "MX"): ["10 other-name.example"],
    ("other-name.example", "A"): ["192.0.2.9"],
    ("smart.internal", "A"): ["192.0.2.5", "192.0.2.6"],
    ("empty.internal", "TXT"): ["nothing here"],
    ("_smtp._tcp.srv.internal", "SRV"): [
        "10 3 2525 mx1.example.com.",
        "10 1 2526 mx2.example.com",
        "20 0 25 smart.internal",
    ],
    ("_smtp._tcp.away.internal", "SRV"): ["0 0 0 ."],
    ("_smtp._tcp.loop.internal", "SRV"): ["0 0 25 other-name.example"],
    ("_smtp._tcp.named.internal", "SRV"): ["0 0 25 relay.example.net"],
    ("_smtp._tcp.hidden.internal", "SRV"): ["0 0 25 broken.internal"],
    ("_submission._tcp.srv.internal", "SRV"): ["0 0 587 plain.example"],
    ("google.example", "MX"): ["10 a.l.google.example", "20 b.l.google.example"],
    ("a.l.google.example", "A"): ["192.0.2.31"],
    ("mixed.example", "MX"): ["10 a.l.google.example", "20 mx2.example.com"],
}


def router(lookup: FakeLookup | None = None, clock: ManualClock | None = None) -> Router:
    return Router(
        compile_rules((RouteSettings(next_hops=("mx",)),)),
        lookup
        or FakeLookup(
            RECORDS, failing=["broken.example", "broken.internal"], silent=["slow.example", "_smtp._tcp.slow.internal"]
        ),
        own_names=("Relay.example.net",),
        own_addresses=frozenset({("192.0.2.9", 25)}),
        shuffle=lambda hosts: hosts.sort(),
        sites=Sites({"google": ("*.google.example",)}),
        clock=clock or ManualClock(),
    )


@pytest.mark.parametrize(
    ("lane", "targets"),
    [
        (
            "mx:example.com",
            ["mx1.example.com[2001:db8::1]:25", "mx1.example.com[192.0.2.1]:25", "mx2.example.com[192.0.2.2]:25"],
        ),
        (
            "mx:alias.example",
            ["mx1.example.com[2001:db8::1]:25", "mx1.example.com[192.0.2.1]:25", "mx2.example.com[192.0.2.2]:25"],
        ),
        ("mx:plain.example", ["plain.example[192.0.2.3]:25"]),
        ("mx:behind.example", ["www.behind.example[192.0.2.3]:25"]),
        ("mx:backup.example", ["primary.example[192.0.2.4]:25"]),
        ("mx:[192.0.2.7]", ["192.0.2.7[192.0.2.7]:25"]),
        ("mx:[ipv6:2001:db8::7]", ["2001:db8::7[2001:db8::7]:25"]),
        ("smtp://smart.internal:2525", ["smart.internal[192.0.2.5]:2525", "smart.internal[192.0.2.6]:2525"]),
        ("smtp://192.0.2.7:26", ["192.0.2.7[192.0.2.7]:26"]),
        ("smtp://[2001:db8::7]:25", ["2001:db8::7[2001:db8::7]:25"]),
        ("smtp://192.0.2.9:26", ["192.0.2.9[192.0.2.9]:26"]),
        ("lmtp://smart.internal:24", ["smart.internal[192.0.2.5]:24", "smart.internal[192.0.2.6]:24"]),
        ("lmtp:///run/lmtp", ["/run/lmtp[/run/lmtp]"]),
        ("smtp://192.0.2.7:26*3?source=news", ["192.0.2.7[192.0.2.7]:26"]),
        ("capture:", ["capture[]"]),
        ("smtp://192.0.2.7:26,smtp://192.0.2.8:26", ["192.0.2.7[192.0.2.7]:26", "192.0.2.8[192.0.2.8]:26"]),
        ("smtp://broken.internal:25,smtp://192.0.2.8:26", ["192.0.2.8[192.0.2.8]:26"]),
        ("mx:none.example,smtp://192.0.2.8:26", ["192.0.2.8[192.0.2.8]:26"]),
        ("smtp://192.0.2.9:25,smtp://192.0.2.8:26", ["192.0.2.8[192.0.2.8]:26"]),
    ],
)
async def test_lanes_with_targets(lane: str, targets: list[str]) -> None:
    route = await router().plan(lane)
    assert isinstance(route, Route)
    assert route.lane == lane
    assert [str(target) for target in route.targets] == targets
    assert {target.scheme for target in route.targets} == {"smtp" if lane[:2] == "mx" else lane.partition(":")[0]}


@pytest.mark.parametrize(
    ("lane", "kind", "code", "enhanced"),
    [
        ("mx:none.example", Failed, 550, "5.1.2"),
        ("mx:null.example", Failed, 556, "5.1.10"),
        ("mx:broken.example", Deferred, 451, "4.4.3"),
        ("mx:slow.example", Deferred, 451, "4.4.3"),
        ("mx:loop.example", Failed, 554, "5.4.6"),
        ("mx:byaddress.example", Failed, 554, "5.4.6"),
        ("mx:relay.example.net", Failed, 554, "5.4.6"),
        ("mx:[192.0.2.9]", Failed, 554, "5.4.6"),
        ("mx:empty.internal", Failed, 550, "5.4.4"),
        ("smtp://none.internal:25", Deferred, 451, "4.4.4"),
        ("smtp://empty.internal:25", Deferred, 451, "4.4.4"),
        ("smtp://broken.internal:25", Deferred, 451, "4.4.3"),
        ("smtp://192.0.2.9:25", Deferred, 451, "4.4.6"),
        ("mx:null.example,smtp://broken.internal:25", Deferred, 451, "4.4.3"),
        ("mx:null.example,mx:none.example", Failed, 556, "5.1.10"),
        ("", Deferred, 451, "4.3.5"),
        ("gopher://old.example", Deferred, 451, "4.3.5"),
        ("smtp://a:25?colour=red", Deferred, 451, "4.3.5"),
        ("smtp+srv://none.internal", Deferred, 451, "4.4.4"),
        ("smtp+srv://away.internal", Deferred, 451, "4.4.4"),
        ("smtp+srv://loop.internal", Deferred, 451, "4.4.6"),
        ("smtp+srv://named.internal", Deferred, 451, "4.4.6"),
        ("smtp+srv://hidden.internal", Deferred, 451, "4.4.3"),
        ("smtp+srv://slow.internal", Deferred, 451, "4.4.3"),
        ("fail:550 5.7.1 We do not write to them", Failed, 550, "5.7.1"),
    ],
)
async def test_lanes_without_targets(lane: str, kind: type, code: int, enhanced: str) -> None:
    planned = router()
    outcome = await planned.plan(lane)
    assert isinstance(outcome, kind)
    assert isinstance(outcome, (Deferred, Failed))
    assert (outcome.reply.code, outcome.reply.enhanced) == (code, enhanced)
    assert planned.cached_plan(lane) is None


async def route_of(lane: str, planned: Router | None = None) -> Route:
    route = await (planned or router()).plan(lane)
    assert isinstance(route, Route)
    return route


def places(route: Route) -> list[tuple[str, int, int]]:
    return [(f"{target.address}:{target.port}", target.tier, target.weight) for target in route.targets]


async def test_tiers_of_a_domain_are_its_preferences() -> None:
    route = await route_of("mx:example.com")
    assert [(target.address, target.tier) for target in route.targets] == [
        ("2001:db8::1", 0),
        ("192.0.2.1", 0),
        ("192.0.2.2", 1),
    ]
    assert (route.balance, route.site, route.source) == ("failover", "", "")


async def test_service_records() -> None:
    route = await route_of("smtp+srv://srv.internal")
    assert places(route) == [
        ("2001:db8::1:2525", 0, 3),
        ("192.0.2.1:2525", 0, 3),
        ("192.0.2.2:2526", 0, 1),
        ("192.0.2.5:25", 1, 1),
        ("192.0.2.6:25", 1, 1),
    ]
    assert route.reason.startswith("SRV of _smtp._tcp.srv.internal: 10 3 mx1.example.com:2525, 10 1")
    assert places(await route_of("smtp+srv://_submission._tcp.srv.internal")) == [("192.0.2.3:587", 0, 1)]


async def test_a_balanced_route_has_its_next_hops_side_by_side() -> None:
    lane = "smtp://smart.internal:2525*3,smtp://192.0.2.7:26?balance=weighted&source=news"
    route = await route_of(lane)
    assert places(route) == [("192.0.2.5:2525", 0, 3), ("192.0.2.6:2525", 0, 3), ("192.0.2.7:26", 0, 1)]
    assert (route.lane, route.balance, route.source) == (lane, "weighted", "news")
    assert route.reason == "smtp://smart.internal:2525; beside smtp://192.0.2.7:26"


async def test_a_balanced_service_keeps_its_priorities() -> None:
    route = await route_of("smtp+srv://srv.internal,smtp://192.0.2.7:26?balance=round-robin")
    assert places(route) == [
        ("2001:db8::1:2525", 0, 3),
        ("192.0.2.1:2525", 0, 3),
        ("192.0.2.2:2526", 0, 1),
        ("192.0.2.7:26", 0, 4),
        ("192.0.2.5:25", 1, 1),
        ("192.0.2.6:25", 1, 1),
    ]


async def test_a_next_hop_without_address_leaves_the_others_their_places() -> None:
    failing_over = await route_of("smtp://broken.internal:25,smtp://192.0.2.7:26,smtp://192.0.2.8:26")
    assert places(failing_over) == [("192.0.2.7:26", 0, 1), ("192.0.2.8:26", 1, 1)]
    assert failing_over.ttl == 30.0


@pytest.mark.parametrize(
    ("lane", "site"),
    [
        ("mx:google.example", "google"),  # also while one of its hosts has no address
        ("mx:mixed.example", ""),
        ("mx:example.com", ""),
        ("smtp://a.l.google.example:25", "google"),
        ("smtp://a.l.google.example:25,smtp://192.0.2.7:26", ""),
        ("capture:", ""),
    ],
)
async def test_sites(lane: str, site: str) -> None:
    assert (await route_of(lane)).site == site


async def test_decisions_have_their_outcome_at_once() -> None:
    lookup = FakeLookup({})
    planned = router(lookup)
    discarded = await planned.plan("discard:spam")
    assert discarded == Delivered(Reply(250, "2.0.0", "discarded by route spam"), dsn_passed=True)
    assert await planned.plan("hold:7") == Held("held by route 7")
    assert await planned.plan("hold:") == Held("held by route")
    assert planned.cached_plan("hold:7") is None
    assert not lookup.asked


async def test_reasons_are_for_people() -> None:
    route = await router().plan("smtp://broken.internal:25,mx:example.com")
    assert isinstance(route, Route)
    assert route.reason == (
        "passed over: next hop smtp://broken.internal:25: SERVFAIL; "
        "then MX of example.com: 10 mx1.example.com, 20 mx2.example.com"
    )


async def test_a_route_holds_for_its_ttl() -> None:
    clock, lookup = ManualClock(), FakeLookup(RECORDS, ttl=100)
    planned = router(lookup, clock)
    assert planned.cached_plan("mx:example.com") is None
    route = await planned.plan("mx:example.com")
    assert isinstance(route, Route)
    assert route.ttl == 100
    clock.advance(99)
    assert planned.cached_plan("mx:example.com") is route
    clock.advance(1)
    assert planned.cached_plan("mx:example.com") is None
    assert planned.last_plan("mx:example.com") is route
    assert planned.last_plan("mx:example.org") is None


@pytest.mark.parametrize(("ttl", "held"), [(0, 5.0), (86_400, 300.0)])
async def test_ttl_is_bounded(ttl: int, held: float) -> None:
    route = await router(FakeLookup(RECORDS, ttl=ttl)).plan("mx:example.com")
    assert isinstance(route, Route)
    assert route.ttl == held


async def test_a_partial_route_is_looked_up_again_soon() -> None:
    lookup = FakeLookup(RECORDS, failing=["mx1.example.com"])
    route = await router(lookup).plan("mx:example.com")
    assert isinstance(route, Route)
    assert [target.host for target in route.targets] == ["mx2.example.com"]
    assert route.ttl == 30.0
    lookup.failing = {("mx1.example.com", "AAAA")}
    route = await router(lookup).plan("mx:example.com")
    assert isinstance(route, Route)
    assert [target.address for target in route.targets] == ["192.0.2.1", "192.0.2.2"]


async def test_the_shortest_life_of_all_answers_counts() -> None:
    class ShortMx(FakeLookup):
        async def __call__(self, name: str, kind: str) -> Answer:
            answer = await super().__call__(name, kind)
            return Answer(answer.status, answer.records, 7 if kind == "MX" else 200, canonical=name)

    route = await router(ShortMx(RECORDS)).plan("mx:example.com")
    assert isinstance(route, Route)
    assert route.ttl == 7


async def test_routes_kept_are_bounded() -> None:
    planned = router()
    for at in range(20_050):
        await planned.plan(f"smtp://192.0.2.1:{at + 1}")
    assert len(planned._routes) <= 20_000


async def test_addresses_are_asked_for_side_by_side() -> None:
    """The hosts of a domain cost one round trip, not one each."""
    waiting: list[asyncio.Future[Answer]] = []

    async def lookup(name: str, kind: str) -> Answer:
        if kind == "MX":
            return await FakeLookup(RECORDS)(name, kind)
        waiting.append(asyncio.get_running_loop().create_future())
        return await waiting[-1]

    planned = Router(compile_rules(()), lookup, own_names=(), own_addresses=(), shuffle=lambda hosts: None)
    planning = asyncio.ensure_future(planned.plan("mx:example.com"))
    while len(waiting) < 4:
        await asyncio.sleep(0)
    for future in waiting:
        future.set_result(Answer(DnsStatus.FOUND, ("192.0.2.1",), 60))
    assert isinstance(await planning, Route)


def test_place_is_that_of_the_rules() -> None:
    envelope = Envelope("1", NULL_PATH, (), arrived=0, size=0)
    placement = router().place(envelope, Recipient(parse_mailbox("you@example.com")))
    assert placement is not None
    assert placement.lane == "mx:example.com"
