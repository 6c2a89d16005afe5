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
    kind, name = _named(next_hop, site, route)
    try:
        seconds = parse_duration(duration)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--for") from None
    if not seconds:
        raise typer.BadParameter("it must be longer than nothing", param_hint="--for")
    asked = SuspendAsked(kind=kind, name=name, seconds=0 if seconds == NEVER else seconds, reason=because)
    *_, answer = ask(configuration(config), asked)
    print(f"suspended {kind} {printable(name)} {'until it is resumed' if seconds == NEVER else f'for {duration}'}")
    for lane in answer.names:
        print(f"stopped   {printable(lane)}")
    return OK


@guarded
def resume(next_hop: NextHop = "", site: Site = "", route: RouteName = "", config: ConfigFile = None) -> int:
    """End suspensions; a pattern ends all that fit. Exit code 66 when there is none.

    Example: postroad queue resume --next-hop "*"
    """
    kind, name = _named(next_hop, site, route)
    *_, answer = ask(configuration(config), ResumeAsked(kind=kind, name=name))
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
            until = "until it is resumed" if one.until >= NEVER_AT else f"until {moment_text(one.until)}"
            print(f"{one.kind:<9} {printable(one.name)}  {until}, by {one.by}  {printable(one.reason)}".rstrip())
    return OK


def _named(next_hop: str, site: str, route: str) -> tuple[str, str]:
    """The one of them that was given."""
    given = [(kind, name) for kind, name in ((NEXT_HOP, next_hop), (SITE, site), (ROUTE, route)) if name]
    if len(given) != 1:
        raise typer.BadParameter(f"name one of {', '.join(_OPTIONS.values())}")
    return given[0]


def stopped_by(config: Config, now: int) -> Stopped:
    """What operators have stopped, by lane."""
    try:
        found: list[Suspension] = load(config.suspensions_file)
    except SpoolError as error:
        complain(error)
        return never
    if not found:
        return never
    suspensions = Suspensions(found)
    return lambda lane: suspensions.of(lane, now)
