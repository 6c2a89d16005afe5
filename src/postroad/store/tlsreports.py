"""What TLS reports count, and which reports are due, in an SQLite file; both outlive a restart. RFC 8460 4.

Calls run on the event loop: they write to the page cache alone (WAL). What is written is counted exactly once: the
counts of a batch are added in one transaction. Rows are bounded: beyond ROWS failures lose their details.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from postroad.model.errors import SpoolError
from postroad.model.tlscounts import TlsCount, TlsJob, TlsKey
from postroad.store.tables import Tables

VERSION: Final = 1
ROWS: Final = 200_000
REPORTED: Final = 2000  # failures with details in one report
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
        self._tables = Tables(path, "what TLS reports count", _SCHEMA, VERSION, reads_only=reads_only)

    def add(self, counts: Sequence[TlsCount]) -> None:
        """Add to what was counted before: all of it, or SpoolError and nothing."""
        (rows,) = self._tables.run("SELECT count(*) FROM outcome")
        is_full = int(str(rows[0])) >= ROWS
        self._tables.run("BEGIN IMMEDIATE")
        try:
            for one in counts:
                key = one.key
                detail = ("", "", "", "") if is_full else (key.mx_host, key.sending_ip, key.receiving_ip, key.words)
                whose = (key.day, key.domain, key.policy_type, key.policy, key.result)
                self._tables.run(_ADD, (*whose, *detail, one.count))
            self._tables.run("COMMIT")
        except SpoolError:
            with suppress(SpoolError):
                self._tables.run("ROLLBACK")
            raise

    def counts(self, day: int, domain: str) -> list[TlsCount]:
        """What was counted, successes first, then the most frequent failures."""
        text = "SELECT * FROM outcome WHERE day = ? AND domain = ? ORDER BY result <> 'success', count DESC LIMIT ?"
        return [_count(row) for row in self._tables.run(text, (day, domain, REPORTED))]

    def days(self) -> list[tuple[int, str]]:
        """Every day and domain with counts, the newest first."""
        rows = self._tables.run("SELECT DISTINCT day, domain FROM outcome ORDER BY day DESC, domain")
        return [(int(str(day)), str(domain)) for day, domain in rows]

    def unplanned(self, before: int) -> list[tuple[int, str]]:
        """Days before the day `before` and domains whose reports nobody has planned yet."""
        text = """SELECT DISTINCT day, domain FROM outcome AS o WHERE day < ?
            AND NOT EXISTS (SELECT 1 FROM job WHERE job.day = o.day AND job.domain = o.domain) LIMIT 1000"""
        return [(int(str(day)), str(domain)) for day, domain in self._tables.run(text, (before,))]

    def plan(self, job: TlsJob) -> None:
        """A report is due; one that is planned already stays as it is."""
        text = "INSERT OR IGNORE INTO job (day, domain, uri, at, tries) VALUES (?, ?, ?, ?, ?)"
        self._tables.run(text, (job.day, job.domain, job.uri, job.at, job.tries))

    def due(self, now: int, most: int) -> list[TlsJob]:
        """Reports that are due."""
        text = "SELECT day, domain, uri, at, tries FROM job WHERE NOT done AND at <= ? ORDER BY at LIMIT ?"
        rows = self._tables.run(text, (now, most))
        return [
            TlsJob(int(str(day)), str(domain), str(uri), int(str(at)), int(str(tries)))
            for day, domain, uri, at, tries in rows
        ]

    def later(self, job: TlsJob, at: int) -> None:
        """It did not work; try it again."""
        text = "UPDATE job SET at = ?, tries = tries + 1 WHERE day = ? AND domain = ? AND uri = ?"
        self._tables.run(text, (at, job.day, job.domain, job.uri))

    def done(self, job: TlsJob) -> None:
        """It is sent, or given up."""
        self._tables.run(
            "UPDATE job SET done = 1 WHERE day = ? AND domain = ? AND uri = ?", (job.day, job.domain, job.uri)
        )

    def expire(self, before: int) -> None:
        """Forget days before the day `before`."""
        self._tables.run("DELETE FROM outcome WHERE day < ?", (before,))
        self._tables.run("DELETE FROM job WHERE day < ?", (before,))

    def close(self) -> None:
        """Let go of the file."""
        self._tables.close()


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
