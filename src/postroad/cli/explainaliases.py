"""The part of `postroad explain` about aliases: whom a recipient stands for, step by step, without sending anything.

The tables that serve are read and asked here too, databases included.
"""

from collections.abc import Generator

from msgspec import Struct

from postroad.aliases.door import Aliases, run
from postroad.aliases.expand import Ask, ExpansionError, Walk
from postroad.aliases.load import load
from postroad.aliases.table import Found
from postroad.config.checkaliases import bounds_of, passwords_of, problem_of
from postroad.config.problem import render
from postroad.config.schema import Config
from postroad.model.address import Mailbox
from postroad.model.errors import ConfigError, TableError
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


async def trace_aliases(config: Config, recipient: Mailbox) -> AliasTrace:
    """What the tables of `config` make of `recipient`; ConfigError when they cannot be used."""
    tables = load(config.aliases, passwords_of(config))
    try:
        if broken := [problem_of(fault) for fault in tables.faults if not fault.is_doubt]:
            raise ConfigError([render(problem, {}) for problem in broken])
        return await _trace(Aliases(tables.tables, bounds_of(config)), recipient)
    finally:
        tables.close()


async def _trace(aliases: Aliases, recipient: Mailbox) -> AliasTrace:
    walk = Walk(aliases.tables, aliases.bounds)
    trace = AliasTrace([str(recipient)])
    try:
        known = aliases.knows(recipient)
        if not (known if isinstance(known, bool) else await known):
            trace.refusal = "no table has this name, and a strict one is for its domain"
            trace.reply = str(replies.unknown_recipient(recipient))
            return trace
        answer = run(_follow(walk, recipient), aliases.tables)
        trace.to = answer if isinstance(answer, list) else await answer
    except ExpansionError as error:
        trace.refusal, trace.reply = str(error), str(replies.ALIAS_ERROR)
    except TableError as error:
        trace.refusal, trace.reply = str(error), str(replies.ALIASES_UNAVAILABLE)
    trace.steps = [
        Step(str(address), hit.key, aliases.tables[hit.table].name, [str(target) for target in led_to])
        for address, hit, led_to in walk.steps
    ]
    return trace


def _follow(walk: Walk, recipient: Mailbox) -> Generator[Ask, Found, list[str]]:
    addresses = yield from walk.follow(recipient)
    return [str(address) for address in addresses]


def trace_lines(trace: AliasTrace) -> list[str]:
    """The trace for people; nothing when no table has anything to say."""
    out = [f"alias     {step.address} -> {', '.join(step.to)} (as {step.key} in {step.table})" for step in trace.steps]
    if trace.refusal:
        out += [f"aliases   refused: {trace.refusal}", f"reply     {trace.reply}", "          (if it were accepted:)"]
    elif len(trace.to) > 1:
        out.append(f"aliases   {len(trace.to)} recipients; what follows is about the first, {trace.to[0]}")
    return out
