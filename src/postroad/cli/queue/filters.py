"""The filters that queue commands share: declared once, given to each command as one value.

`filtered` puts them into the signature that the command line is made from. In a pattern "*" stands for any text and
case does not matter.
"""

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Annotated, Final, NamedTuple, get_type_hints

import typer

from postroad.cli.control import ask
from postroad.cli.queue.waits import ASKED, Cause, lane_wait
from postroad.config.schema import Config
from postroad.desk.protocol import LanesAsked, SiteAsked
from postroad.model.option import parse_duration, parse_size
from postroad.model.suspension import NEXT_HOP, Suspension
from postroad.model.work import Status
from postroad.spool.filters import REASONS, Query, asks_lane

_NO_LANES: Final = frozenset(("\0",))  # no lane is called so


class Wanted(StrEnum):
    """States that mail can wait in."""

    PENDING = "pending"
    HELD = "held"


class Filters(NamedTuple):
    """What the command line asked for; what is empty does not matter, the rest must all hold."""

    sender: Annotated[
        str, typer.Option("--sender", metavar="PATTERN", help='Only this sender; "<>" is the null reverse-path.')
    ] = ""
    recipient: Annotated[str, typer.Option("--recipient", metavar="PATTERN", help="Only this recipient.")] = ""
    domain: Annotated[str, typer.Option("--domain", metavar="PATTERN", help="Only recipients in this domain.")] = ""
    next_hop: Annotated[
        str,
        typer.Option("--next-hop", metavar="PATTERN", help="Only this next hop: its host, host:port or all of it."),
    ] = ""
    site: Annotated[
        str, typer.Option("--site", metavar="PATTERN", help="Only next hops of this site; the server must run.")
    ] = ""
    older: Annotated[str, typer.Option("--older", metavar="DURATION", help="Only what arrived longer ago.")] = ""
    larger: Annotated[str, typer.Option("--larger", metavar="SIZE", help="Only messages with more octets.")] = ""
    status: Annotated[
        Wanted | None, typer.Option("--status", metavar="STATE", help="Only recipients that are pending or held.")
    ] = None
    reason: Annotated[
        str,
        typer.Option(
            "--reason",
            metavar="WORD",
            help="Only recipients that wait for this reason: held; ready (in the server's hands); due; retry (for a "
            "later try). Or whose next hop is stopped (by an operator), suspended, planning, busy, draining, or waits "
            "for a rate, concurrency, source or deliveries; then the server must run.",
        ),
    ] = ""
    reply: Annotated[
        str, typer.Option("--reply", metavar="TEXT", help="Only recipients whose last reply has this text.")
    ] = ""

    @property
    def is_empty(self) -> bool:
        """True when nothing was asked for."""
        return not any(self)

    def query(self, config: Config, now: int, ids: Sequence[str] = ()) -> Query:
        """As the spool understands it; a site is asked of the running server."""
        if self.reason and self.reason not in ASKED:
            raise typer.BadParameter(f"{self.reason!r} is not one of {', '.join(ASKED)}", param_hint="--reason")
        known = not self.reason or self.reason in REASONS
        lanes, hops = self._lanes(config)
        status = None if self.status is None else Status[self.status.name]
        return Query(
            ids=tuple(ids),
            status=status if known else Status.PENDING,
            sender=self.sender,
            recipient=self.recipient,
            domain=self.domain,
            next_hop=self.next_hop,
            lanes=lanes,
            hops=hops,
            older=now - round(_parsed("--older", self.older, parse_duration) * 1_000_000) if self.older else 0,
            larger=round(_parsed("--larger", self.larger, parse_size)) if self.larger else 0,
            reason=self.reason if known else "",
            reply=self.reply,
            now=now,
        )

    def _lanes(self, config: Config) -> tuple[frozenset[str], tuple[str, ...]]:
        """The lanes that the running server has to name, and patterns; nothing when it need not be asked."""
        asks_reason = bool(self.reason) and self.reason not in REASONS
        if not self.site and not asks_reason:
            return frozenset(), ()
        lanes, hops = _lanes_that_wait(config, self.reason) if asks_reason else (frozenset(), ())
        if self.site:
            *_, answer = ask(config, SiteAsked(pattern=self.site))
            found = Query(lanes=lanes, hops=hops)
            lanes, hops = frozenset(lane for lane in answer.names if not asks_reason or asks_lane(found, lane)), ()
        return lanes or (frozenset() if hops else _NO_LANES), hops

    def words(self) -> str:
        """As it was typed."""
        named = ((name.replace("_", "-"), value) for name, value in zip(self._fields, self, strict=True))
        return " ".join(f"--{name} {value}" for name, value in named if value)


def _lanes_that_wait(config: Config, reason: str) -> tuple[frozenset[str], tuple[str, ...]]:
    """The lanes that wait for `reason`, and patterns of such lanes."""
    *others, answer = ask(config, LanesAsked())
    waits = ((lane.name, lane_wait(lane)) for one in (*others, answer) for lane in one.lanes)
    found = {name for name, wait in waits if wait is not None and wait.cause.value == reason}
    hops: tuple[str, ...] = ()
    if reason == Cause.STOPPED:  # also those that hold nothing in memory
        found.update(lane for one in answer.suspensions for lane in one.lanes)
        hops = tuple(one.name for one in answer.suspensions if one.kind == NEXT_HOP)
    return frozenset(found) or (frozenset() if hops else _NO_LANES), hops


def _parsed(option: str, text: str, parse: Callable[[object], float]) -> float:
    try:
        return parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def filtered(command: Callable[..., int]) -> Callable[..., int]:
    """`command`, which takes `filters`, with an option for each of them instead."""
    hints = get_type_hints(Filters, include_extras=True)
    own = get_type_hints(command, include_extras=True)

    @functools.wraps(command)
    def run(**options: object) -> int:
        filters = Filters(**{name: options.pop(name) for name in Filters._fields})  # type: ignore[arg-type]  # from typer
        return command(filters=filters, **options)

    given = [one for name, one in inspect.signature(command).parameters.items() if name != "filters"]
    given = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=own[one.name]) for one in given]
    mine = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=Filters._field_defaults[name], annotation=hints[name]
        )
        for name in Filters._fields
    ]
    ids = [one for one in given if one.name == "ids"]
    others = [one for one in given if one.name != "ids"]
    parameters = [*ids, *mine, *others]
    run.__signature__ = inspect.Signature(parameters, return_annotation=int)  # type: ignore[attr-defined]  # as inspect reads it
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    del run.__wrapped__  # set by wraps; its signature is not ours
    return run


def read_ids(given: Sequence[str]) -> list[str]:
    """The queue ids of a command line; "-" stands for those on standard input, separated by space."""
    found: dict[str, None] = {}
    for one in given:
        found.update(dict.fromkeys(sys.stdin.read().split() if one == "-" else (one,)))
    return list(found)


def plain_suspension(one: Suspension) -> dict[str, object]:
    """A suspension as JSON has it."""
    return {"kind": one.kind, "name": one.name, "until": one.until, "by": one.by, "at": one.at, "reason": one.reason}
