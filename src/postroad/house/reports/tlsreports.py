"""TLS reports of one server: connections are counted, and once a day those who ask for it are told (RFC 8460).

Counts are kept in memory for a minute at most and written in batches; what was written survives a kill. A report of a
day in UTC is sent hours after its end, at a random instant that a restart does not change (RFC 8460 4.1), by mail
through our own queue or by HTTPS; what fails is tried again for a day (RFC 8460 5.5). Killed between sending and
noting it, we send a report twice, under the same id. Only the process with the queue does this.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from msgspec.structs import replace

from postroad.message.dsn import local_trace
from postroad.message.tlsrpt import GZIP, Author, compose, mailbox_of, packed, parse_record, report_json
from postroad.model.address import NULL_PATH, Mailbox
from postroad.model.dns import DnsStatus, Lookup
from postroad.model.envelope import NOTIFY_NEVER, Envelope, Recipient
from postroad.model.errors import SpoolError
from postroad.model.queueid import QueueIds
from postroad.model.records import Emit, SpoolFaulted
from postroad.model.route import TLS_OPTIONAL
from postroad.model.security import SUCCESS, TlsOutcome
from postroad.model.tlscounts import DAY, TlsCount, TlsJob, TlsKey
from postroad.model.work import Stored, Work
from postroad.net.clock import Clock
from postroad.net.http.fetching import Answer
from postroad.queue.announce import Putting
from postroad.store.tlsreports import TlsReportStore

EVERY: Final = 60.0  # seconds between two batches, and two looks for what is due
IN_MEMORY: Final = 5000  # different outcomes between two batches; beyond, failures lose their details
SPREAD: Final = 4 * 3600.0  # seconds after midnight within which reports are sent
RETRY: Final = 900.0  # seconds, and longer each time
GIVE_UP: Final = 2  # days after the one reported
KEEP: Final = 4  # days
_AT_ONCE: Final = 50
_WORDS: Final = 200  # characters kept of what went wrong
_POLICY: Final = 8000
_SECOND: Final = 1_000_000
_OK: Final = range(200, 300)


class Post(Protocol):
    """POST over HTTPS; never raises."""

    async def __call__(self, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        """The answer."""


class TlsReports:
    """Counts and reports."""

    def __init__(  # noqa: PLR0913  the composition root passes the parts by name
        self,
        store: TlsReportStore,
        author: Author,
        *,
        lookup: Callable[[], Lookup],
        post: Post,
        spool: Putting,
        admit: Callable[[Stored, list[Work]], None],
        queue_ids: QueueIds,
        clock: Clock,
        emit: Emit,
        random: Callable[[], float],
    ) -> None:
        """`lookup` gives the resolver in force; `random` numbers from 0 to 1; `admit` is the queue's one door."""
        self._store = store
        self._author = author
        self._lookup = lookup
        self._post = post
        self._spool = spool
        self._admit = admit
        self._queue_ids = queue_ids
        self._clock = clock
        self._emit = emit
        self._random = random
        self._counts: dict[TlsKey, int] = {}
        self._told = ""
        self._task: asyncio.Task[None] | None = None

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
                words=_clean(outcome.words),
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
            self._faulted(error)
        else:
            self._counts.clear()

    # -- its life ------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to write and to report."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Write what is left."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.write()
        self._store.close()

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(EVERY)
            await self.round()

    async def round(self) -> None:
        """Write, plan the reports of days that have ended, send what is due."""
        self.write()
        now = self._clock.now()
        today = now // DAY
        try:
            for day, domain in self._store.unplanned(today):
                at = max((day + 1) * DAY, now - now % DAY) + round(self._random() * SPREAD * _SECOND)
                self._store.plan(TlsJob(day, domain, "", at))
            for job in self._store.due(now, _AT_ONCE):
                await self._do(job)
            self._store.expire(today - KEEP)
        except SpoolError as error:
            self._faulted(error)

    # -- reporting -----------------------------------------------------------------------------

    async def _do(self, job: TlsJob) -> None:
        if self._clock.now() // DAY > job.day + GIVE_UP:
            self._store.done(job)
        elif not job.uri:
            await self._ask(job)
        elif (mailbox := mailbox_of(job.uri)) is not None:
            await self._mail(job, mailbox)
        else:
            answer = await self._post(job.uri, self._report(job), {"Content-Type": GZIP})
            if answer.status in _OK:
                self._store.done(job)
            else:
                self._again(job)

    async def _ask(self, job: TlsJob) -> None:
        """Find out who wants the report (RFC 8460 3)."""
        answer = await self._lookup()(f"_smtp._tls.{job.domain}", "TXT")
        if answer.is_temporary:
            self._again(job)
            return
        texts = [record for record in answer.records if isinstance(record, str)]
        for uri in parse_record(texts) if answer.status is DnsStatus.FOUND else ():
            self._store.plan(TlsJob(job.day, job.domain, uri, self._clock.now()))
        self._store.done(job)

    async def _mail(self, job: TlsJob, to: Mailbox) -> None:
        now = self._clock.now()
        queue_id = self._queue_ids.new(now)
        content = compose(job.day, job.domain, self._author, to, self._report(job), now)
        submitter = self._author.submitter
        envelope = Envelope(
            id=queue_id,
            sender=NULL_PATH,
            recipients=(Recipient(to, NOTIFY_NEVER),),
            arrived=now,
            size=len(content),
            prefix=local_trace(submitter, queue_id, now),
            message_id=f"<{now}.tlsrpt.{job.domain}@{submitter}>",
            tls=TLS_OPTIONAL,
        )
        durable: asyncio.Future[SpoolError | None] = asyncio.get_running_loop().create_future()

        def done(stored: Stored, works: list[Work]) -> None:
            self._admit(stored, works)
            with suppress(asyncio.InvalidStateError):
                durable.set_result(None)

        def failed(error: SpoolError) -> None:
            with suppress(asyncio.InvalidStateError):
                durable.set_result(error)

        self._spool.put(envelope, content, done, failed)
        error = await durable
        if error is None:
            self._store.done(job)
        else:
            self._again(job)
            self._faulted(error)

    def _report(self, job: TlsJob) -> bytes:
        return packed(report_json(job.day, job.domain, self._author, self._store.counts(job.day, job.domain)))

    def _again(self, job: TlsJob) -> None:
        seconds = RETRY * 2 ** min(job.tries, 4)
        self._store.later(job, self._clock.now() + round(seconds * _SECOND))

    def _faulted(self, error: SpoolError) -> None:
        if str(error) != self._told:
            self._told = str(error)
            self._emit(SpoolFaulted(at=self._clock.now(), reason=str(error)))


def _clean(words: str) -> str:
    """Words that quote others, as they may stand in a report."""
    return "".join(sign if sign.isprintable() else "?" for sign in words[:_WORDS])
