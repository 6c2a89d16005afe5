"""TLS reports that others send to us: by mail they are read, kept and go no further (`tls_reports.received_at`).

Whatever is no report that can be read goes on like any other mail, so that somebody may look at it. Asked behind all
other policies of the message, so that what they refuse is not read. RFC 8460 5.3.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from postroad.mailauth.dkim_result import DkimResults
from postroad.message.tlsrptread import (
    GZIP,
    JSON,
    MAIL_LIMIT,
    Report,
    ReportError,
    clean,
    read_report,
    report_in_mail,
)
from postroad.model.content import Content
from postroad.model.errors import SpoolError
from postroad.policy.context import MessageContext
from postroad.policy.verdict import Defer, Discard, Verdict
from postroad.smtp import replies
from postroad.store.reportsin import ReceivedReport, ReceivedReports

_BLOCK: Final = 1 << 20


class TakenReports:
    """The policy, for mail to one of some addresses alone."""

    def __init__(self, addresses: tuple[str, ...], kept: ReceivedReports, now: Callable[[], int]) -> None:
        """`addresses` are lower-case; reports go to `kept`."""
        self._addresses = frozenset(addresses)
        self._kept = kept
        self._now = now

    def __call__(self, ctx: MessageContext) -> Awaitable[Verdict | None] | None:
        """Keep a report; no opinion on all else."""
        if ctx.size > MAIL_LIMIT or not all(one.address.text.lower() in self._addresses for one in ctx.recipients):
            return None
        return self._take(ctx)

    async def _take(self, ctx: MessageContext) -> Verdict | None:
        signed = ctx.facts.get(DkimResults)
        proven = " ".join(signed.domains) if signed is not None else ""
        content, now = await _whole(ctx.content), self._now()
        try:
            report = await asyncio.to_thread(_keep, self._kept, lambda: report_in_mail(content), proven, now)
        except ReportError:
            return None
        except SpoolError as error:
            return Defer(replies.STORAGE_ERROR, str(error))
        return Discard(f"the TLS report {clean(report.report_id)} of {clean(report.organization_name)} is kept")


class ReportDoor:
    """Takes reports that come by HTTPS (RFC 8460 5.4)."""

    def __init__(self, kept: ReceivedReports, now: Callable[[], int]) -> None:
        """Reports go to `kept`."""
        self._kept = kept
        self._now = now

    async def take(self, body: bytes, content_type: str) -> str:
        """Keep the report in `body`: what is wrong with it, "" when it is kept; SpoolError when it cannot be."""
        kind = content_type.partition(";")[0].strip().lower()
        if kind not in (GZIP, JSON):
            return f"a TLS report is {GZIP} or {JSON}"
        try:
            await asyncio.to_thread(_keep, self._kept, lambda: read_report(body, kind), "", self._now())
        except ReportError as error:
            return str(error)
        return ""


def _keep(kept: ReceivedReports, read: Callable[[], Report], proven: str, now: int) -> Report:
    """Read and keep one; in a thread, for it unpacks, and other processes may be at the file."""
    report = read()
    kept.add(received(report, proven, now))
    return report


def received(report: Report, proven: str, now: int) -> ReceivedReport:
    """`report` as it is kept."""
    return ReceivedReport(
        clean(report.organization_name),
        clean(report.report_id),
        now,
        clean(report.date_range.start_datetime),
        " ".join(map(clean, report.domains)),
        report.good,
        report.bad,
        proven,
        msgspec.json.encode(report).decode(),
    )


async def _whole(content: Content) -> bytes:
    if isinstance(content, bytes):
        return content
    parts = [await content.read(at, _BLOCK) for at in range(0, content.size, _BLOCK)]
    return b"".join(parts)
