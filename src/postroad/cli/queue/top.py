"""`postroad queue top`: the running server, live: rates, and the busiest and the worst next hops.

The server tells every so often what happened; how much waits for each next hop is read from the spool beside it,
now and then, so that watching costs the server little.
"""

import sys
from collections.abc import Generator
from contextlib import closing
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from postroad.cli.control import ask
from postroad.cli.exits import OK, guarded
from postroad.cli.layout import printable, size_text, span_text
from postroad.cli.options import ConfigFile, Json, configuration
from postroad.config.schema import Config
from postroad.desk.protocol import Activity, Answer, LaneNow, WatchAsked
from postroad.model.errors import SpoolError
from postroad.model.suspension import Suspension
from postroad.net.clock import SystemClock
from postroad.queue.times import NEVER
from postroad.spool.query import Query, SpoolReader

COUNT_EVERY: Final = 10.0  # seconds between two looks into the spool


def add_to(group: typer.Typer) -> None:
    """The command."""
    group.command("top")(top)


@guarded
def top(
    interval: Annotated[
        float, typer.Option("--interval", metavar="SECONDS", min=0.2, max=10, help="How often to look.")
    ] = 1.0,
    rounds: Annotated[int, typer.Option("--rounds", metavar="N", min=0, help="Looks until it ends; 0: never.")] = 0,
    rows: Annotated[int, typer.Option("--rows", metavar="N", min=1, max=50, help="Next hops to show.")] = 20,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Watch the running server: rates, what waits, the busiest and the worst next hops. Ctrl-C ends it.

    Example: postroad queue top
    """
    settings = configuration(config)
    views = _views(settings, interval, rounds)
    with closing(views):
        if as_json or not sys.stdout.isatty():
            for view in views:
                print(msgspec.json.encode(view).decode() if as_json else _plain(view, rows), flush=True)
            return OK
        with Live(console=Console(), auto_refresh=False, screen=True) as live:
            for view in views:
                live.update(drawn(view, rows, SystemClock().now()), refresh=True)
    return OK


class View(msgspec.Struct, frozen=True):
    """One moment: what happened, the next hops, what waits for each (as last counted), what is suspended."""

    activity: Activity
    lanes: tuple[LaneNow, ...]
    waiting: dict[str, int]
    suspensions: tuple[Suspension, ...]


def _views(config: Config, interval: float, rounds: int) -> Generator[View, None, None]:
    clock = SystemClock()
    reader = SpoolReader(config.spool_folder)
    waiting: dict[str, int] = {}
    counted = clock.monotonic() - COUNT_EVERY
    for number, answer in enumerate(ask(config, WatchAsked(seconds=interval)), 1):
        if clock.monotonic() - counted >= COUNT_EVERY:
            waiting = _counted(reader)
            counted = clock.monotonic()
        yield _view(answer, waiting)
        if number == rounds:
            return


def _counted(reader: SpoolReader) -> dict[str, int]:
    try:
        return reader.groups(Query(), "next-hop")
    except SpoolError:
        return {}


def _view(answer: Answer, waiting: dict[str, int]) -> View:
    return View(answer.activity or Activity(1.0), answer.lanes, waiting, answer.suspensions)


def ranked(view: View, rows: int) -> list[LaneNow]:
    """The next hops to show: those where something happens or that fail, then those for which most waits."""
    known = {lane.name: lane for lane in view.lanes}
    for name in sorted(view.waiting, key=lambda name: -view.waiting[name])[:rows]:
        known.setdefault(name, LaneNow(name))

    def weight(lane: LaneNow) -> tuple[int, int]:
        happened = lane.delivered + lane.deferred + lane.failed + lane.running
        return happened, view.waiting.get(lane.name, 0)

    return sorted(known.values(), key=weight, reverse=True)[:rows]


def worst(view: View, rows: int) -> list[LaneNow]:
    """The next hops that fail: paused ones, and those that put off or refuse more than they take."""
    failing = [lane for lane in view.lanes if lane.reason or lane.deferred + lane.failed > lane.delivered]
    return sorted(failing, key=lambda lane: -(view.waiting.get(lane.name, 0) + lane.waiting))[:rows]


def head(view: View) -> str:
    """The line of rates."""
    now = view.activity
    rates = ((now.accepted, "in"), (now.delivered, "delivered"), (now.deferred, "deferred"), (now.failed, "failed"))
    told = "  ".join(f"{number / now.seconds:,.1f} {word}/s" for number, word in rates)
    return f"{told}   waiting: {now.messages:,} messages, {size_text(now.octets)}"


def _plain(view: View, rows: int) -> str:
    lanes = (f"  {printable(lane.name)}: {_state(lane, view, SystemClock().now())}" for lane in ranked(view, rows))
    return "\n".join((head(view), *lanes))


def drawn(view: View, rows: int, now: int) -> Group:
    """The whole picture."""
    suspensions = [Text(_suspension(one, now)) for one in view.suspensions]
    parts = (_table("BUSIEST NEXT HOPS", ranked(view, rows), view, now), _table("WORST", worst(view, 5), view, now))
    return Group(Text(head(view), style="bold"), *suspensions, *parts)


def _table(title: str, lanes: list[LaneNow], view: View, now: int) -> Table:
    table = Table(title=title, title_justify="left", box=None, expand=True)
    table.add_column("next hop", ratio=3, no_wrap=True)
    for name in ("waiting", "running", "ok/s", "deferred/s", "failed/s"):
        table.add_column(name, justify="right")
    table.add_column("state", ratio=4, no_wrap=True)
    seconds = view.activity.seconds
    for lane in lanes:
        rates = (f"{number / seconds:,.1f}" for number in (lane.delivered, lane.deferred, lane.failed))
        waiting = f"{view.waiting.get(lane.name, lane.waiting):,}"
        state = Text(_state(lane, view, now), style="red" if lane.reason else "")
        table.add_row(Text(printable(lane.name)), waiting, f"{lane.running}/{lane.allowed}", *rates, state)
    return table


def _state(lane: LaneNow, view: View, now: int) -> str:
    waiting = view.waiting.get(lane.name, lane.waiting)
    if lane.until > now:
        rest = "until it is resumed" if lane.until >= NEVER else f"for {span_text(lane.until - now)}"
        return f"{waiting} wait, paused {rest}: {printable(lane.reason)}"
    return f"{waiting} wait" + (f", {lane.wait}" if lane.wait and lane.waiting else "")


def _suspension(one: Suspension, now: int) -> str:
    rest = "until it is resumed" if one.until >= NEVER else f"for {span_text(one.until - now)} more"
    return f"{printable(one.words)}, {rest}"
