"""What TLS reports count, and which reports are due, in an SQLite file; both outlive a restart. RFC 8460 4.

Calls run on the event loop: they write to the page cache alone (WAL). What is written is counted exactly once: the
counts of a batch are added in one transaction. Rows are bounded: beyond ROWS failures lose their details.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from postroad.model.tlscounts import TlsCount, TlsKey
from postroad.store.reportjobs import SCHEMA, ReportJobs
from postroad.store.tables import Tables

VERSION: Final = 2
ROWS: Final = 200_000
REPORTED: Final = 2000  # failures with details in one report
_KEY: Final = "day, domain, policy_type, policy, result, mx_host, sending_ip, receiving_ip, words"
_ADD: Final = """INSERT INTO outcome VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT
    (day, domain, policy_type, policy, result, mx_host, sending_ip, receiving_ip, words)
    DO UPDATE SET count = count + excluded.count"""
_COUNTS: Final = f"""
CREATE TABLE outcome (day INTEGER NOT NULL, domain TEXT NOT NULL, policy_type TEXT NOT NULL, policy TEXT NOT NULL,
    result TEXT NOT NULL, mx_host TEXT NOT NULL, sending_ip TEXT NOT NULL, receiving_ip TEXT NOT NULL,
    words TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY ({_KEY})) WITHOUT ROWID;
"""
_SUBJECT: Final = "CREATE VIEW subject AS SELECT DISTINCT day, domain FROM outcome;"
_SCHEMA: Final = f"{_COUNTS}{_SUBJECT}{SCHEMA}PRAGMA user_version = {VERSION};"


class TlsReportStore(ReportJobs):
    """The tables in the file at `path`."""

    def __init__(self, path: Path, *, reads_only: bool = False) -> None:
        """Nothing is opened before the first call; who `reads_only` leaves the file as it is, and makes none."""
        super().__init__(Tables(path, "what TLS reports count", _SCHEMA, VERSION, reads_only=reads_only))

    def add(self, counts: Sequence[TlsCount]) -> None:
        """Add to what was counted before: all of it, or SpoolError and nothing."""
        (rows,) = self._tables.run("SELECT count(*) FROM outcome")
        is_full = int(str(rows[0])) >= ROWS
        with self._tables.transaction():
            for one in counts:
                key = one.key
                detail = ("", "", "", "") if is_full else (key.mx_host, key.sending_ip, key.receiving_ip, key.words)
                whose = (key.day, key.domain, key.policy_type, key.policy, key.result)
                self._tables.run(_ADD, (*whose, *detail, one.count))

    def expire(self, before: int) -> None:
        """Forget days before the day `before`."""
        super().expire(before)
        self._tables.run("DELETE FROM outcome WHERE day < ?", (before,))

    def counts(self, day: int, domain: str) -> list[TlsCount]:
        """What was counted, successes first, then the most frequent failures."""
        text = "SELECT * FROM outcome WHERE day = ? AND domain = ? ORDER BY result <> 'success', count DESC LIMIT ?"
        return [_count(row) for row in self._tables.run(text, (day, domain, REPORTED))]


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
