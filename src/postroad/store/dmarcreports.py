"""What aggregate reports about DMARC count, and which are due, in an SQLite file; both outlive a restart.

Every process that takes mail writes here, once a minute and in a thread: the counts of a batch are added in one
transaction, so what is written is counted exactly once. Rows are bounded, in all and for each day and domain: beyond
only what is known already is counted, so no domain takes the room of all others. Which days
and domains there are stands apart, so that looking for what is due stays cheap. RFC 7489 7.2.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from postroad.message.dmarcreport import Published, Row, Seen
from postroad.store.reportjobs import SCHEMA, ReportJobs
from postroad.store.tables import Tables

VERSION: Final = 1
ROWS: Final = 200_000
ON_LOOP_MS: Final = 200
IN_THREAD_MS: Final = 10_000
REPORTED: Final = 10_000  # rows of one report
_COUNTS: Final = """
CREATE TABLE subject (day INTEGER NOT NULL, domain TEXT NOT NULL, rows INTEGER NOT NULL, PRIMARY KEY (day, domain))
    WITHOUT ROWID;
CREATE TABLE seen (day INTEGER NOT NULL, domain TEXT NOT NULL, published TEXT NOT NULL, seen TEXT NOT NULL,
    count INTEGER NOT NULL, PRIMARY KEY (day, domain, published, seen)) WITHOUT ROWID;
CREATE TABLE failure (day INTEGER NOT NULL, domain TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (day, domain))
    WITHOUT ROWID;
CREATE TABLE room (used INTEGER NOT NULL);
INSERT INTO room VALUES (0);
CREATE TRIGGER grown AFTER INSERT ON seen BEGIN
    UPDATE room SET used = used + 1;
    INSERT INTO subject VALUES (new.day, new.domain, 1) ON CONFLICT (day, domain) DO UPDATE SET rows = rows + 1;
END;
CREATE TRIGGER shrunk AFTER DELETE ON seen BEGIN UPDATE room SET used = used - 1; END;
"""
_SCHEMA: Final = f"{_COUNTS}{SCHEMA}PRAGMA user_version = {VERSION};"
_ADD: Final = """INSERT INTO seen VALUES (?, ?, ?, ?, ?) ON CONFLICT (day, domain, published, seen)
    DO UPDATE SET count = count + excluded.count"""
_IS_FULL: Final = """SELECT (SELECT used FROM room) >= ?
    OR EXISTS (SELECT 1 FROM subject WHERE day = ? AND domain = ? AND rows >= ?)"""
_IS_SPENT: Final = """SELECT (SELECT coalesce(sum(count), 0) FROM failure WHERE day = ?) >= ?
    OR EXISTS (SELECT 1 FROM failure WHERE day = ? AND domain = ? AND count >= ?)"""
_CLAIM: Final = "INSERT INTO failure VALUES (?, ?, 1) ON CONFLICT (day, domain) DO UPDATE SET count = count + 1"
_RAISE: Final = "UPDATE seen SET count = count + ?5 WHERE day = ?1 AND domain = ?2 AND published = ?3 AND seen = ?4"


class DmarcReportStore(ReportJobs):
    """The tables in the file at `path`."""

    def __init__(self, path: Path, *, reads_only: bool = False, is_in_thread: bool = False) -> None:
        """Nothing is opened before the first call; who `reads_only` leaves the file as it is, and makes none.

        Who is in a thread of its own waits for others at the file as long as it takes.
        """
        what, patience = "what DMARC reports count", IN_THREAD_MS if is_in_thread else ON_LOOP_MS
        super().__init__(Tables(path, what, _SCHEMA, VERSION, reads_only=reads_only, patience=patience))

    def add(self, day: int, counts: Mapping[tuple[Published, Seen], int]) -> None:
        """Add to what was counted before: all of it, or SpoolError and nothing."""
        with self._tables.transaction():
            for (published, seen), count in counts.items():
                domain = published.domain
                ((is_full,),) = self._tables.run(_IS_FULL, (ROWS, day, domain, REPORTED))
                whose = (day, domain, _json(published), _json(seen))
                self._tables.run(_RAISE if is_full else _ADD, (*whose, count))

    def expire(self, before: int) -> None:
        """Forget days before the day `before`, but for what `forget` lets go of."""
        super().expire(before)
        self._tables.run("DELETE FROM subject WHERE day < ?", (before,))

    def forget(self, before: int) -> None:
        """Let go of what was counted before the day `before`; may take long."""
        self._tables.run("DELETE FROM seen WHERE day < ?", (before,))

    def claim(self, day: int, domain: str, most: int, in_all: int) -> bool:
        """True when one more failure report of `day` may be sent about `domain`, which then counts as sent."""
        with self._tables.transaction():
            self._tables.run("DELETE FROM failure WHERE day < ?", (day - 1,))
            ((is_spent,),) = self._tables.run(_IS_SPENT, (day, in_all, day, domain, most))
            if not is_spent:
                self._tables.run(_CLAIM, (day, domain))
        return not is_spent

    def counts(self, day: int, domain: str) -> tuple[Published, tuple[Row, ...]] | None:
        """What was counted, with the policy that most mail was judged by; None when there is nothing."""
        text = "SELECT published, seen, count FROM seen WHERE day = ? AND domain = ? ORDER BY count DESC LIMIT ?"
        found = self._tables.run(text, (day, domain, REPORTED))
        if not found:
            return None
        rows = tuple(Row(msgspec.json.decode(str(seen), type=Seen), int(str(count))) for _, seen, count in found)
        return msgspec.json.decode(str(found[0][0]), type=Published), rows


def _json(value: Published | Seen) -> str:
    return msgspec.json.encode(value).decode()
