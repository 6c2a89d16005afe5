"""`postroad queue shape`: how old what waits is, by destination; the table that qshape made known.

A column counts recipients whose message is no older than its minutes; reads the spool, so the server need not run.
"""

from enum import StrEnum
from typing import Annotated, Final

import msgspec
import typer

from postroad.cli.exits import OK, guarded
from postroad.cli.layout import printable
from postroad.cli.options import ConfigFile, Json, configuration
from postroad.cli.queue.filters import Filters, filtered
from postroad.net.clock import SystemClock
from postroad.spool.listing import AGES, MINUTE
from postroad.spool.query import SpoolReader

_MINUTES: Final = tuple(f"{age // MINUTE}" for age in AGES)
HEADS: Final = (*_MINUTES, f"{_MINUTES[-1]}+")
_WIDEST: Final = 45


class ShapeBy(StrEnum):
    """The rows of a shape."""

    DOMAIN = "domain"
    NEXT_HOP = "next-hop"
    SENDER_DOMAIN = "sender-domain"


def add_to(group: typer.Typer) -> None:
    """The command."""
    group.command("shape")(guarded(filtered(shape)))


def shape(
    *,
    filters: Filters,
    by: Annotated[
        ShapeBy, typer.Option("--by", metavar="WHAT", help="One row for each domain, next-hop or sender-domain.")
    ] = ShapeBy.DOMAIN,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=0, help="Rows to print at most; 0: all.")] = 20,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Count what waits by destination and by age in minutes, most first.

    Example: postroad queue shape --by next-hop
    """
    settings = configuration(config)
    query = filters.query(settings, SystemClock().now())
    found = SpoolReader(settings.spool_folder).shape(query, by.value)
    rows = sorted(found.items(), key=lambda item: (-sum(item[1]), item[0]))
    total = [sum(column) for column in zip(*found.values(), strict=True)] or [0] * len(HEADS)
    if as_json:
        for name, counts in rows[: limit or None]:
            ages = dict(zip(HEADS, counts, strict=True))
            print(msgspec.json.encode({"group": name, "recipients": sum(counts), "ages": ages}).decode())
        return OK
    for line in shape_lines([("TOTAL", total), *rows[: limit or None]]):
        print(line)
    return OK


def shape_lines(rows: list[tuple[str, list[int]]]) -> list[str]:
    """The table: a head, then each row with its sum."""
    table = [("", ("T", *HEADS)), *((printable(name) or "(none)", _counts(row)) for name, row in rows)]
    width = min(max(len(name) for name, _ in table), _WIDEST)
    columns = [max(len(cells[n]) for _, cells in table) for n in range(len(HEADS) + 1)]
    return [
        f"{name[:width]:>{width}} " + " ".join(f"{cell:>{size}}" for cell, size in zip(cells, columns, strict=True))
        for name, cells in table
    ]


def _counts(row: list[int]) -> tuple[str, ...]:
    return (str(sum(row)), *map(str, row))
