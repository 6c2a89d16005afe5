"""Aggregate reports about DMARC: once a day those who ask for it are told what came in their name (RFC 7489 7.2).

What is told was counted by all processes (`house/reports/dmarctally`). A report is made in a thread, for it may be
large, and leaves by mail through our own queue; one that is larger than its reader wants is not sent (RFC 7489 6.2).
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from postroad.config.schema import Config
from postroad.house.reports.daily import DailyReports, Letter, Outbox, Sent
from postroad.mailauth.dmarc_addressees import addressees
from postroad.mailauth.dmarc_record import split_size
from postroad.message.dmarcreport import DmarcReport
from postroad.message.dmarcreportwrite import compose, report_xml
from postroad.message.reportmail import Author, author_of, mailbox_of, packed
from postroad.model.address import Mailbox
from postroad.model.dns import Lookup
from postroad.model.records import Emit
from postroad.model.reportjob import DAY, ReportJob
from postroad.net.clock import Clock
from postroad.store.dmarcreports import DmarcReportStore

_SECOND: Final = 1_000_000


class DmarcReports(DailyReports):
    """Those of one server, of what is in `file`."""

    kind = "dmarc"

    def __init__(  # noqa: PLR0913  the composition root passes the parts by name
        self,
        file: Path,
        author: Author,
        *,
        lookup: Callable[[], Lookup],
        outbox: Outbox,
        clock: Clock,
        emit: Emit,
        random: Callable[[], float],
    ) -> None:
        """`lookup` gives the resolver in force; `random` numbers from 0 to 1."""
        ledger = DmarcReportStore(file)
        super().__init__(ledger, author.submitter, outbox=outbox, clock=clock, emit=emit, random=random)
        self._file = file
        self._author = author
        self._lookup = lookup

    def write(self) -> None:
        """Nothing: each process writes what it counted by itself."""

    async def addressees(self, job: ReportJob) -> Sequence[str] | None:
        """Whoever the domain names, if they want reports about it."""
        return await addressees(self._lookup(), job.domain)

    async def deliver(self, job: ReportJob) -> Sent:
        """Put it into the queue; what is too large is not sent."""
        address, most = split_size(job.uri)
        to = mailbox_of(address)
        if to is None:
            return Sent("it is no address", over=True)
        now = self._clock.now()
        content = await asyncio.to_thread(self._compose, job, to, now)
        if content is None:
            return Sent("nothing was counted", over=True)
        if most is not None and len(content) > most:
            return Sent(f"it has {len(content)} octets, more than are wanted there", over=True)
        return await self.mail(Letter(to, content, f"<{now}.dmarc.{job.domain}@{self._author.submitter}>"))

    def _compose(self, job: ReportJob, to: Mailbox, now: int) -> bytes | None:
        store = DmarcReportStore(self._file, reads_only=True)
        try:
            report = report_of(store, job.day, job.domain, self._author)
        finally:
            store.close()
        if report is None:
            return None
        return compose(report, self._author, to, packed(report_xml(report)), now)


def report_of(store: DmarcReportStore, day: int, domain: str, author: Author) -> DmarcReport | None:
    """The report of `day` about `domain`, the same each time; None when nothing was counted."""
    found = store.counts(day, domain)
    if found is None:
        return None
    published, rows = found
    begin = day * DAY // _SECOND
    return DmarcReport(
        author.organization,
        author.sender,
        f"{begin}.{domain}@{author.submitter}",
        begin,
        (day + 1) * DAY // _SECOND - 1,
        published,
        rows,
        author.contact,
    )


def dmarc_author_of(config: Config) -> Author | None:
    """Who reports about DMARC; None when nobody does."""
    settings = config.dmarc_reports
    if settings is None or settings.from_ is None:
        return None
    return author_of(settings.organization, settings.contact, settings.from_)
