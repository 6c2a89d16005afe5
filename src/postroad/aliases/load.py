"""From settings to tables, with every problem they have and where it stands.

Used by the server at its start, by `postroad check`, `explain` and `map`; the server refuses to start with tables
that have problems, and a doubt stops nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from postroad.aliases.door import run
from postroad.aliases.expand import Bounds, ExpansionError, Walk
from postroad.aliases.files import FileTable
from postroad.aliases.settings import POSTGRES, SQLITE, AliasSettings, SqlSettings
from postroad.aliases.table import Domains, Entries, Find, Found, Table
from postroad.aliases.text import parse_entries, parse_targets, split_addresses
from postroad.model.address import parse_mailbox
from postroad.model.errors import AddressError, TableError
from postroad.model.late import Late
from postroad.store.sqltable import MakeTable, SqliteTable, SqlTable

TOLD: Final = 20  # loops
NO_PASSWORDS: Final[Mapping[int, str]] = MappingProxyType({})
POSTGRES_TABLE: Final = Late[MakeTable]("postroad.store.pgtable", "make_postgres")


class Fault(Struct, frozen=True):
    """A problem of table number `table`: in `file` ("": in the configuration) at `line` (0: all of it).

    `is_doubt`: told, but it stops nothing.
    """

    table: int
    text: str
    file: str = ""
    line: int = 0
    is_doubt: bool = False


class Tables(Struct):
    """The tables of a configuration and what stands behind them, with their faults."""

    tables: list[Table]
    files: list[FileTable]
    databases: list[SqlTable]
    faults: list[Fault]
    static: list[tuple[int, Entries]]  # tables whose every key is known

    def close(self) -> None:
        """Let go of databases."""
        for database in self.databases:
            database.close()


def load(
    settings: Sequence[AliasSettings], passwords: Mapping[int, str] = NO_PASSWORDS, *, inspect: bool = False
) -> Tables:
    """Read every table; `passwords` are those of databases, by table; `inspect`: also look into databases."""
    out = Tables([], [], [], [], [])
    for number, entry in enumerate(settings):
        name, find, named = _source(out, number, entry, passwords.get(number, ""), inspect=inspect)
        out.tables.append(
            Table(
                name=name,
                find=find,
                domains=Domains(entry.domains),
                is_strict=entry.strict,
                is_whole=bool(entry.regexp),
                delimiter=entry.recipient_delimiter,
                named=named,
            )
        )
    return out


Source = tuple[str, Find, Callable[[], frozenset[str]]]


def _source(out: Tables, number: int, entry: AliasSettings, password: str, *, inspect: bool) -> Source:
    if path := entry.file or entry.regexp:
        file = FileTable(Path(path), is_regexp=bool(entry.regexp))
        reading = file.load()
        out.faults += [Fault(number, flaw.text, path, flaw.line) for flaw in reading.flaws]
        out.faults += [Fault(number, flaw.text, path, flaw.line, is_doubt=True) for flaw in reading.doubts]
        out.files.append(file)
        if entry.strict and not entry.domains and not file.named() and not reading.flaws:
            out.faults.append(Fault(number, "strict needs domains, or a line with a domain alone on its left", path))
        if file.entries is not None:
            out.static.append((number, file.entries))
        return path, file.find, file.named
    if entry.sql.database:
        database = database_of(entry.sql, password)
        out.databases.append(database)
        if inspect:
            out.faults += inspect_database(database, number)
        return entry.sql.database, DatabaseTable(database).find, frozenset
    held = Entries(parse_entries(entry.entries))  # their flaws are told as those of the configuration
    out.static.append((number, held))
    return f"aliases[{number}]", held.find, frozenset


def database_of(sql: SqlSettings, password: str) -> SqlTable:
    """The query of `sql`; nothing is opened yet."""
    if sql.database.startswith(POSTGRES):
        return POSTGRES_TABLE.load()(sql.database, sql.query, sql.timeout, password)
    return SqliteTable(Path(sql.database.removeprefix(SQLITE)), sql.query, sql.timeout)


def inspect_database(database: SqlTable, number: int) -> list[Fault]:
    """What is wrong with the query of table `number`."""
    try:
        problem = database.inspect()
    except TableError as error:
        return [Fault(number, f"{error}; mail that needs it would be deferred", is_doubt=True)]
    return [Fault(number, problem)] if problem else []


class DatabaseTable:
    """A database as a table: its rows as addresses."""

    def __init__(self, database: SqlTable) -> None:
        """Ask `database`."""
        self._database = database

    async def find(self, key: str) -> Found:
        """The addresses in the rows for `key`; TableError when they are none, or there is no answer."""
        rows = await self._database.find(key)
        parts = [part for row in rows for part in split_addresses(row)]
        if not parts:
            return None
        try:
            return parse_targets(parts)
        except AddressError as error:
            raise TableError(f"the answer for {key} is not addresses: {error}") from None


def find_loops(tables: Tables, bounds: Bounds) -> list[Fault]:
    """The entries of tables in memory that lead nowhere, by way of these tables alone."""
    known = [number for number, _ in tables.static]
    followed = [tables.tables[number] for number in known]
    faults: list[Fault] = []
    for number, held in tables.static:
        name = tables.tables[number].name
        for key in held.content.entries:
            if key.startswith("@"):
                continue
            if len(faults) >= TOLD:
                return faults
            try:
                run(Walk(followed, bounds).follow(parse_mailbox(key)), followed)
            except AddressError:
                continue  # a key that needs quotes; it is followed when mail comes
            except ExpansionError as error:
                faults.append(
                    Fault(number, f"{key}: {error}; mail for it would be deferred", _file(name), is_doubt=True)
                )
    return faults


def _file(name: str) -> str:
    return name if name.startswith("/") else ""
