"""Reports that others send to us, about TLS and about DMARC: by mail they are read, kept and go no further.

Whatever is no report that can be read goes on like any other mail, so that somebody may look at it; what looks like one
gets the tag `unread-report`, and a record `MessageAdjusted` says what is wrong with it. Asked behind all other policies
of the message, so that what they refuse is not read. One is read at a time; when too many wait, more are deferred.
RFC 8460 5.3, RFC 7489 7.2.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import msgspec
from msgspec import Struct

from postroad.mailauth.dkim_result import DkimResults
from postroad.message import dmarcreportread, tlsrptread
from postroad.message.dmarcreport import DmarcReport, day_text
from postroad.message.reportmail import MAIL_LIMIT, NoReportError, ReportError, clean
from postroad.message.tlsrpt import GZIP
from postroad.message.tlsrptread import JSON, Report, read_report
from postroad.model.content import Content
from postroad.model.errors import SpoolError
from postroad.model.records import Emit, ReportTaken
from postroad.policy.context import MessageContext
from postroad.policy.verdict import Adjust, Answer, Defer, Discard
from postroad.smtp import replies
from postroad.store.reportsin import ReceivedReport, ReceivedReports

UNREAD: Final = "unread-report"
_BLOCK: Final = 1 << 20
_WAITING: Final = 50  # mails, none of which is in memory


class ReportKind(Struct, frozen=True):
    """One kind of report: what it is about, the addresses it comes to in lower case, how it is read, where it is kept.

    `read` takes a mail, the domains that signed it (None: nobody looked) and the time; what it raises is a ReportError.
    """

    name: str
    addresses: frozenset[str]
    read: Callable[[bytes, tuple[str, ...] | None, int], ReceivedReport]
    kept: ReceivedReports


class TakenReports:
    """The policy, for mail to some addresses alone; one address may be for several kinds."""

    def __init__(self, kinds: Sequence[ReportKind], now: Callable[[], int]) -> None:
        """A report is the first of `kinds` that it can be read as."""
        self._kinds = tuple(kinds)
        self._now = now
        self._turn = asyncio.Lock()  # hostile ones need memory, and threads that others need, too
        self._waiting = 0

    def __call__(self, ctx: MessageContext) -> Answer | Awaitable[Answer | None] | None:
        """Keep a report; no opinion on all else."""
        addresses = {one.address.text.lower() for one in ctx.recipients}
        kinds = [kind for kind in self._kinds if addresses <= kind.addresses]
        if kinds and ctx.size > MAIL_LIMIT:
            return Adjust(f"not looked at: a mail of a report is at most {MAIL_LIMIT >> 20} MiB", tags=(UNREAD,))
        return self._take(ctx, kinds) if kinds else None

    async def _take(self, ctx: MessageContext, kinds: list[ReportKind]) -> Answer | None:
        signed = ctx.facts.get(DkimResults)
        proven = signed.domains if signed is not None else None
        if self._waiting >= _WAITING:
            return Defer(replies.RATE_OF_MAIL, f"{_WAITING} reports wait to be read")
        self._waiting += 1
        try:
            async with self._turn:
                return await self._first(kinds, await _whole(ctx.content), proven)
        finally:
            self._waiting -= 1

    async def _first(self, kinds: list[ReportKind], content: bytes, proven: tuple[str, ...] | None) -> Answer | None:
        wrong, now = "", self._now()
        for kind in kinds:
            try:
                report, is_new = await asyncio.to_thread(_keep, kind.kept, partial(kind.read, content, proven, now))
            except NoReportError:
                continue
            except ReportError as error:
                wrong = wrong or f"a {kind.name} report that cannot be read: {clean(str(error))}"
                continue
            except SpoolError as error:
                return Defer(replies.STORAGE_ERROR, str(error))
            done = "is kept" if is_new else "was there already"
            return Discard(f"the {kind.name} report {report.id} of {report.submitter} {done}")
        return Adjust(wrong, tags=(UNREAD,)) if wrong else None


def read_tls(content: bytes, proven: tuple[str, ...] | None, now: int) -> ReceivedReport:
    """The TLS report that a mail brings; one that its author has not signed does not count (RFC 8460 3)."""
    report = tlsrptread.report_in_mail(content)
    if proven is not None and not report.is_signed_by(proven):
        raise ReportError(f"it has no DKIM signature of {clean(report.author) or 'anybody'}, whose it says it is")
    return _of_tls(report, proven or (), now)


def read_dmarc(content: bytes, proven: tuple[str, ...] | None, now: int) -> ReceivedReport:
    """The aggregate report about DMARC that a mail brings."""
    return _of_dmarc(dmarcreportread.report_in_mail(content), proven or (), now)


class ReportDoor:
    """Takes TLS reports that come by HTTPS (RFC 8460 5.4)."""

    def __init__(
        self, kept: ReceivedReports, is_ours: Callable[[str], bool], now: Callable[[], int], emit: Emit
    ) -> None:
        """Reports about domains that are ours go to `kept`, and `emit` is told of them."""
        self._kept = kept
        self._is_ours = is_ours
        self._now = now
        self._emit = emit

    async def take(self, body: bytes, content_type: str) -> str:
        """Keep the report in `body`: what is wrong with it, "" when it is kept; SpoolError when it cannot be."""
        kind, now = content_type.partition(";")[0].strip().lower(), self._now()
        if kind not in (GZIP, JSON):
            return f"a TLS report is {GZIP} or {JSON}"
        try:
            report, is_new = await asyncio.to_thread(_keep, self._kept, lambda: self._read(body, kind, now))
        except ReportError as error:
            return str(error)
        if is_new:
            self._emit(
                ReportTaken(at=now, kind="tls", submitter=report.submitter, id=report.id, domains=report.domains)
            )
        return ""

    def _read(self, body: bytes, kind: str, now: int) -> ReceivedReport:
        report = read_report(body, kind)
        if not any(map(self._is_ours, report.domains)):  # anybody may send them, and there is an end to what is kept
            raise ReportError("the report is about no domain of ours")
        return _of_tls(report, (), now)


def _keep(kept: ReceivedReports, read: Callable[[], ReceivedReport]) -> tuple[ReceivedReport, bool]:
    """Read and keep one, and whether it is new; in a thread, for it unpacks, and other processes may be at the file."""
    report = read()
    return report, kept.add(report)


def _of_tls(report: Report, proven: tuple[str, ...], now: int) -> ReceivedReport:
    return ReceivedReport(
        clean(report.organization_name),
        clean(report.report_id),
        now,
        report.date_range.start_datetime.isoformat(),
        " ".join(map(clean, report.domains)),
        report.good,
        report.bad,
        " ".join(proven),
        msgspec.json.encode(report).decode(),
    )


def _of_dmarc(report: DmarcReport, proven: tuple[str, ...], now: int) -> ReceivedReport:
    return ReceivedReport(
        report.organization or report.email or "nobody",
        report.id,
        now,
        day_text(report.begin),
        report.published.domain,
        report.passed,
        report.total - report.passed,
        " ".join(proven),
        msgspec.json.encode(report).decode(),
    )


async def _whole(content: Content) -> bytes:
    if isinstance(content, bytes):
        return content
    parts = [await content.read(at, _BLOCK) for at in range(0, content.size, _BLOCK)]
    return b"".join(parts)
