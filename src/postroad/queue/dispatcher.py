"""The courier's shell: admit, refill, lease, deliver, settle. The only file of the queue that awaits.

Every decision is taken in the pure files beside this one. A worker is a task of the crew that holds a slot of a
lane while the lane has work. Durable first, then visible: records leave when the spool has made their
settlement durable, and until then its recipients count against the window. Work in memory is leased; each
is given back to the spool exactly once, settled or released, also when a worker is cancelled.
"""

import asyncio
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from postroad.message.dsn import Report
from postroad.message.headers import header_section
from postroad.model.content import Content
from postroad.model.envelope import Envelope
from postroad.model.errors import SpoolError
from postroad.model.outcome import Deferred, Outcome, Scope
from postroad.model.queueid import QueueIds
from postroad.model.records import (
    DeliveryFaulted,
    DsnQueued,
    Emit,
    LaneResumed,
    LaneSuspended,
    SpoolFaulted,
)
from postroad.model.reply import Reply
from postroad.model.route import Route
from postroad.model.work import Stored, Work
from postroad.net.clock import Clock
from postroad.queue.alarm import Alarm
from postroad.queue.crew import Crew
from postroad.queue.ready import Batch, Lane, LaneState, Ready, by_lane, by_message
from postroad.queue.report import build, kind_of, returns_content
from postroad.queue.retry import microseconds, schedule_of
from postroad.queue.settings import QueueSettings
from postroad.queue.settle import Moment, Settlement, lapse, park, reason_of, settle
from postroad.queue.spooling import CachedPlan, Deliver, Plan, Spooling
from postroad.queue.suspensions import Suspensions
from postroad.queue.throttle import Throttle, host_failure

CHUNK: Final = 500  # recipients asked of the spool at once, so that no answer holds up the event loop for long
HEADER_LIMIT: Final = 64 << 10  # octets of a large message that are searched for its header section
SHORTEST_PAUSE: Final = 0.05  # between two looks into the spool that found nothing
FAULT_PAUSE: Final = 1.0  # after a fault of the spool
LONGEST_SWEEP: Final = 60.0  # between two looks for deadlines
_UNREADABLE: Final = Reply(451, "4.3.0", "the content cannot be read from the spool")
_FAULT: Final = Reply(451, "4.3.0", "internal error while delivering")


