"""`postroad queue hold | release | retry | fail | drop | reroute`: orders to the running server.

Each takes one id, many, ids on standard input, or filters; says how much that is before it acts, and on a terminal
asks. The server carries it out, makes it durable, and writes who ordered it to the log.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from postroad.cli.control import ask, is_running
from postroad.cli.exits import NO_INPUT, OK, TEMPORARY, complain, guarded
from postroad.cli.options import ConfigFile, Json, configuration
from postroad.cli.queue.filters import Filters, filtered, read_ids
from postroad.config.schema import Config
from postroad.desk.protocol import ActAsked, CountAsked
from postroad.net.clock import SystemClock
from postroad.observe.formats.lines import plural
from postroad.queue.actions import DROP, FAIL, HOLD, RELEASE, REROUTE, RETRY
from postroad.queue.operator import Tally
from postroad.spool.filters import Query
from postroad.spool.listing import Count
from postroad.spool.query import SpoolReader

IDS_AT_ONCE: Final = 50_000

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help='Queue ids; "-" reads them from standard input.')]
All = Annotated[bool, typer.Option("--all", help="Everything that waits.")]
Because = Annotated[str, typer.Option("--because", metavar="TEXT", help="Why, for the log and whoever looks later.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say how much it would concern.")]
Advance = Callable[[int], None]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


_HELP: Final = MappingProxyType(
    {
        HOLD: """Hold mail: it waits until it is released, and does not expire.

    Example: postroad queue hold --sender "*@example.com" --because "looks like spam"
    """,
        RELEASE: """Release held mail: it is tried at once.

    Example: postroad queue release 3Pt2mN2VXxznj
    """,
        RETRY: """Try waiting mail now, also where its next hop is paused after failures; held mail stays held.

    Example: postroad queue retry --next-hop mail1.internal
    """,
        FAIL: """Give mail up: its sender gets a DSN, with the text of --because.

    Example: postroad queue fail --domain gone.example --because "the domain is closed"
    """,
        DROP: """Remove mail without a word to its sender.

    Example: postroad queue drop --sender "<>" --older 2d --dry-run
    """,
    }
)


def add_to(group: typer.Typer) -> None:
    """The commands that act."""
    for action in _HELP:
        group.command(action)(guarded(filtered(_command(action))))
    group.command(REROUTE)(guarded(filtered(reroute)))


def _command(action: str) -> Callable[..., int]:
    def command(
        *,
        ids: Ids = None,
        filters: Filters,
        everything: All = False,
        because: Because = "",
        dry_run: DryRun = False,
        yes: Yes = False,
        config: ConfigFile = None,
        as_json: Json = False,
    ) -> int:
        order = _Order(action, ids, filters, everything=everything, because=because)
        return order.run(config, dry_run=dry_run, yes=yes, as_json=as_json)

    command.__doc__ = _HELP[action]
    return command


def reroute(
    *,
    ids: Ids = None,
    to: Annotated[
        str, typer.Option("--to", metavar="NEXT_HOP", help='As in a route: "smtp://host:25", "mx:domain", "mx", ...')
    ],
    filters: Filters,
    everything: All = False,
    because: Because = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Send mail to another next hop for good, whatever the routes say, and try it at once; held mail stays held.

    Example: postroad queue reroute --next-hop mail1.internal --to smtp://mail2.internal:25
    """
    order = _Order(REROUTE, ids, filters, everything=everything, because=because, to=to)
    return order.run(config, dry_run=dry_run, yes=yes, as_json=as_json)


class _Order:
    """One order on its way."""

    def __init__(
        self,
        action: str,
        ids: list[str] | None,
        filters: Filters,
        *,
        everything: bool,
        because: str,
        to: str = "",
    ) -> None:
        if not ids and filters.is_empty and not everything:
            raise typer.BadParameter("name queue ids, or a filter, or --all")
        if everything and (ids or not filters.is_empty):
            raise typer.BadParameter("--all and ids or filters exclude each other")
        self._action = action
        self._ids = ids
        self._filters = filters
        self._because = because
        self._to = to

    def run(self, file: ConfigFile, *, dry_run: bool, yes: bool, as_json: bool) -> int:
        """Count, ask, act; the exit code."""
        config = configuration(file)
        queries = list(self._queries(config))
        count = _count(config, queries, reading=dry_run)
        if not count.recipients:
            complain("nothing that waits fits")
            return NO_INPUT
        words = f"{plural(count.recipients, 'recipient')} of {plural(count.messages, 'message')}"
        if dry_run:
            print(msgspec.json.encode(count).decode() if as_json else f"{self._action}: {words}; nothing was changed")
            return OK
        asks = not yes and sys.stdin.isatty()
        if asks and not typer.confirm(f"{self._action}: {words}. Go on?", err=True):
            complain("nothing was changed")
            return OK
        tally = self._act(config, queries, count)
        print(msgspec.json.encode(tally).decode() if as_json else _told(self._action, tally))
        if tally.busy:
            complain(f"{plural(tally.busy, 'recipient')} could not be changed: being delivered right now; try again")
            return TEMPORARY
        return OK

    def _queries(self, config: Config) -> Iterator[Query]:
        now = SystemClock().now()
        if not self._ids:
            yield self._filters.query(config, now)
            return
        ids = read_ids(self._ids)
        for start in range(0, len(ids), IDS_AT_ONCE):
            yield self._filters.query(config, now, ids[start : start + IDS_AT_ONCE])

    def _act(self, config: Config, queries: list[Query], count: Count) -> Tally:
        total = Tally()
        with _bar(self._action, count.recipients) as advance:
            for query in queries:
                before = total.recipients + total.unconcerned
                ids = plural(len(query.ids), "id") if len(query.ids) != 1 else query.ids[0]
                selection = " ".join(filter(None, (ids if query.ids else "", self._filters.words()))) or "--all"
                request = ActAsked(
                    action=self._action, query=query, selection=selection, reason=self._because, lane=self._to
                )
                for answer in ask(config, request):
                    advance(before + answer.progress)
                    if answer.tally is not None:
                        _add(total, answer.tally)
        return total


def _count(config: Config, queries: list[Query], *, reading: bool) -> Count:
    """How much there is; a dry run needs no server."""
    total = Count()
    for query in queries:
        if reading and not is_running(config):
            found = SpoolReader(config.spool_folder).count(query)
        else:
            *_, answer = ask(config, CountAsked(query=query))
            found = answer.count or Count()
        total.messages += found.messages
        total.recipients += found.recipients
    return total


def _add(total: Tally, one: Tally) -> None:
    total.recipients += one.recipients
    total.messages += one.messages
    total.unconcerned += one.unconcerned
    total.busy += one.busy


def _told(action: str, tally: Tally) -> str:
    rest = f"; {plural(tally.unconcerned, 'recipient')} left as they were" if tally.unconcerned else ""
    return f"{action}: {plural(tally.recipients, 'recipient')} of {plural(tally.messages, 'message')}{rest}"


@contextmanager
def _bar(words: str, total: int) -> Iterator[Advance]:
    """A bar on standard error, when that is a terminal and there is much to do."""
    if not sys.stderr.isatty() or total < 1000:
        yield lambda _: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(words, total=total)
        yield lambda done: bar.update(task, completed=done)
