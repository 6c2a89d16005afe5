"""TLS reports of one server: connections are counted, and once a day those who ask for it are told (RFC 8460).

Counts are kept in memory for a minute at most and written in batches; what was written survives a kill. Reports leave
by mail through our own queue or by HTTPS (`house/reports/daily`); what fails is tried again for a day (RFC 8460 5.5).
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from msgspec.structs import replace

from postroad.house.reports.daily import DailyReports, Letter, Outbox, Sent
from postroad.message.reportmail import Author, clean, mailbox_of, packed
from postroad.message.tlsrpt import GZIP, compose, parse_record, report_json
from postroad.model.dns import DnsStatus, Lookup
from postroad.model.errors import SpoolError
from postroad.model.records import Emit
from postroad.model.reportjob import DAY, ReportJob
from postroad.model.route import TLS_OPTIONAL
from postroad.model.security import SUCCESS, TlsOutcome
from postroad.model.tlscounts import TlsCount, TlsKey
from postroad.net.clock import Clock
from postroad.net.http.fetching import Answer
from postroad.store.tlsreports import TlsReportStore

IN_MEMORY: Final = 5000  # different outcomes between two batches; beyond, failures lose their details
_WORDS: Final = 200  # characters kept of what went wrong
_POLICY: Final = 8000
_OK: Final = range(200, 300)


class Post(Protocol):
    """POST over HTTPS; never raises."""

    async def __call__(self, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        """The answer."""


class TlsReports(DailyReports):
    """Counts and reports."""

    kind = "tls"

    def __init__(  # noqa: PLR0913  the composition root passes the parts by name
        self,
        store: TlsReportStore,
        author: Author,
        *,
        lookup: Callable[[], Lookup],
        post: Post,
        outbox: Outbox,
        clock: Clock,
        emit: Emit,
        random: Callable[[], float],
    ) -> None:
        """`lookup` gives the resolver in force; `random` numbers from 0 to 1."""
        super().__init__(store, author.submitter, outbox=outbox, clock=clock, emit=emit, random=random)
        self._store = store
        self._author = author
        self._lookup = lookup
        self._post = post
        self._counts: dict[TlsKey, int] = {}

    # -- counting ------------------------------------------------------------------------------

    def observe(self, outcome: TlsOutcome) -> None:
        """Count how one connection ended."""
        policy = "\n".join(outcome.policy)[:_POLICY]
        key = TlsKey(self._clock.now() // DAY, outcome.domain.lower(), outcome.policy_type, policy, outcome.result)
        if outcome.result != SUCCESS and len(self._counts) < IN_MEMORY:
            key = replace(
                key,
                mx_host=outcome.mx_host,
                sending_ip=outcome.sending_ip,
                receiving_ip=outcome.receiving_ip,
                words=clean(outcome.words, _WORDS),
            )
        known = self._counts.get(key)
        if known is not None or len(self._counts) < 2 * IN_MEMORY:
            self._counts[key] = (known or 0) + 1

    def write(self) -> None:
        """Write what was counted; when that fails it stays, for the next time."""
        if not self._counts:
            return
        try:
            self._store.add([TlsCount(key, count) for key, count in self._counts.items()])
        except SpoolError as error:
            self.faults.tell(error)
        else:
            self._counts.clear()

    # -- reporting -----------------------------------------------------------------------------

    async def addressees(self, job: ReportJob) -> Sequence[str] | None:
        """Whoever the domain names (RFC 8460 3)."""
        answer = await self._lookup()(f"_smtp._tls.{job.domain}", "TXT")
        if answer.is_temporary:
            return None
        texts = [record for record in answer.records if isinstance(record, str)]
        return parse_record(texts) if answer.status is DnsStatus.FOUND else ()

    async def deliver(self, job: ReportJob) -> Sent:
        """By mail or by HTTPS (RFC 8460 5)."""
        report = packed(report_json(job.day, job.domain, self._author, self._store.counts(job.day, job.domain)))
        to = mailbox_of(job.uri)
        if to is None:
            answer = await self._post(job.uri, report, {"Content-Type": GZIP})
            return Sent() if answer.status in _OK else Sent(str(answer))
        now = self._clock.now()
        content = compose(job.day, job.domain, self._author, to, report, now)
        message_id = f"<{now}.tlsrpt.{job.domain}@{self._author.submitter}>"
        return await self.mail(Letter(to, content, message_id, TLS_OPTIONAL))
