"""What TLS reports count, and which reports are due, in an SQLite file; both outlive a restart. RFC 8460 4.

Calls run on the event loop: they write to the page cache alone (WAL). What is written is counted exactly once: the
counts of a batch are added in one transaction. Rows are bounded: beyond ROWS failures lose their details.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import apsw

from postroad.model.errors import SpoolError
from postroad.model.tlscounts import TlsCount, TlsJob, TlsKey

VERSION: Final = 1
ROWS: Final = 200_000
REPORTED: Final = 2000  # failures with details in one report
_BUSY_MS: Final = 200
_KEY: Final = "day, domain, policy_type, policy, result, mx_host, sending_ip, receiving_ip, words"
_ADD: Final = """INSERT INTO outcome VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT
    (day, domain, policy_type, policy, result, mx_host, sending_ip, receiving_ip, words)
    DO UPDATE SET count = count + excluded.count"""
_SCHEMA: Final = f"""
CREATE TABLE outcome (day INTEGER NOT NULL, domain TEXT NOT NULL, policy_type TEXT NOT NULL, policy TEXT NOT NULL,
    result TEXT NOT NULL, mx_host TEXT NOT NULL, sending_ip TEXT NOT NULL, receiving_ip TEXT NOT NULL,
    words TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY ({_KEY})) WITHOUT ROWID;
CREATE TABLE job (day INTEGER NOT NULL, domain TEXT NOT NULL, uri TEXT NOT NULL, at INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (day, domain, uri)) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
"""


class TlsReportStore:
    """The tables in the file at `path`."""

    def __init__(self, path: Path, *, reads_only: bool = False) -> None:
        """Nothing is opened before the first call; who `reads_only` leaves the file as it is, and makes none."""
        self._path = path
        self._reads_only = reads_only
        self._db: apsw.Connection | None = None

    def add(self, counts: Sequence[TlsCount]) -> None:
        """Add to what was counted before: all of it, or SpoolError and nothing."""
        (rows,) = self._run("SELECT count(*) FROM outcome", ())
        is_full = int(str(rows[0])) >= ROWS
        self._run("BEGIN IMMEDIATE", ())
        try:
            for one in counts:
                key = one.key
                detail = ("", "", "", "") if is_full else (key.mx_host, key.sending_ip, key.receiving_ip, key.words)
                whose = (key.day, key.domain, key.policy_type, key.policy, key.result)
                self._run(_ADD, (*whose, *detail, one.count))
            self._run("COMMIT", ())
        except SpoolError:
            with suppress(SpoolError):
                self._run("ROLLBACK", ())
            raise

    def counts(self, day: int, domain: str) -> list[TlsCount]:
        """What was counted, successes first, then the most frequent failures."""
        text = "SELECT * FROM outcome WHERE day = ? AND domain = ? ORDER BY result <> 'success', count DESC LIMIT ?"
        return [_count(row) for row in self._run(text, (day, domain, REPORTED))]

    def days(self) -> list[tuple[int, str]]:
        """Every day and domain with counts, the newest first."""
        rows = self._run("SELECT DISTINCT day, domain FROM outcome ORDER BY day DESC, domain", ())
        return [(int(str(day)), str(domain)) for day, domain in rows]

    def unplanned(self, before: int) -> list[tuple[int, str]]:
        """Days before the day `before` and domains whose reports nobody has planned yet."""
        text = """SELECT DISTINCT day, domain FROM outcome AS o WHERE day < ?
            AND NOT EXISTS (SELECT 1 FROM job WHERE job.day = o.day AND job.domain = o.domain) LIMIT 1000"""
        return [(int(str(day)), str(domain)) for day, domain in self._run(text, (before,))]

    def plan(self, job: TlsJob) -> None:
        """A report is due; one that is planned already stays as it is."""
        text = "INSERT OR IGNORE INTO job (day, domain, uri, at, tries) VALUES (?, ?, ?, ?, ?)"
        self._run(text, (job.day, job.domain, job.uri, job.at, job.tries))

    def due(self, now: int, most: int) -> list[TlsJob]:
        """Reports that are due."""
        text = "SELECT day, domain, uri, at, tries FROM job WHERE NOT done AND at <= ? ORDER BY at LIMIT ?"
        rows = self._run(text, (now, most))
        return [
            TlsJob(int(str(day)), str(domain), str(uri), int(str(at)), int(str(tries)))
            for day, domain, uri, at, tries in rows
        ]

    def later(self, job: TlsJob, at: int) -> None:
        """It did not work; try it again."""
        text = "UPDATE job SET at = ?, tries = tries + 1 WHERE day = ? AND domain = ? AND uri = ?"
        self._run(text, (at, job.day, job.domain, job.uri))

    def done(self, job: TlsJob) -> None:
        """It is sent, or given up."""
        self._run("UPDATE job SET done = 1 WHERE day = ? AND domain = ? AND uri = ?", (job.day, job.domain, job.uri))

    def expire(self, before: int) -> None:
        """Forget days before the day `before`."""
        self._run("DELETE FROM outcome WHERE day < ?", (before,))
        self._run("DELETE FROM job WHERE day < ?", (before,))

    def close(self) -> None:
        """Let go of the file."""
        db, self._db = self._db, None
        if db is not None:
            db.close(force=True)

    def _run(self, text: str, values: tuple[str | int, ...]) -> list[tuple[object, ...]]:
        if self._reads_only and not self._path.exists():
            return []
        try:
            return list(self._opened().execute(text, values))
        except (apsw.Error, OSError) as error:
            if not isinstance(error, apsw.BusyError | apsw.FullError):
                self.close()
            raise SpoolError(f"what TLS reports count in {self._path} cannot be used: {error}") from error

    def _opened(self) -> apsw.Connection:
        if self._db is not None:
            return self._db
        if self._reads_only:
            self._db = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
            return self._db
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = apsw.Connection(str(self._path))
        db.set_busy_timeout(_BUSY_MS)
        db.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")
        with db:
            version = db.execute("PRAGMA user_version").fetchone()
            if version == (0,):
                db.execute(_SCHEMA)
            elif version != (VERSION,):
                raise SpoolError(f"{self._path} is of another version of this program; set it aside")
        self._db = db
        return db


def _count(row: tuple[object, ...]) -> TlsCount:
    day, domain, kind, policy, result, host, source, address, words, count = row
    key = TlsKey(
        int(str(day)),
        str(domain),
        str(kind),
        str(policy),
        str(result),
        str(host),
        str(source),
        str(address),
        str(words),
    )
    return TlsCount(key, int(str(count)))
