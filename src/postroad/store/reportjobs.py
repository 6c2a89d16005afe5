"""The daily reports that are due, in an SQLite file beside what they tell: planned, tried again, done once.

What has been done outlives a restart, so that a report is not sent twice. Calls run on the event loop (`store/tables`).
"""

from typing import Final

from postroad.model.reportjob import ReportJob
from postroad.store.tables import Tables

SCHEMA: Final = """
CREATE TABLE job (day INTEGER NOT NULL, domain TEXT NOT NULL, uri TEXT NOT NULL, at INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (day, domain, uri)) WITHOUT ROWID;
"""


class ReportJobs:
    """Those of one file; its `subject`, a table or a view, has each day and domain of which something was counted."""

    def __init__(self, tables: Tables) -> None:
        """Nothing is opened."""
        self._tables = tables

    def days(self) -> list[tuple[int, str]]:
        """Every day and domain with counts, the newest first."""
        rows = self._tables.run("SELECT day, domain FROM subject ORDER BY day DESC, domain")
        return [(int(str(day)), str(domain)) for day, domain in rows]

    def unplanned(self, before: int) -> list[tuple[int, str]]:
        """Days before the day `before` and domains whose reports nobody has planned yet."""
        text = """SELECT day, domain FROM subject WHERE day < ? AND NOT EXISTS
            (SELECT 1 FROM job WHERE job.day = subject.day AND job.domain = subject.domain) LIMIT 1000"""
        return [(int(str(day)), str(domain)) for day, domain in self._tables.run(text, (before,))]

    def plan(self, job: ReportJob) -> None:
        """A report is due; one that is planned already stays as it is."""
        text = "INSERT OR IGNORE INTO job (day, domain, uri, at, tries) VALUES (?, ?, ?, ?, ?)"
        self._tables.run(text, (job.day, job.domain, job.uri, job.at, job.tries))

    def due(self, now: int, most: int) -> list[ReportJob]:
        """Reports that are due."""
        text = "SELECT day, domain, uri, at, tries FROM job WHERE NOT done AND at <= ? ORDER BY at LIMIT ?"
        return [_job(row) for row in self._tables.run(text, (now, most))]

    def later(self, job: ReportJob, at: int) -> None:
        """It did not work; try it again."""
        text = "UPDATE job SET at = ?, tries = tries + 1 WHERE day = ? AND domain = ? AND uri = ?"
        self._tables.run(text, (at, job.day, job.domain, job.uri))

    def done(self, job: ReportJob) -> None:
        """It is sent, or given up."""
        self._tables.run(
            "UPDATE job SET done = 1 WHERE day = ? AND domain = ? AND uri = ?", (job.day, job.domain, job.uri)
        )

    def expire(self, before: int) -> None:
        """Forget what was due of days before the day `before`; whoever counts forgets the counts."""
        self._tables.run("DELETE FROM job WHERE day < ?", (before,))

    def close(self) -> None:
        """Let go of the file."""
        self._tables.close()


def _job(row: tuple[object, ...]) -> ReportJob:
    day, domain, uri, at, tries = row
    return ReportJob(int(str(day)), str(domain), str(uri), int(str(at)), int(str(tries)))