class Dispatcher:
    """Moves accepted mail from the spool to next hops; `admit` is the one door into the queue."""

    def __init__(  # noqa: PLR0913  # the composition root passes every neighbour as a plain callable
        self,
        *,
        spool: Spooling,
        plan: Plan,
        cached_plan: CachedPlan,
        deliver: Deliver,
        emit: Emit,
        clock: Clock,
        settings: QueueSettings,
        hostname: str,
        queue_ids: QueueIds,
        random: Callable[[], float],
        suspensions: Suspensions | None = None,
    ) -> None:
        """`plan` and `cached_plan` find the route of a lane; `random` gives numbers from 0 to 1 for jitter."""
        self.suspensions = suspensions or Suspensions()
        self._spool = spool
        self._plan = plan
        self._cached_plan = cached_plan
        self._deliver = deliver
        self._emit = emit
        self._clock = clock
        self._hostname = hostname
        self._queue_ids = queue_ids
        self._random = random
        self._return_size = settings.return_size
        self._schedule = schedule_of(settings)
        self._ready = self.ready = Ready(settings)
        self._crew = Crew(self._work)
        self._reporters: set[asyncio.Task[None]] = set()
        self._feeding = Alarm(clock)
        self._keeping = Alarm(clock)
        self._stopped = asyncio.Event()
        self._stopped.set()
        self._sweep_every = max(0.5, min(LONGEST_SWEEP, settings.expire_after / 10, settings.warn_after / 10))

    def admit(self, stored: Stored, works: list[Work]) -> None:
        """Take works of one message that the spool leased to us; on the event loop, right when they are durable."""
        if len(works) == 1:
            if not self._enter(stored, works):
                stored.content = None
            return
        entered = False
        for group in by_lane(works):
            entered |= self._enter(stored, group)
        if not entered:
            stored.content = None

    def lanes_state(self) -> list[LaneState]:
        """Every next hop that has work in memory or is known to fail, for people."""
        return self._ready.states(self._clock.now())

    async def run(self) -> None:
        """Feed the window from the spool and act on deadlines, until drained."""
        self._stopped.clear()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._feed())
                group.create_task(self._keep_house())
        except asyncio.CancelledError:
            self._ready.draining = True
            self._crew.dismiss()
            self._crew.cancel()
            raise
        finally:
            self._stopped.set()

    async def drain(self, deadline_seconds: float) -> None:
        """Begin nothing new, give waiting work back to the spool, let deliveries finish until the deadline."""
        ready = self._ready
        ready.draining = True
        self._feeding.ring()
        self._keeping.ring()
        self._release(ready.unload_all())
        self._crew.dismiss()
        deadline = self._clock.call_later(deadline_seconds, self._crew.cancel)
        while running := [*self._crew.running, *(task for task in self._reporters if not task.done())]:
            await asyncio.wait(running)
        deadline.cancel()
        await self._stopped.wait()

    def _enter(self, stored: Stored, works: list[Work]) -> bool:
        """Put works of one message and one lane into the window; False when they wait in the spool instead."""
        ready = self._ready
        clock = self._clock
        lane = ready.lane(works[0].lane)
        now = clock.now()
        if ready.draining:
            self._release(works)
            return False
        if lane.throttle.is_suspended(now):
            self.park(works, lane.throttle, now)
            return False
        if self.suspensions.entries and (stopped := self.suspensions.throttle(lane.name, lane.throttle.rules, now)):
            self.park(works, stopped, now)
            return False
        if not ready.has_place(lane, len(works)):
            self._release(works)
            if ready.hungry:
                self._feeding.ring()
            return False
        stamp = clock.monotonic()
        for work in works:
            work.stamp = stamp
        ready.push(lane, stored, works)
        if ready.begin(lane, now) is None:
            self._crew.start(lane)
        return True

    async def _work(self, lane: Lane) -> None:
        """Deliver batch after batch of `lane` while it has any and this slot may be used."""
        ready = self._ready
        now = self._clock.now
        batch: Batch | None = None
        again = False
        try:
            while isinstance(leased := ready.lease(lane, now(), again=again), Batch):
                batch = leased
                again = True
                if ready.hungry:
                    self._feeding.ring()
                await self._attempt(lane, batch)
                batch = None
                if lane.batches and ready.begin(lane, now()) is None:
                    self._crew.start(lane)  # the window has grown
        finally:
            ready.end(lane)
            if batch is not None:
                self._abandon(batch)
            while (turn := ready.next_in_line()) is not None:
                if ready.begin(turn, now()) is None:
                    self._crew.start(turn)
            if lane.batches and not lane.running and ready.begin(lane, now()) is None:
                self._crew.start(lane)  # never leave work without a worker

    def _abandon(self, batch: Batch) -> None:
        """Give back a batch whose worker was cancelled: what became of it is not known, so it is tried again."""
        if not self._ready.draining:  # a bug in settling; do not run into it without end
            later = self._clock.now() + self._schedule.pauses[0]
            for work in batch.works:
                work.due = later
        self._ready.leave(batch.stored)
        self._ready.finish(len(batch.works))
        self._release(batch.works)

    async def _attempt(self, lane: Lane, batch: Batch) -> None:
        """Deliver one batch and settle it."""
        clock = self._clock
        works = batch.works
        stored = batch.stored
        began = planned = clock.monotonic()
        content = stored.content
        sane = False  # a fault of our own tells nothing about the next hop
        try:
            route = self._cached_plan(lane.name) or await self._plan(lane.name)
            planned = clock.monotonic()
            if isinstance(route, Route):
                if content is None:
                    content = await self._spool.body(stored)
                outcomes = await self._deliver(route, works, content)
            else:
                outcomes = [route] * len(works)
            if len(outcomes) != len(works):
                raise ValueError(f"{len(outcomes)} outcomes for {len(works)} recipients")
            sane = True
        except SpoolError as error:
            self._emit(SpoolFaulted(at=clock.now(), reason=str(error)))
            outcomes = [Deferred(_UNREADABLE, Scope.MESSAGE)] * len(works)
        except Exception:  # noqa: BLE001  # the delivery seam: a bug defers this batch and stops nothing else
            self._emit(DeliveryFaulted(at=clock.now(), lane=lane.name, detail=traceback.format_exc()))
            outcomes = [Deferred(_FAULT, Scope.MESSAGE)] * len(works)
        now = clock.now()
        moment = Moment(now, began - works[0].stamp, planned - began, clock.monotonic() - planned, self._random())
        settlement = settle(works, outcomes, moment, self._schedule)
        if settlement.notices:
            self._report(stored, content, settlement)
        else:
            self._settle(settlement, len(works))
        self._ready.leave(stored)
        if sane:
            self._judge(lane, outcomes, now)

    def _judge(self, lane: Lane, outcomes: list[Outcome], now: int) -> None:
        """Let the lane learn from the outcomes of one batch."""
        throttle = lane.throttle
        failure = host_failure(outcomes)
        if failure is None:
            if throttle.succeed():
                self._emit(LaneResumed(at=now, lane=lane.name))
                self._feeding.ring()
            return
        reason = reason_of(failure)
        if throttle.fail(now, reason, self._random()):
            self._emit(LaneSuspended(at=now, lane=lane.name, until=throttle.until, reason=reason))
            self.park(self._ready.unload(lane), throttle, now)
            self._feeding.ring_at(throttle.until)

    def park(self, works: list[Work], throttle: Throttle, now: int) -> None:
        """Let works of a suspended lane wait in the spool, with their due time: next in order when it is open again."""
        for record in park(works, throttle, now):
            self._emit(record)
        self._release(works)

    def wake(self) -> None:
        """Look into the spool: what waits there may have changed."""
        self._feeding.ring()

    async def conclude(self, stored: Stored, settlement: Settlement) -> None:
        """Settle what was decided about works in memory, outside of a delivery, with its reports."""
        if settlement.notices:
            await self._fetch_and_send(stored, stored.content, settlement)
        else:
            self._settle(settlement, len(settlement.changes))

    def _release(self, works: list[Work]) -> None:
        if works:
            self._spool.release(works)

    def _report(self, stored: Stored, content: Content | None, settlement: Settlement) -> None:
        """Settle with a report to the sender; in a task of its own where the original must be read first."""
        if isinstance(content, bytes):
            full = returns_content(stored.envelope, settlement.notices, self._return_size)
            self._send(stored, settlement, content if full else header_section(content), full=full)
            return
        # Not in the worker: its cancellation must not lose outcomes that are known already.
        reporter = asyncio.create_task(self._fetch_and_send(stored, content, settlement))
        self._reporters.add(reporter)
        reporter.add_done_callback(self._reporters.discard)

    async def _fetch_and_send(self, stored: Stored, content: Content | None, settlement: Settlement) -> None:
        full = returns_content(stored.envelope, settlement.notices, self._return_size)
        original = b""
        try:
            if content is None:
                content = await self._spool.body(stored)
            if not isinstance(content, bytes):
                content = await content.read(0, content.size if full else HEADER_LIMIT)
            original = content
        except SpoolError as error:
            self._emit(SpoolFaulted(at=self._clock.now(), reason=str(error)))
            full = False  # a report without the original is better than none
        self._send(stored, settlement, original if full else header_section(original), full=full)

    def _send(self, stored: Stored, settlement: Settlement, original: bytes, *, full: bool) -> None:
        envelope = stored.envelope
        now = self._clock.now()
        prefixed = envelope.prefix.encode() + original if original else b""
        report = Report(
            id=self._queue_ids.new(now),
            hostname=self._hostname,
            now=now,
            envelope=envelope,
            notices=tuple(settlement.notices),
            original=prefixed,
            full=full,
        )
        self._settle(settlement, len(settlement.changes), [build(report)])

    def _settle(self, settlement: Settlement, count: int, reports: Sequence[tuple[Envelope, bytes]] = ()) -> None:
        """Make decisions durable; what they tell becomes visible afterwards."""
        self._spool.settle(settlement.changes, reports, partial(self._settled, settlement, count))

    def _settled(self, settlement: Settlement, count: int, reports: list[tuple[Stored, list[Work]]]) -> None:
        ready = self._ready
        emit = self._emit
        ready.finish(count)
        for work in settlement.pending:
            self._feeding.ring_at(work.due)
        self._release(settlement.pending)
        for record in settlement.records:
            emit(record)
        for stored, works in reports:
            original = settlement.changes[0].work.stored.envelope
            to = original.sender.text
            kind = kind_of(settlement.notices)
            emit(DsnQueued(at=stored.envelope.arrived, id=original.id, report=stored.id, kind=kind, to=to))
            self.admit(stored, works)
        if settlement.done is not None:
            settlement.done()
        if ready.hungry:
            self._feeding.ring()

    async def _feed(self) -> None:
        """Keep the window filled with what is due in the spool."""
        ready = self._ready
        clock = self._clock
        while not ready.draining:
            try:
                await self._refill()
                due = await self._spool.next_due(self.suspensions.closed(ready.closed(clock.now()), clock.now()))
            except SpoolError as error:
                self._emit(SpoolFaulted(at=clock.now(), reason=str(error)))
                due = clock.now() + microseconds(FAULT_PAUSE)
            now = clock.now()
            if due is not None:
                self._feeding.ring_at(max(due, now + microseconds(SHORTEST_PAUSE)))
            resume = ready.next_resume(now)
            if resume is not None:
                self._feeding.ring_at(resume)
            self._feeding.ring_at(self.suspensions.next_end())
            await self._feeding.wait()

    async def _refill(self) -> None:
        ready = self._ready
        ready.hungry = False
        while not ready.draining:
            room = ready.room
            if room <= 0:
                ready.mark_full()
                return
            now = self._clock.now()
            works = await self._spool.lease(min(room, CHUNK), now, self.suspensions.closed(ready.closed(now), now))
            if not works:
                return
            for group in by_message(works):
                self.admit(group[0].stored, group)

    async def _keep_house(self) -> None:
        """Act on deadlines that come while mail waits, and let the spool tidy up."""
        while not self._ready.draining:
            try:
                await self._sweep()
                await self._spool.maintain()
            except SpoolError as error:
                self._emit(SpoolFaulted(at=self._clock.now(), reason=str(error)))
            now = self._clock.now()
            self._ready.forget_idle(now)
            self._keeping.ring_at(now + microseconds(self._sweep_every))
            await self._keeping.wait()

    async def _sweep(self) -> None:
        """Give up or warn where time has run out."""
        ready = self._ready
        while not ready.draining and ready.room > 0:
            now = self._clock.now()
            works = await self._spool.lapsed(min(ready.room, CHUNK), now)
            ready.take(len(works))
            for group in by_message(works):
                await self.conclude(group[0].stored, lapse(group, now, self._schedule))
            if len(works) < CHUNK:
                return
