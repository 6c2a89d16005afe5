"""The part of `postroad explain` about recipients: who exists, and whom they stand for, step by step; nothing is sent.

The tables that serve are read and asked here too, databases and next hops included.
"""

from collections.abc import Generator

from msgspec import Struct

from postroad.aliases.door import run
from postroad.aliases.expand import Ask, Bounds, ExpansionError, Walk
from postroad.aliases.table import Found
from postroad.cli.layout import printable
from postroad.config.checks.aliases import bounds_of
from postroad.config.schema import Config
from postroad.house.tables import Tables, read_tables
from postroad.model.address import Mailbox
from postroad.model.errors import TableError
from postroad.model.records import RecipientAsked, Record
from postroad.net.clock import SystemClock
from postroad.smtp import replies


class Step(Struct):
    """One entry that was used: `address` was looked up as `key` in `table` and leads `to`."""

    address: str
    key: str
    table: str
    to: list[str]


class AliasTrace(Struct):
    """Whom a recipient stands for, in the end `to`; or why the mail would not be taken, with the reply."""

    to: list[str]
    steps: list[Step] = []
    refusal: str = ""
    reply: str = ""
    asked: list[str] = []  # next hops, and what they said


async def trace_aliases(config: Config, recipient: Mailbox) -> AliasTrace:
    """What the tables of `config` make of `recipient`; ConfigError when they cannot be used."""
    records: list[Record] = []
    tables = read_tables(config, SystemClock(), records.append)
    try:
        trace = await _trace(tables, bounds_of(config), recipient)
    finally:
        await tables.close()
    trace.asked = [
        f"{one.target or 'the next hop'} for <{one.recipient}>: {one.answer}: {one.reply}"
        for one in records
        if isinstance(one, RecipientAsked)
    ]
    return trace


async def _trace(tables: Tables, bounds: Bounds, recipient: Mailbox) -> AliasTrace:
    door = tables.aliases.door
    aliases = () if door is None else door.tables
    walk = Walk(aliases, bounds)
    trace = AliasTrace([str(recipient)])
    try:
        known = True if tables.knows is None else tables.knows(recipient)
        if not (known if isinstance(known, bool) else await known):
            trace.refusal = "nobody knows this name, in a domain whose names are all known"
            trace.reply = str(replies.unknown_recipient(recipient))
            return trace
        answer = run(_follow(walk, recipient), aliases)
        trace.to = answer if isinstance(answer, list) else await answer
    except ExpansionError as error:
        trace.refusal, trace.reply = str(error), str(replies.ALIAS_ERROR)
    except TableError as error:
        trace.refusal, trace.reply = str(error), str(replies.ALIASES_UNAVAILABLE)
    trace.steps = [
        Step(str(address), hit.key, aliases[hit.table].name, [str(target) for target in led_to])
        for address, hit, led_to in walk.steps
    ]
    return trace


def _follow(walk: Walk, recipient: Mailbox) -> Generator[Ask, Found, list[str]]:
    addresses = yield from walk.follow(recipient)
    return [str(address) for address in addresses]


def trace_lines(trace: AliasTrace) -> list[str]:
    """The trace for people; nothing when no table has anything to say."""
    out = [f"asked     {printable(line)}" for line in trace.asked]
    out += [f"alias     {step.address} -> {', '.join(step.to)} (as {step.key} in {step.table})" for step in trace.steps]
    if trace.refusal:
        out += [f"aliases   refused: {trace.refusal}", f"reply     {trace.reply}", "          (if it were accepted:)"]
    elif len(trace.to) > 1:
        out.append(f"aliases   {len(trace.to)} recipients; what follows is about the first, {trace.to[0]}")
    return out
