"""`postroad queue suspend | resume | suspended`: stop mail to a next hop, a site or of a route, for a while.

What is suspended waits in the queue, is shown as such by `list` and `show`, and goes on when the time is over or an
operator says so. Suspensions outlive a restart of the server.
"""

from types import MappingProxyType
from typing import Annotated, Final

import msgspec
import typer

from postroad.cli.control import ask
from postroad.cli.exits import NO_INPUT, OK, complain, guarded
from postroad.cli.layout import Stopped, moment_text, never, printable
from postroad.cli.options import ConfigFile, Json, configuration
from postroad.config.schema import Config
from postroad.desk.protocol import ResumeAsked, SuspendAsked
from postroad.model.errors import SpoolError
from postroad.model.option import NEVER, parse_duration
from postroad.model.suspension import NEXT_HOP, ROUTE, SITE, Suspension
from postroad.net.clock import SystemClock
from postroad.queue.suspensions import Suspensions
from postroad.queue.times import NEVER as NEVER_AT
from postroad.spool.filters import fits
from postroad.store.suspensions import load

_OPTIONS: Final = MappingProxyType({NEXT_HOP: "--next-hop", SITE: "--site", ROUTE: "--route"})

NextHop = Annotated[
    str, typer.Option("--next-hop", metavar="PATTERN", help="A next hop: its host, host:port or all of it.")
]
Site = Annotated[str, typer.Option("--site", metavar="NAME", help="All next hops of a site.")]
RouteName = Annotated[str, typer.Option("--route", metavar="NAME", help="All next hops of a route: its name or place.")]


def add_to(group: typer.Typer) -> None:
    """The commands."""
    group.command("suspend")(suspend)
    group.command("resume")(resume)
    group.command("suspended")(suspended)


@guarded
def suspend(
    next_hop: NextHop = "",
    site: Site = "",
    route: RouteName = "",
    duration: Annotated[
        str, typer.Option("--for", metavar="DURATION", help='How long; "never" ends by resume alone.')
    ] = "1h",
    because: Annotated[str, typer.Option("--because", metavar="TEXT", help="Why, for whoever looks later.")] = "",
    config: ConfigFile = None,
) -> int:
    """Try no mail of a next hop, site or route for a while; what is being delivered right now still is.

    Example: postroad queue suspend --next-hop example.net --for 2h --because "their disk is full"
    """
    settings = configuration(config)
    kind, name = _named(next_hop, site, _route_meant(settings, route))
    labels = _labels(settings)
    if kind == ROUTE and not any(fits(name, label) for label in labels):
        raise typer.BadParameter(f"no route is called {name}; there are: {', '.join(labels)}", param_hint="--route")
    try:
        seconds = parse_duration(duration)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--for") from None
    if not seconds:
        raise typer.BadParameter("it must be longer than nothing", param_hint="--for")
    asked = SuspendAsked(kind=kind, name=name, seconds=0 if seconds == NEVER else seconds, reason=because)
    *_, answer = ask(settings, asked)
    print(f"suspended {kind} {printable(name)} {'until it is resumed' if seconds == NEVER else f'for {duration}'}")
    for lane in answer.names:
        print(f"stopped   {printable(lane)}")
    return OK


@guarded
def resume(next_hop: NextHop = "", site: Site = "", route: RouteName = "", config: ConfigFile = None) -> int:
    """End suspensions; a pattern ends all that fit. Exit code 66 when there is none.

    Example: postroad queue resume --next-hop "*"
    """
    settings = configuration(config)
    kind, name = _named(next_hop, site, _route_meant(settings, route))
    *_, answer = ask(settings, ResumeAsked(kind=kind, name=name))
    for one in answer.suspensions:
        print(f"resumed {one.kind} {printable(one.name)}")
    if not answer.suspensions:
        complain(f"no {kind} {name} is suspended")
        return NO_INPUT
    return OK


@guarded
def suspended(config: ConfigFile = None, as_json: Json = False) -> int:
    """List the suspensions in force, whether the server runs or not.

    Example: postroad queue suspended
    """
    now = SystemClock().now()
    for one in load(configuration(config).suspensions_file):
        if one.until <= now:
            continue
        if as_json:
            print(msgspec.json.encode(one).decode())
        else:
            print(f"{one.kind:<9} {printable(one.name)}  {_until(one)}, by {one.by}  {printable(one.reason)}".rstrip())
    return OK


def _named(next_hop: str, site: str, route: str) -> tuple[str, str]:
    """The one of them that was given."""
    given = [(kind, name) for kind, name in ((NEXT_HOP, next_hop), (SITE, site), (ROUTE, route)) if name]
    if len(given) != 1:
        raise typer.BadParameter(f"name one of {', '.join(_OPTIONS.values())}")
    return given[0]


def _labels(config: Config) -> list[str]:
    """What each route is called: its name, or its place when it has none."""
    return [route.name or str(number) for number, route in enumerate(config.routes, 1)]


def _route_meant(config: Config, name: str) -> str:
    """What the route is called that somebody named, maybe by its place although it has a name."""
    labels = _labels(config)
    is_place = name not in labels and name.isdecimal() and 0 < int(name) <= len(labels)
    return labels[int(name) - 1] if is_place else name


def stopped_by(config: Config, now: int) -> Stopped:
    """What operators have stopped, by lane."""
    suspensions = _kept(config)
    if not suspensions.entries:
        return never
    return lambda lane: suspensions.of(lane, now)


def stopped_text(config: Config, lane: str, site: str, rule: str) -> str:
    """What operators have stopped of mail that `rule` sends to `lane`, leading to `site`, in words; "" for nothing."""
    suspensions = _kept(config)
    if site:
        suspensions.note_site(lane, site)
    suspensions.note_route(lane, rule)
    found = suspensions.of(lane, SystemClock().now())
    return "" if found is None else f"{found.words}, {_until(found)}"


def _kept(config: Config) -> Suspensions:
    """The suspensions in the file; none, with a complaint, when it cannot be read."""
    try:
        return Suspensions(load(config.suspensions_file))
    except SpoolError as error:
        complain(error)
        return Suspensions()


def _until(one: Suspension) -> str:
    return "until it is resumed" if one.until >= NEVER_AT else f"until {moment_text(one.until)}"
