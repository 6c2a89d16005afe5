"""From settings to tables of recipients, with every problem they have and where it stands.

Used by the server at its start, by `postroad check` and `explain`; the server refuses to start with tables that have
problems, and a doubt stops nothing. What costs least to ask comes first.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from postroad.aliases.files import FileTable
from postroad.aliases.load import NO_PASSWORDS, Fault, database_of, inspect_database
from postroad.aliases.table import Domains, Entries, Find, Found, Table
from postroad.recipients.callahead import EXISTS, CallAhead
from postroad.recipients.directory import DirectoryTable
from postroad.recipients.listed import parse_addresses, parse_list
from postroad.recipients.settings import CallAheadSettings, LdapSettings, RecipientSettings
from postroad.store.sqltable import SqlTable

_COSTS: Final = ("file", "addresses", "sql", "ldap", "call_ahead")


class Makers(Protocol):
    """Who makes tables of what is asked over the network."""

    def call_ahead(self, settings: CallAheadSettings) -> CallAhead:
        """A table of next hops."""

    def directory(self, settings: LdapSettings) -> DirectoryTable:
        """A table of a directory; ConfigError when its files or secrets cannot be read."""


class Loaded(Struct):
    """The tables of a configuration and what stands behind them, with their faults."""

    tables: list[Table]
    files: list[FileTable]
    databases: list[SqlTable]
    callers: list[CallAhead]
    faults: list[Fault]

    async def close(self) -> None:
        """Let go of everything."""
        self.release()
        for caller in self.callers:
            await caller.close()

    def release(self) -> None:
        """Let go of databases; enough where no next hop was ever asked."""
        for database in self.databases:
            database.close()


class RowTable:
    """A database as a table: whether there is a row."""

    def __init__(self, database: SqlTable) -> None:
        """Ask `database`."""
        self._database = database

    async def find(self, key: str) -> Found:
        """Whether `key` has a row; TableError when there is no answer."""
        return EXISTS if await self._database.has(key) else None


def load(
    settings: Sequence[RecipientSettings],
    makers: Makers | None,
    passwords: Mapping[int, str] = NO_PASSWORDS,
    *,
    inspect: bool = False,
) -> Loaded:
    """Read every table; `makers` None: those asked over the network are left out. `inspect`: look into databases."""
    out = Loaded([], [], [], [], [])
    for kind in _COSTS:
        for number, entry in enumerate(settings):
            if entry.kinds[:1] != (kind,):
                continue
            find = _source(out, number, entry, makers, passwords.get(number, ""), inspect=inspect)
            if find is None:
                continue
            out.tables.append(
                Table(
                    name=name_of(number, entry),
                    find=find,
                    domains=Domains(entry.domains),
                    is_strict=True,
                    is_whole=kind == "call_ahead",
                    delimiter=entry.recipient_delimiter,
                )
            )
    return out


def name_of(number: int, entry: RecipientSettings) -> str:
    """What people know a section by."""
    return entry.file or entry.sql.database or f"recipients[{number}]"


def _source(
    out: Loaded, number: int, entry: RecipientSettings, makers: Makers | None, password: str, *, inspect: bool
) -> Find | None:
    if entry.file:
        file = FileTable(Path(entry.file), parse=parse_list)
        reading = file.load()
        out.faults += [Fault(number, flaw.text, entry.file, flaw.line) for flaw in reading.flaws]
        out.files.append(file)
        return file.find
    if entry.sql.database:
        database = database_of(entry.sql, password)
        out.databases.append(database)
        if inspect:
            out.faults += inspect_database(database, number)
        return RowTable(database).find
    if entry.ldap is not None:
        return None if makers is None else makers.directory(entry.ldap).find
    if entry.call_ahead is not None:
        if makers is None:
            return None
        caller = makers.call_ahead(entry.call_ahead)
        out.callers.append(caller)
        return caller.find
    return Entries(parse_addresses(entry.addresses)).find  # their flaws are told as those of the configuration
