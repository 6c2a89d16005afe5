"""Reports that others sent us, in an SQLite file: each once, however often it comes, and bounded in number and age.

Every process that takes mail writes here, now and then: the file is opened for each call. RFC 8460 5.6 (the same report
may come by several ways).
"""

import os
from pathlib import Path
from typing import Final

import apsw
from msgspec import Struct

from postroad.model.errors import SpoolError

ROWS: Final = 20_000
_BUSY_MS: Final = 2000
_SCHEMA: Final = """CREATE TABLE IF NOT EXISTS tls (submitter TEXT NOT NULL, id TEXT NOT NULL, at INTEGER NOT NULL,
    began TEXT NOT NULL, domains TEXT NOT NULL, good INTEGER NOT NULL, bad INTEGER NOT NULL, proven TEXT NOT NULL,
    report TEXT NOT NULL, PRIMARY KEY (submitter, id)) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS tls_at ON tls (at)"""

_FORGET: Final = "DELETE FROM tls WHERE at <= (SELECT at FROM tls ORDER BY at DESC LIMIT 1 OFFSET ?)"


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
    """The file at `path`."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened."""
        self._path = path

    def add(self, report: ReceivedReport) -> bool:
        """Keep `report`; False when it is known already. SpoolError when it cannot be kept."""
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            db = self._opened(apsw.SQLITE_OPEN_READWRITE)
            try:
                db.execute(_SCHEMA)
                with db:
                    db.execute("INSERT OR IGNORE INTO tls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", _row(report))
                    is_new = db.changes() > 0
                    if is_new:
                        db.execute(_FORGET, (ROWS,))
            finally:
                db.close()
        except (apsw.Error, OSError) as error:
            raise SpoolError(f"reports in {self._path} cannot be kept: {error}") from error
        return is_new

    def all(self, domain: str = "") -> list[ReceivedReport]:
        """Those about `domain`, or all, the newest first; SpoolError when they cannot be read."""
        if not self._path.exists():
            return []
        try:
            db = self._opened(apsw.SQLITE_OPEN_READONLY)
            try:
                rows = list(db.execute("SELECT * FROM tls ORDER BY at DESC, submitter, id"))
            finally:
                db.close()
        except apsw.Error as error:
            raise SpoolError(f"reports in {self._path} cannot be read: {error}") from error
        found = [_report(row) for row in rows]
        return [one for one in found if not domain or domain in one.domains.split()]

    def _opened(self, flags: int) -> apsw.Connection:
        db = apsw.Connection(str(self._path), flags=flags)
        db.set_busy_timeout(_BUSY_MS)
        return db


def _row(one: ReceivedReport) -> tuple[str | int, ...]:
    return one.submitter, one.id, one.at, one.began, one.domains, one.good, one.bad, one.proven, one.report


def _report(row: tuple[object, ...]) -> ReceivedReport:
    submitter, name, at, began, domains, good, bad, proven, report = row
    numbers = int(str(good)), int(str(bad))
    return ReceivedReport(
        str(submitter), str(name), int(str(at)), str(began), str(domains), *numbers, str(proven), str(report)
    )
