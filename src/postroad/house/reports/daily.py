"""Reports of a day, sent to whom it concerns: planned when the day has ended, sent once, tried again for a while.

A report of a day in UTC is sent hours after its end, at a random instant that a restart does not change (RFC 8460 4.1).
Killed between sending and noting it, we send a report twice, under the same id. Only the process with the queue does
this, so there is one sender however many edges there are.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import ClassVar, Final, Protocol

from msgspec import Struct

from postroad.message.dsn import local_trace
from postroad.model.address import NULL_PATH, Mailbox
from postroad.model.envelope import NOTIFY_NEVER, Envelope, Recipient
from postroad.model.errors import SpoolError
from postroad.model.queueid import QueueIds
from postroad.model.records import Emit, Record, ReportNotSent, ReportSent, SpoolFaulted
from postroad.model.reportjob import DAY, ReportJob, day_text
from postroad.model.work import Stored, Work
from postroad.net.clock import Clock
from postroad.queue.announce import Putting

EVERY: Final = 60.0  # seconds between two looks for what is due
_FIRST: Final = 2.0  # seconds until the first
_PATIENCE: Final = 30.0  # seconds within which DNS tells whom a report goes to
SPREAD: Final = 4 * 3600.0  # seconds after midnight within which reports are sent
RETRY: Final = 900.0  # seconds, and longer each time
GIVE_UP: Final = 2  # days after the one reported
KEEP: Final = 4  # days
_AT_ONCE: Final = 50
_SECOND: Final = 1_000_000


class Ledger(Protocol):
    """Which reports are due, on disk; each call may raise SpoolError."""

    def unplanned(self, before: int) -> list[tuple[int, str]]:
        """Days before the day `before` and domains whose reports nobody has planned yet."""

    def plan(self, job: ReportJob) -> None:
        """A report is due; one that is planned already stays as it is."""

    def due(self, now: int, most: int) -> list[ReportJob]:
        """Reports that are due."""

    def later(self, job: ReportJob, at: int) -> None:
        """It did not work; try it again."""

    def done(self, job: ReportJob) -> None:
        """It is sent, or given up."""

    def expire(self, before: int) -> None:
        """Forget days before the day `before`."""

    def close(self) -> None:
        """Let go of the file."""


class Outbox(Struct, frozen=True):
    """How reports leave by our own queue; `admit` is its one door."""

    spool: Putting
    admit: Callable[[Stored, list[Work]], None]
    queue_ids: QueueIds


class Letter(Struct, frozen=True):
    """A report as mail: `tls` is what its way asks of TLS."""

    to: Mailbox
    content: bytes
    message_id: str
    tls: str = ""


class Sent(Struct, frozen=True):
    """What became of a report: it left, or the `reason` why not; unless it is `over`, it is tried again."""

    reason: str = ""
    over: bool = False


class Faults:
    """What went wrong at the disk, told when it is another thing than the last time."""

    def __init__(self, emit: Emit, clock: Clock) -> None:
        """Nothing went wrong yet."""
        self._emit = emit
        self._clock = clock
        self._told = ""

    def tell(self, error: SpoolError) -> None:
        """Tell of it, once."""
        if str(error) != self._told:
            self._told = str(error)
            self._emit(SpoolFaulted(at=self._clock.now(), reason=str(error)))


class DailyReports(ABC):
    """One kind of report: whoever derives from this knows whom it concerns, and what is in it.

    `kind` is its name in records.
    """

    kind: ClassVar[str]

    def __init__(
        self,
        ledger: Ledger,
        submitter: str,
        *,
        outbox: Outbox,
        clock: Clock,
        emit: Emit,
        random: Callable[[], float],
    ) -> None:
        """`submitter` is our domain; `random` gives numbers from 0 to 1."""
        self._ledger = ledger
        self._submitter = submitter
        self._outbox = outbox
        self._clock = clock
        self._emit = emit
        self._random = random
        self.faults = Faults(emit, clock)
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    def write(self) -> None:
        """Write what was counted; when that fails it stays, for the next time."""

    @abstractmethod
    async def addressees(self, job: ReportJob) -> Sequence[str] | None:
        """The URIs that want the report; None when that cannot be told for now."""

    @abstractmethod
    async def deliver(self, job: ReportJob) -> Sent:
        """Send the report to its URI."""

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
        self._ledger.close()

    async def _run(self) -> None:
        await self._clock.sleep(_FIRST)  # what is due from before leaves soon
        while True:
            await self.round()
            await self._clock.sleep(EVERY)

    async def round(self) -> None:
        """Write, plan the reports of days that have ended, send what is due."""
        self.write()
        now = self._clock.now()
        today = now // DAY
        try:
            for day, domain in self._ledger.unplanned(today):
                at = max((day + 1) * DAY, now - now % DAY) + round(self._random() * SPREAD * _SECOND)
                self._ledger.plan(ReportJob(day, domain, "", at))
            for _ in range(2):  # whom reports go to, then the reports
                await self._do(self._ledger.due(self._clock.now(), _AT_ONCE))
            self._ledger.expire(today - KEEP)
        except SpoolError as error:
            self.faults.tell(error)

    # -- reporting -----------------------------------------------------------------------------

    async def _do(self, jobs: list[ReportJob]) -> None:
        """Whom reports go to is asked side by side: domains whose DNS is slow do not keep others waiting."""
        today = self._clock.now() // DAY
        late = [job for job in jobs if today > job.day + GIVE_UP]
        asking = [job for job in jobs if job not in late and not job.uri]
        found = await asyncio.gather(*map(self._find_out, asking))
        for job, uris in zip(asking, found, strict=True):
            for uri in uris or ():
                self._ledger.plan(ReportJob(job.day, job.domain, uri, self._clock.now()))
            self._settle(job, is_done=uris is not None)
        for job in late:
            self._tell(job, Sent(f"{GIVE_UP} days have passed", over=True))
            self._settle(job, is_done=True)
        for job in jobs:
            if job not in late and job.uri:
                sent = await self.deliver(job)
                self._tell(job, sent)
                self._settle(job, is_done=sent.over or not sent.reason)

    async def _find_out(self, job: ReportJob) -> Sequence[str] | None:
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self.addressees(job)
        except TimeoutError:
            return None

    def _tell(self, job: ReportJob, sent: Sent) -> None:
        now, day = self._clock.now(), day_text(job.day)
        if sent.reason:
            told: Record = ReportNotSent(
                at=now, kind=self.kind, domain=job.domain, day=day, uri=job.uri, reason=sent.reason, is_over=sent.over
            )
        else:
            told = ReportSent(at=now, kind=self.kind, domain=job.domain, day=day, uri=job.uri)
        self._emit(told)

    def _settle(self, job: ReportJob, *, is_done: bool) -> None:
        if is_done:
            self._ledger.done(job)
        else:
            seconds = RETRY * 2 ** min(job.tries, 4)
            self._ledger.later(job, self._clock.now() + round(seconds * _SECOND))

    async def mail(self, letter: Letter) -> Sent:
        """Put a report into the queue."""
        error = await put_letter(self._outbox, self._submitter, letter, self._clock.now())
        if error is None:
            return Sent()
        self.faults.tell(error)
        return Sent(str(error))


async def put_letter(outbox: Outbox, submitter: str, letter: Letter, now: int) -> SpoolError | None:
    """Put a report of the domain `submitter` into the queue; what went wrong when it could not be made durable."""
    queue_id = outbox.queue_ids.new(now)
    envelope = Envelope(
        id=queue_id,
        sender=NULL_PATH,
        recipients=(Recipient(letter.to, NOTIFY_NEVER),),
        arrived=now,
        size=len(letter.content),
        prefix=local_trace(submitter, queue_id, now),
        message_id=letter.message_id,
        tls=letter.tls,
    )
    durable: asyncio.Future[SpoolError | None] = asyncio.get_running_loop().create_future()

    def done(stored: Stored, works: list[Work]) -> None:
        outbox.admit(stored, works)
        with suppress(asyncio.InvalidStateError):
            durable.set_result(None)

    def failed(error: SpoolError) -> None:
        with suppress(asyncio.InvalidStateError):
            durable.set_result(error)

    outbox.spool.put(envelope, letter.content, done, failed)
    return await durable
