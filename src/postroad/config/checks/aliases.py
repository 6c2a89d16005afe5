"""Rules about aliases, and what the files and databases they name hold.

`check_aliases` looks at the options alone; `check_tables` reads the tables, as `postroad check` and the start of the
server do, and gives every problem the file and line it stands at.
"""

from collections.abc import Iterator

from msgspec import Struct

from postroad.aliases.expand import Bounds
from postroad.aliases.load import Fault, find_loops, load
from postroad.aliases.settings import POSTGRES, AliasSettings, SqlSettings, shows_password
from postroad.aliases.text import parse_entries
from postroad.config.problem import Place, Problem
from postroad.config.schema import Config
from postroad.config.secrets import read_secret
from postroad.model.errors import ConfigError

_KINDS = "file, regexp, entries or sql"


class Found(Struct, frozen=True):
    """What was found in the tables."""

    problems: list[Problem]
    warnings: list[Problem]


def check_aliases(config: Config) -> Iterator[Problem]:
    """Tables that are of no kind or of several, and options that mean nothing in theirs."""
    for number, entry in enumerate(config.aliases):
        for key, text in _mistakes(entry):
            yield Problem(("aliases", number, *key), text)


def _mistakes(entry: AliasSettings) -> Iterator[tuple[tuple[str, ...], str]]:
    kinds = entry.kinds
    if not kinds:
        yield (), f"has nothing to look into; give {_KINDS}"
    if len(kinds) > 1:
        yield (kinds[1],), f"{kinds[0]} is given already; a table is one of {_KINDS}"
    for flaw in parse_entries(entry.entries).flaws:
        yield ("entries",), flaw.text
    yield from sql_mistakes(entry.sql, "SELECT target FROM alias WHERE address = ?")
    if entry.strict and not entry.domains and not entry.file:
        yield ("strict",), "needs domains: the names of which domains are all known?"


def sql_mistakes(sql: SqlSettings, example: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong with the options of a query; `example` is a good one."""
    if sql.database and not sql.query:
        yield ("sql",), f'needs a query, like "{example}"'
    if sql.query and not sql.database:
        yield ("sql",), 'needs a database, like "sqlite:///var/lib/aliases.db"'
    if shows_password(sql.database):
        yield ("sql", "database"), "the password has an option of its own, so that it is never shown"
    if sql.password and not sql.database.startswith(POSTGRES):
        yield ("sql",), "a password is for PostgreSQL alone"


def passwords_of(config: Config) -> dict[int, str]:
    """The passwords of databases, by table; ConfigError when one cannot be read."""
    return {
        number: read_secret(entry.sql.password, f"aliases[{number}].sql.password")
        for number, entry in enumerate(config.aliases)
        if entry.sql.password
    }


def bounds_of(config: Config) -> Bounds:
    """How far expansions may go."""
    return Bounds(config.limits.alias_depth, config.limits.expanded_recipients)


def check_tables(config: Config) -> Found:
    """Every problem in the tables, and what is only odd in them."""
    try:
        tables = load(config.aliases, passwords_of(config), inspect=True)
    except ConfigError as error:
        return Found([Problem(("aliases",), line) for line in error.problems], [])
    try:
        faults = tables.faults
        if not any(fault.file and not fault.is_doubt for fault in faults):
            faults = [*faults, *find_loops(tables, bounds_of(config))]
    finally:
        tables.close()
    return Found(
        [problem_of(fault) for fault in faults if not fault.is_doubt],
        [problem_of(fault) for fault in faults if fault.is_doubt],
    )


def problem_of(fault: Fault) -> Problem:
    """The fault as all problems of the configuration are told."""
    place = Place(fault.file, fault.line) if fault.file else None
    return Problem(("aliases", fault.table), fault.text, place)
