"""The courier's shell: admit, lease, plan, deliver, settle.

Every decision is taken in the pure files beside this one. A worker is a task of the crew that holds a slot of a
lane while the lane has work. Durable first, then visible: records leave when the spool has made their
settlement durable, and until then its recipients count against the window. Work in memory is leased; each
is given back to the spool exactly once, settled or released, also when a worker is cancelled.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence

from postroad.model.outcome import Decided
from postroad.model.queueid import QueueIds
from postroad.model.records import Emit, LaneResumed, LaneSuspended
from postroad.model.route import Fallback, Route
from postroad.model.work import Stored, Work
from postroad.net.clock import Clock
from postroad.queue.alarm import Bell
from postroad.queue.books import Books, Reporting
from postroad.queue.crew import Crew
from postroad.queue.feeder import Feeder
from postroad.queue.lane import UNPLANNED, Batch, Lane, LaneState, by_lane, by_message
from postroad.queue.ready import Ready
from postroad.queue.regime import Regime
from postroad.queue.remap import Suspension, remap
from postroad.queue.retry import schedule_of
from postroad.queue.retryrules import RetryPolicy
from postroad.queue.seam import Seam
from postroad.queue.settings import QueueSettings
from postroad.queue.settle import (
    NOTHING_KNOWN,
    Known,
    Moment,
    Retries,
    divert,
    lapse,
    park,
    reason_of,
    settle,
)
from postroad.queue.shaping import Shaping
from postroad.queue.spooling import CachedPlan, Deliver, Plan, Spooling
from postroad.queue.suspensions import Stopped, Suspensions
from postroad.queue.telling import Settlement
from postroad.queue.throttle import Throttle, crowding, host_failure
from postroad.queue.times import microseconds


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
        shaping: Shaping | None = None,
        retries: Retries | None = None,
        reporting: Reporting | None = None,
        fallback_of: Callable[[str], Fallback | None] | None = None,
        suspensions: Suspensions | None = None,
    ) -> None:
        """`plan` and `cached_plan` find the route of a lane; `random` gives numbers from 0 to 1 for jitter.

        Without `retries` and `reporting` they are as `settings` has them; `fallback_of` tells the fallback of a lane.
        """
        self.suspensions = suspensions or Suspensions()
        self._spool = spool
        self._emit = emit
        self._clock = clock
        self._random = random
        self.ready = Ready(settings, shaping)
        reporting = reporting or Reporting(hostname, settings.return_size)
        self._books = Books(spool, emit, clock, queue_ids, reporting, settled=self._settled)
        regime = Regime(
            settings=settings,
            plan=plan,
            cached_plan=cached_plan,
            deliver=deliver,
            retries=retries or schedule_of(settings),
            reporting=reporting,
            shaping=shaping,
            fallback_of=fallback_of,
        )
        self._obey(regime)
        self._crew = Crew(self._work)
        self._opening = Bell(clock, self._open)
        self._stopped = asyncio.Event()
        self._stopped.set()
        self._feeder = Feeder(
            spool,
            self.ready,
            emit,
            clock,
            admit=self.admit,
            lapsed=self._lapse,
            closed=lambda now: self.suspensions.closed(self.ready.closed(now), now),
            opens=lambda now: min(self.ready.next_resume(now), self.suspensions.next_end()),
            sweep_every=regime.sweep_every,
        )

    def adopt(self, regime: Regime) -> None:
        """Go on by `regime`, from the next batch on; deliveries that run end by the one they began with."""
        self._obey(regime)
        self._books.reporting = regime.reporting
        self._feeder.sweep_every = regime.sweep_every
        now = self._clock.now()
        for lane in self.ready.adopt(regime.settings, regime.shaping, now):
            self._begin(lane, now)
        self._feeder.ring()

    def _obey(self, regime: Regime) -> None:
        self._first_pause = microseconds(regime.settings.retry[0])
        self._retries = regime.retries
        self._fallback_of = regime.fallback_of
        self._asks_lanes = regime.fallback_of is not None or isinstance(regime.retries, RetryPolicy)
        ways = (regime.plan, regime.cached_plan, regime.deliver)
        self._seam = Seam(self._spool, *ways, emit=self._emit, clock=self._clock, learn=self._learn)

    def admit(self, stored: Stored, works: list[Work]) -> None:
        """Take works of one message that the spool leased to us; on the event loop, right when they are durable."""
        if len(works) == 1:
            if not self._enter(stored, works):
                self.ready.let_content_go(stored)
            return
        entered = False
        for group in by_lane(works):
            entered |= self._enter(stored, group)
        if not entered:
            self.ready.let_content_go(stored)

    def lanes_state(self, names: Collection[str] = ()) -> list[LaneState]:
        """Every next hop that has work in memory or is known to fail, for people; with `names`, those of them."""
        return self.ready.states(self._clock.now(), names)

    async def run(self) -> None:
        """Feed the window from the spool and act on deadlines, until drained."""
        self._stopped.clear()
        try:
            await self._feeder.run()
        except asyncio.CancelledError:
            self.ready.draining = True
            self._crew.dismiss()
            self._crew.cancel()
            raise
        finally:
            self._stopped.set()

    async def drain(self, deadline_seconds: float) -> None:
        """Begin nothing new, give waiting work back to the spool, let deliveries finish until the deadline."""
        ready = self.ready
        ready.draining = True
        self._feeder.stop()
        self._opening.stop()
        self._release(ready.unload_all())
        self._crew.dismiss()
        deadline = self._clock.call_later(deadline_seconds, self._crew.cancel)
        while running := [*self._crew.running, *self._books.running]:
            await asyncio.wait(running)
        deadline.cancel()
        await self._stopped.wait()

    def _enter(self, stored: Stored, works: list[Work]) -> bool:
        """Put works of one message and one lane into the window; False when they wait in the spool instead."""
        ready = self.ready
        now = self._clock.now()
        lane = ready.lane(works[0].lane, now)
        if ready.draining:
            self._release(works)
            return False
        if lane.throttle.is_suspended(now):
            self.park(works, lane.throttle, now)
            return False
        if self.suspensions.entries and (stopped := self.suspensions.throttle(lane.name, lane.throttle.rules, now)):
            self.park(works, stopped, now)
            return False
        if not ready.has_place(lane, len(works), now):
            self._release(works)
            if ready.hungry:
                self._feeder.ring()
            return False
        stamp = self._clock.monotonic()
        for work in works:
            work.stamp = stamp
        ready.push(lane, stored, works)
        self._begin(lane, now)
        return True

    def _begin(self, lane: Lane, now: int) -> bool:
        """Put one more worker on `lane` if it may have one; a limit that opens by itself calls it later."""
        ready = self.ready
        if ready.begin(lane, now) is None:
            self._crew.start(lane)
            return True
        if ready.rations is not None:
            self._opening.ring_at(ready.rations.wake)
        return False

    async def _work(self, lane: Lane) -> None:
        """Deliver batch after batch of `lane` while it has any and this slot may be used."""
        ready = self.ready
        now = self._clock.now
        batch: Batch | None = None
        unroutable: Decided | None = None
        again = False
        try:
            if lane.shape is UNPLANNED:
                unroutable = await self._survey(lane)
                again = True
            while isinstance(leased := ready.lease(lane, now(), again=again), Batch):
                batch = leased
                again = True
                if ready.hungry:
                    self._feeder.ring()
                await self._attempt(lane, batch, unroutable)
                batch = None
                if unroutable is not None:
                    unroutable = await self._survey(lane)
                if lane.batches:
                    self._begin(lane, now())  # the window may have grown
        finally:
            ready.end(lane)
            if batch is not None:
                self._abandon(batch)
            self._call_waiting()
            if lane.batches and not lane.running:
                self._begin(lane, now())  # never leave work without a worker

    def _call_waiting(self) -> None:
        """Let lanes that stand in line go on, where there is room for them now."""
        ready = self.ready
        now = self._clock.now()
        while (turn := ready.next_in_line(now)) is not None:
            self._begin(turn, now)
        if ready.rations is not None:
            self._opening.ring_at(ready.rations.wake)

    def _open(self) -> None:
        """The time of a limit has come."""
        if self.ready.rations is not None:
            self.ready.rations.open_due(self._clock.now())
            self._call_waiting()

    async def _survey(self, lane: Lane) -> Decided | None:
        """Look the route of `lane` up, on which its limits depend, before any of its mail goes; why there is none."""
        route = await self._seam.plan(lane.name)
        if not isinstance(route, Route):
            return route
        now = self._clock.now()
        self._learn(lane, route, now)
        more = len(lane.batches) - 1
        while more > 0 and self._begin(lane, now):
            more -= 1
        return None

    def _learn(self, lane: Lane, route: Route, now: int) -> None:
        """The route of `lane` is new: what its limits do not let it hold in memory goes back to the spool."""
        ready = self.ready
        ready.learn(lane, route, now)
        if lane.throttle.is_suspended(now):
            self.park(ready.unload(lane), lane.throttle, now)
        self._release(ready.surplus(lane, now))
        if ready.rations is not None:
            self._call_waiting()  # it may have left limits that others wait for
            if ready.hungry:
                self._feeder.ring()

    def _abandon(self, batch: Batch) -> None:
        """Give back a batch whose worker was cancelled: what became of it is not known, so it is tried again."""
        if not self.ready.draining:  # a bug in settling; do not run into it without end
            later = self._clock.now() + self._first_pause
            for work in batch.works:
                work.due = later
        self._release(self._take_out(batch))

    def _take_out(self, batch: Batch) -> list[Work]:
        """The works of a batch that is being worked on, which are to leave memory."""
        self.ready.leave(batch.stored)
        self.ready.finish(len(batch.works))
        return batch.works

    async def _attempt(self, lane: Lane, batch: Batch, unroutable: Decided | None) -> None:
        """Deliver one batch and settle it; `unroutable` tells why there is no route, where that is known."""
        stored, works = batch.stored, batch.works
        retries = self._retries  # a reload in between is for the next batch
        done = await self._seam.attempt(lane, batch, unroutable)
        now = self._clock.now()
        outcomes = done.outcomes
        if type(stopped := outcomes[0]) is Stopped:
            throttle = stopped.throttle(lane.throttle.rules)
            self.park(self._take_out(batch) + self.ready.unload(lane), throttle, now)
            return
        pause: Suspension | None = None
        if lane.shape is not None and lane.shape.replies:
            outcomes, pause = remap(outcomes, lane.shape.replies)
        parts = (done.began - works[0].stamp, done.planned - done.began, done.ended - done.planned)
        moment = Moment(now, *parts, self._random())
        known = self.known(lane.name) if self._asks_lanes else NOTHING_KNOWN
        self._books.settle(stored, done.content, settle(works, outcomes, moment, retries, known))
        self.ready.leave(stored)
        if pause is not None:
            self._suspend(lane, pause, now)
        elif done.sane:
            self._judge(lane, outcomes, now)

    def _judge(self, lane: Lane, outcomes: Sequence[Decided], now: int) -> None:
        """Let the lane learn from the outcomes of one batch."""
        throttle = lane.throttle
        failure = host_failure(outcomes)
        if failure is None:
            if throttle.is_fixed and throttle.is_suspended(now):
                return  # it was under way when a rule suspended the lane
            if self.ready.rations is not None:
                self.ready.rations.succeed(lane)
            if throttle.succeed():
                self._emit(LaneResumed(at=now, lane=lane.name))
                self._feeder.ring()
            return
        reason = reason_of(failure)
        named = crowding(failure)
        if named is None:
            is_suspended = throttle.fail(now, reason, self._random())
        else:
            if self.ready.rations is not None:
                self.ready.rations.crowd(lane, named)
            is_suspended = throttle.crowd(now, lane.running, named, reason, self._random())
        if is_suspended:
            self._halt(lane, reason, now)

    def _suspend(self, lane: Lane, pause: Suspension, now: int) -> None:
        """A rule reads a reply as a wish for a pause: all lanes that share the rule keep it."""
        until = now + microseconds(pause.seconds)
        for other in self.ready.pause(lane, pause.index, until, pause.reason):
            if other.throttle.suspend(until, now, pause.reason):
                self._halt(other, pause.reason, now)

    def _halt(self, lane: Lane, reason: str, now: int) -> None:
        """`lane` has been suspended: what it holds waits in the spool."""
        self._emit(LaneSuspended(at=now, lane=lane.name, until=lane.throttle.until, reason=reason))
        self.park(self.ready.unload(lane), lane.throttle, now)
        self._feeder.ring_at(lane.throttle.until)

    def park(self, works: list[Work], throttle: Throttle, now: int) -> None:
        """Works of a suspended lane wait in the spool, as due as they were, or go on at its fallback."""
        known = self.known(works[0].lane) if works and self._fallback_of is not None else NOTHING_KNOWN
        if known.fallback is not None:
            self.ready.take(len(works))
            for group in by_message(works):
                settlement = divert(group, throttle, now, self._retries, known)
                self._books.settle(group[0].stored, group[0].stored.content, settlement)
            return
        for record in park(works, throttle, now):
            self._emit(record)
        self._release(works)

    def wake(self) -> None:
        """Look into the spool: what waits there may have changed."""
        self._feeder.ring()

    async def conclude(self, stored: Stored, settlement: Settlement) -> None:
        """Settle what was decided about works in memory, outside of a delivery, with its reports."""
        await self._books.settle_in_turn(stored, stored.content, settlement)

    def _release(self, works: list[Work]) -> None:
        if works:
            self._spool.release(works)

    def _settled(self, settlement: Settlement, count: int, reports: list[tuple[Stored, list[Work]]]) -> None:
        """A settlement is durable: what it tells becomes visible, what waits is given back, reports go their way."""
        ready = self.ready
        ready.finish(count)
        for work in settlement.pending:
            self._feeder.ring_at(work.due)
        self._release(settlement.pending)
        for record in settlement.records:
            self._emit(record)
        for stored, works in reports:
            self._books.announce(settlement, stored, works)
            self.admit(stored, works)
        if settlement.done is not None:
            settlement.done()
        if ready.hungry:
            self._feeder.ring()

    async def _lapse(self, works: list[Work]) -> None:
        """The deadline of works of one message has come while they waited."""
        await self.conclude(works[0].stored, lapse(works, self._clock.now(), self._retries, self.known))

    def known(self, lane: str) -> Known:
        """What is known of `lane`, for works of it that were put off."""
        fallback = self._fallback_of(lane) if self._fallback_of is not None else None
        return Known(self.ready.site_of(lane), fallback)
