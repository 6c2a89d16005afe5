"""Reports that others sent us, in an SQLite file: each once, however often it comes, and bounded in number and age.

Every process that takes mail writes here, now and then: the file is opened for each call. RFC 8460 5.6 (the same report
may come by several ways).
"""

import os
from pathlib import Path
from typing import Final, Literal

import apsw
from msgspec import Struct

from postroad.model.errors import SpoolError

ROWS: Final = 20_000  # of each kind
OCTETS: Final = 256 << 20  # of all reports of one kind; beyond, the oldest go
_BUSY_MS: Final = 2000
_SCHEMA: Final = """CREATE TABLE IF NOT EXISTS {kind} (submitter TEXT NOT NULL, id TEXT NOT NULL, at INTEGER NOT NULL,
    began TEXT NOT NULL, domains TEXT NOT NULL, good INTEGER NOT NULL, bad INTEGER NOT NULL, proven TEXT NOT NULL,
    octets INTEGER NOT NULL, report TEXT NOT NULL, PRIMARY KEY (submitter, id, domains)) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS {kind}_at ON {kind} (at, octets)"""

# Whatever came before the first row of which, counted from the newest on, there are too many or too much.
_FORGET: Final = """DELETE FROM {kind} WHERE at <= (SELECT at FROM (SELECT at, row_number() OVER newest AS place,
    sum(octets) OVER newest AS total FROM {kind} WINDOW newest AS (ORDER BY at DESC ROWS UNBOUNDED PRECEDING))
    WHERE place > ? OR total > ? LIMIT 1)"""
_ADD: Final = "INSERT OR IGNORE INTO {kind} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ALL: Final = """SELECT submitter, id, at, began, domains, good, bad, proven, report FROM {kind}
    WHERE at >= ? ORDER BY at DESC, submitter, id"""


class ReceivedReport(Struct, frozen=True):
    """One report: who made it, about which domains and since when, what it counts, which domains signed its mail.

    `at` is when it came, in microseconds since 1970; `report` is its JSON.
    """

    submitter: str
    id: str
    at: int
    began: str
    domains: str
    good: int
    bad: int
    proven: str
    report: str


class ReceivedReports:
    """Those of one kind, in the file at `path`."""

    def __init__(self, path: Path, kind: Literal["tls", "dmarc"]) -> None:
        """Nothing is opened."""
        self._path = path
        self._kind = kind

    def add(self, report: ReceivedReport) -> bool:
        """Keep `report`; False when it is known already. SpoolError when it cannot be kept."""
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            db = self._opened(apsw.SQLITE_OPEN_READWRITE)
            try:
                db.execute(_SCHEMA.format(kind=self._kind))
                with db:
                    db.execute(_ADD.format(kind=self._kind), _row(report))
                    is_new = db.changes() > 0
                    if is_new:
                        db.execute(_FORGET.format(kind=self._kind), (ROWS, OCTETS))
            finally:
                db.close()
        except (apsw.Error, OSError) as error:
            raise SpoolError(f"reports in {self._path} cannot be kept: {error}") from error
        return is_new

    def all(self, domain: str = "", since: int = 0) -> list[ReceivedReport]:
        """Those about `domain`, or all, that came `since`, the newest first; SpoolError when they cannot be read."""
        if not self._path.exists():
            return []
        try:
            db = self._opened(apsw.SQLITE_OPEN_READONLY)
            try:
                rows = list(db.execute(_ALL.format(kind=self._kind), (since,))) if self._is_there(db) else []
            finally:
                db.close()
        except apsw.Error as error:
            raise SpoolError(f"reports in {self._path} cannot be read: {error}") from error
        found = [_report(row) for row in rows]
        return [one for one in found if not domain or domain in one.domains.split()]

    def _is_there(self, db: apsw.Connection) -> bool:
        """False when none of this kind ever came."""
        return bool(list(db.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (self._kind,))))

    def _opened(self, flags: int) -> apsw.Connection:
        db = apsw.Connection(str(self._path), flags=flags)
        db.set_busy_timeout(_BUSY_MS)
        return db


def _row(one: ReceivedReport) -> tuple[str | int, ...]:
    octets = len(one.report)
    return one.submitter, one.id, one.at, one.began, one.domains, one.good, one.bad, one.proven, octets, one.report


def _report(row: tuple[object, ...]) -> ReceivedReport:
    submitter, name, at, began, domains, good, bad, proven, report = row
    numbers = int(str(good)), int(str(bad))
    return ReceivedReport(
        str(submitter), str(name), int(str(at)), str(began), str(domains), *numbers, str(proven), str(report)
    )
