"""Making decisions durable, with the reports they call for: to the sender, and copies to the postmaster.

Outcomes and the reports about them go to the spool as one batch. A report that returns the message may have to read
it first, and with keys it is signed; both happen in a task of its own, not in the worker, whose cancellation must not
lose outcomes that are known already. A copy never returns content, and nothing is ever copied about a copy.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from msgspec import Struct

from postroad.message.dsn import Notice, Report
from postroad.message.dsntexts import Languages
from postroad.message.headers import header_section
from postroad.model.address import Mailbox
from postroad.model.content import Content
from postroad.model.envelope import Envelope
from postroad.model.errors import SpoolError
from postroad.model.queueid import QueueIds
from postroad.model.records import DsnQueued, Emit, SpoolFaulted
from postroad.model.work import Stored, Work
from postroad.net.clock import Clock
from postroad.queue.report import COPY, build, is_copied, kind_of, returns_content
from postroad.queue.spooling import Spooling
from postroad.queue.telling import Settlement

HEADER_LIMIT: Final = 64 << 10  # octets of a large message that are searched for its header section
Settled = Callable[[Settlement, int, list[tuple[Stored, list[Work]]]], None]


class Reporting(Struct, frozen=True):
    """How reports are made: by whom, how much they return, in which languages, what the postmaster gets.

    `sign` puts signatures on top of the prefix of their envelopes.
    """

    hostname: str
    return_size: int
    languages: Languages = Languages()
    postmaster: Mailbox | None = None
    copies: frozenset[str] = frozenset()
    sign: Callable[[Envelope, bytes], Awaitable[Envelope]] | None = None


class Books:
    """Settles."""

    def __init__(
        self, spool: Spooling, emit: Emit, clock: Clock, queue_ids: QueueIds, reporting: Reporting, *, settled: Settled
    ) -> None:
        """`settled` is called when a settlement of so many recipients is durable, with its reports, leased."""
        self._spool = spool
        self._emit = emit
        self._clock = clock
        self._queue_ids = queue_ids
        self.reporting = reporting  # a reload may replace it
        self._settled = settled
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> list[asyncio.Task[None]]:
        """The reports that are being made."""
        return [task for task in self._tasks if not task.done()]

    def settle(self, stored: Stored, content: Content | None, settlement: Settlement) -> None:
        """Make decisions about works of one message durable; `content` is its content where that is at hand."""
        copied = self._copied(stored, settlement) if settlement.notices or settlement.untold else []
        if not settlement.notices and not copied:
            self._commit(settlement)
        elif isinstance(content, bytes) and self.reporting.sign is None:
            self._commit(settlement, self._reports(stored, settlement, content, copied, self.reporting))
        else:
            task = asyncio.create_task(self._fetch_and_send(stored, content, settlement, copied))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def settle_in_turn(self, stored: Stored, content: Content | None, settlement: Settlement) -> None:
        """The same, for many messages one after the other: at most one of them is being read."""
        copied = self._copied(stored, settlement)
        if settlement.notices or copied:
            await self._fetch_and_send(stored, content, settlement, copied)
        else:
            self._commit(settlement)

    def announce(self, settlement: Settlement, stored: Stored, works: list[Work]) -> None:
        """Tell that the report `stored` about `settlement` entered the queue."""
        original = settlement.changes[0].work.stored.envelope
        envelope = stored.envelope
        is_copy = COPY in envelope.tags
        notices = settlement.notices + settlement.untold if is_copy else settlement.notices
        self._emit(
            DsnQueued(
                at=envelope.arrived,
                id=original.id,
                report=stored.id,
                kind=f"{kind_of(notices)} copy" if is_copy else kind_of(notices),
                to=works[0].recipient.address.text,
            )
        )

    def _copied(self, stored: Stored, settlement: Settlement) -> list[Notice]:
        copies = self.reporting.copies
        if not copies or self.reporting.postmaster is None or COPY in stored.envelope.tags:
            return []
        is_report = stored.envelope.sender.is_null
        return [
            notice
            for notice in (*settlement.notices, *settlement.untold)
            if is_copied(notice, copies, is_report=is_report)
        ]

    async def _fetch_and_send(
        self, stored: Stored, content: Content | None, settlement: Settlement, copied: list[Notice]
    ) -> None:
        reporting = self.reporting
        full = returns_content(stored.envelope, settlement.notices, reporting.return_size)
        original = b""
        try:
            if content is None:
                content = await self._spool.body(stored)
            if not isinstance(content, bytes):
                content = await content.read(0, content.size if full else HEADER_LIMIT)
            original = content
        except SpoolError as error:  # a report without the original is better than none
            self._emit(SpoolFaulted(at=self._clock.now(), reason=str(error)))
        reports = self._reports(stored, settlement, original, copied, reporting)
        if reporting.sign is not None:
            reports = [(await reporting.sign(envelope, letter), letter) for envelope, letter in reports]
        self._commit(settlement, reports)

    def _reports(
        self, stored: Stored, settlement: Settlement, original: bytes, copied: list[Notice], reporting: Reporting
    ) -> list[tuple[Envelope, bytes]]:
        envelope = stored.envelope
        full = bool(original) and returns_content(envelope, settlement.notices, reporting.return_size)
        reports: list[tuple[Envelope, bytes]] = []
        if settlement.notices:
            reports.append(build(self._report(reporting, envelope, settlement.notices, original, full=full)))
        if copied and reporting.postmaster is not None:
            report = self._report(reporting, envelope, copied, original, full=False)
            reports.append(build(report, postmaster=reporting.postmaster))
        return reports

    def _report(
        self, reporting: Reporting, envelope: Envelope, notices: list[Notice], original: bytes, *, full: bool
    ) -> Report:
        now = self._clock.now()
        returned = original if full else header_section(original)
        return Report(
            id=self._queue_ids.new(now),
            hostname=reporting.hostname,
            now=now,
            envelope=envelope,
            notices=tuple(notices),
            original=envelope.prefix.encode() + returned if returned else b"",
            full=full,
            texts=reporting.languages.texts_for(envelope.sender.domain),
        )

    def _commit(self, settlement: Settlement, reports: Sequence[tuple[Envelope, bytes]] = ()) -> None:
        """What it tells becomes visible afterwards."""
        count = len(settlement.changes)
        self._spool.settle(settlement.changes, reports, partial(self._settled, settlement, count))
