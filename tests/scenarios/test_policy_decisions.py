"""What policies decided about a message, as the queue carries it out over a real spool: held, a route, TLS."""

from pathlib import Path

import pytest

from postroad.model.records import RecipientHeld
from postroad.model.route import TLS_REQUIRED, Terms
from postroad.model.work import Status
from postroad.routing.router import Router
from postroad.routing.rules import compile_rules
from postroad.routing.settings import RouteSettings, ThenSettings
from postroad.spool.filters import Query
from tests.support.clock import ManualClock
from tests.support.dns import FakeLookup
from tests.support.operating import OperatedWorld

RECORDS = {("one.example", "A"): ["192.0.2.1"], ("filter.internal", "A"): ["192.0.2.2"]}
ROUTES = (
    RouteSettings(name="review", recipients=("review.example",), then="hold"),
    RouteSettings(name="never", recipients=("never.example",), then=ThenSettings(fail="550 5.7.1 Not there")),
    RouteSettings(next_hops=("mx",), fallback=("smtp://filter.internal",)),
    RouteSettings(name="filter", recipients=("filter.example",), next_hops=("smtp://filter.internal",)),
)
PLAIN = "mx:one.example?fallback=smtp://filter.internal:25&after=3600"
SECURE = "mx:one.example?fallback=smtp://filter.internal:25%3Ftls%3Drequired&after=3600&tls=required"


def router(routes: tuple[RouteSettings, ...] = ROUTES) -> Router:
    """Routes as a configuration has them, over a DNS of one host each."""
    return Router(
        compile_rules(routes),
        FakeLookup(RECORDS),
        own_names=(),
        own_addresses=(),
        shuffle=lambda _: None,
        clock=ManualClock(),
    )


async def world_at(folder: Path) -> OperatedWorld:
    """A world with these routes."""
    world = OperatedWorld(folder / "spool")
    world.router = router()
    return await world.start()


async def test_held_mail_outlives_a_restart_and_goes_its_ordinary_way_once_released(tmp_path: Path) -> None:
    world = await world_at(tmp_path)
    first = world.send("a@one.example", "b@one.example", held="quarantine: looks like an invoice")
    second = world.send("c@one.example")
    await world.until(lambda: len(world.of(RecipientHeld)) == 2 and len(world.copies) == 1)
    assert {(record.id, record.reason) for record in world.of(RecipientHeld)} == {
        (first, "quarantine: looks like an invoice")
    }
    for index in ("keep", "remove"):
        await world.stop()
        if index == "remove":
            (tmp_path / "spool" / "index.db").unlink()
        await world.start()
        rows = await world.rows()
        assert {(row.status, row.reply) for row in rows.values()} == {
            (Status.HELD, "quarantine: looks like an invoice")
        }
        assert set(rows) == {"a@one.example", "b@one.example"}
        await world.passing(86_400)
    assert set(world.copies) == {(PLAIN, second, "c@one.example")}
    assert (await world.order("release", Query(recipient="a@one.example"))).recipients == 1
    await world.stop()
    await world.start()
    await world.until(lambda: len(world.copies) == 2)
    assert (await world.order("release", first)).recipients == 1
    await world.until(lambda: len(world.copies) == 3)
    await world.at_rest()
    assert set(world.copies) == {
        (PLAIN, second, "c@one.example"),
        (PLAIN, first, "a@one.example"),
        (PLAIN, first, "b@one.example"),
    }
    assert len(world.of(RecipientHeld)) == 2  # it is not held again
    await world.stop()


async def test_a_chosen_route_is_taken_instead_of_the_first_that_matches(tmp_path: Path) -> None:
    world = await world_at(tmp_path)
    filtered = world.send("a@one.example", route="filter")
    reviewed = world.send("b@one.example", route="review")
    await world.until(lambda: len(world.copies) == 1 and len(world.of(RecipientHeld)) == 1)
    assert set(world.copies) == {("smtp://filter.internal:25", filtered, "a@one.example")}
    assert [record.reason for record in world.of(RecipientHeld)] == ["held by route review"]
    assert (await world.order("release", reviewed)).recipients == 1
    await world.until(lambda: len(world.copies) == 2)
    assert (PLAIN, reviewed, "b@one.example") in world.copies
    await world.stop()


async def test_a_chosen_route_that_went_holds_until_somebody_decides(tmp_path: Path) -> None:
    world = await world_at(tmp_path)
    sent = world.send("a@one.example", route="gone", tls=TLS_REQUIRED)
    await world.until(lambda: len(world.of(RecipientHeld)) == 1)
    (record,) = world.of(RecipientHeld)
    assert record.reason == 'a policy chose the route "gone", which is not there any more'
    assert (await world.order("release", sent)).recipients == 1
    await world.until(lambda: len(world.copies) == 1)
    assert set(world.copies) == {(SECURE, sent, "a@one.example")}
    await world.stop()


@pytest.mark.parametrize(("route", "lane"), [("", SECURE), ("filter", "smtp://filter.internal:25?tls=required")])
async def test_tls_that_a_policy_requires_is_a_term_of_the_route(tmp_path: Path, route: str, lane: str) -> None:
    world = await world_at(tmp_path)
    plain, secure = world.send("a@one.example", route=route), world.send("a@one.example", route=route, tls=TLS_REQUIRED)
    await world.until(lambda: len(world.copies) == 2)
    assert {queue_id: name for name, queue_id, _ in world.copies}[secure] == lane
    assert {one.lane: one.terms for one in world.routes} == {
        PLAIN if not route else "smtp://filter.internal:25": None,
        lane: Terms(tls=TLS_REQUIRED),
    }
    assert plain != secure
    await world.stop()


async def test_an_operator_who_leads_mail_elsewhere_does_not_lead_it_past_tls(tmp_path: Path) -> None:
    world = await world_at(tmp_path)
    plain, secure = (
        world.send("a@one.example", held="wait"),
        world.send("a@one.example", held="wait", tls=TLS_REQUIRED),
    )
    await world.until(lambda: len(world.of(RecipientHeld)) == 2)
    assert (await world.order("reroute", Query(), lane="smtp://filter.internal:25")).recipients == 2
    assert (await world.order("release", Query(status=Status.HELD))).recipients == 2
    await world.until(lambda: len(world.copies) == 2)
    assert set(world.copies) == {
        ("smtp://filter.internal:25", plain, "a@one.example"),
        ("smtp://filter.internal:25?tls=required", secure, "a@one.example"),
    }
    await world.stop()
