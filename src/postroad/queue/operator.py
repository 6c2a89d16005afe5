"""The operator's hands in a running queue: orders on recipients, suspensions of next hops, sites and routes.

An order goes over what its query finds, in portions: works that wait in memory are taken out of their lanes, the
others are claimed from the spool; each portion is settled like any outcome and is durable before it is counted as
done. What is being delivered right now is waited for a little, then counted as busy. One order at a time.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final, Protocol

from msgspec import Struct

from postroad.model.errors import SpoolError
from postroad.model.outcome import Decided, Scope
from postroad.model.records import Emit, OperatorActed
from postroad.model.reply import Reply
from postroad.model.route import Route
from postroad.model.suspension import ROUTE, Suspension
from postroad.model.work import Work
from postroad.net.clock import Clock
from postroad.queue.actions import LIVELY, Order, Surroundings, carry_out
from postroad.queue.dispatcher import Dispatcher
from postroad.queue.lane import Batch, Lane, by_message
from postroad.queue.ready import Ready
from postroad.queue.spooling import Plan
from postroad.queue.suspensions import LIMIT, Stopped, Suspensions
from postroad.spool.filters import Query
from postroad.spool.listing import Count, Selected

PAGE: Final = 20_000  # recipients asked of the index at once
PORTION: Final = 500  # recipients acted upon at once, so that no order holds up the event loop for long
PATIENCE: Final = 5.0  # seconds that deliveries under way are waited for
PAUSE: Final = 0.1

Key = tuple[str, int]  # queue id and recipient


class Waiting(Protocol):
    """What the operator needs of the spool; `SpoolDesk` is one."""

    async def count(self, query: Query) -> Count:
        """How much `query` asks for."""

    async def select(self, query: Query, after: tuple[int, int], limit: int) -> list[Selected]:
        """At most `limit` recipients that `query` asks for, behind `after`."""

    def in_memory(self, queue_id: str) -> list[Work]:
        """The works of a message that somebody holds."""

    async def claim(self, wanted: Sequence[Key]) -> list[Work]:
        """Lease those of `wanted` that nobody holds."""

    def release(self, works: Sequence[Work]) -> None:
        """Let go of works as they are."""


class Tally(Struct):
    """What became of an order: recipients changed and their messages, recipients left alone, and busy ones."""

    recipients: int = 0
    messages: int = 0
    unconcerned: int = 0
    busy: int = 0


class Operator:
    """Carries orders out."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        waiting: Waiting,
        *,
        around: Surroundings,
        clock: Clock,
        emit: Emit,
        save: Callable[[Sequence[Suspension]], None],
    ) -> None:
        """`save` keeps the suspensions for the next start; it may take its time, on a thread."""
        self.suspensions = dispatcher.suspensions
        self._dispatcher = dispatcher
        self._waiting = waiting
        self._around = around
        self._clock = clock
        self._emit = emit
        self._save = save
        self._one = asyncio.Lock()

    def adopt(self, around: Surroundings) -> None:
        """Go on with what another configuration says about the queue."""
        self._around = around

    async def count(self, query: Query) -> Count:
        """How much `query` asks for."""
        return await self._waiting.count(query)

    async def act(self, order: Order, selection: str, progress: Callable[[Tally], Awaitable[None]]) -> Tally:
        """Carry `order` out, telling of progress; `selection` is its query in words for the record."""
        async with self._one:
            tally = Tally()
            ids: set[str] = set()
            try:
                await self._act(order, tally, ids, progress)
            finally:
                tally.messages = len(ids)
                self._tell(order, selection, tally)
            return tally

    def _tell(self, order: Order, selection: str, tally: Tally) -> None:
        self._emit(
            OperatorActed(
                at=self._clock.now(),
                action=order.action,
                by=order.by,
                uid=order.uid,
                selection=selection,
                recipients=tally.recipients,
                messages=tally.messages,
                busy=tally.busy,
                reason=order.reason,
            )
        )
        self._dispatcher.wake()

    async def _act(
        self, order: Order, tally: Tally, ids: set[str], progress: Callable[[Tally], Awaitable[None]]
    ) -> None:
        busy: list[Key] = []
        after = (0, -1)
        while page := await self._waiting.select(order.query, after, PAGE):
            after = page[-1][:2]
            for start in range(0, len(page), PORTION):
                keys = [(one.id, one.idx) for one in page[start : start + PORTION]]
                busy += await self._portion(order, keys, tally, ids)
                await progress(tally)
            if len(page) < PAGE:
                break
        until = self._clock.monotonic() + PATIENCE
        while busy and self._clock.monotonic() < until:
            await self._clock.sleep(PAUSE)
            left: list[Key] = []
            for start in range(0, len(busy), PORTION):
                left += await self._portion(order, busy[start : start + PORTION], tally, ids)
            busy = left
        tally.busy = len(busy)

    async def _portion(self, order: Order, keys: list[Key], tally: Tally, ids: set[str]) -> list[Key]:
        """Act on those of `keys` that nobody is delivering; the others."""
        wanted = set(keys)
        works = self._withdraw(wanted)
        taken = {(work.stored.id, work.index) for work in works}
        left = [key for key in keys if key not in taken]
        if left:
            claimed = await self._waiting.claim(left)
            self._dispatcher.ready.take(len(claimed))
            works += claimed
            taken.update((work.stored.id, work.index) for work in claimed)
        try:
            await self._carry_out(order, works, tally, ids)
        finally:
            busy = [key for key in keys if key not in taken and self._is_held(key)]
        return busy

    def _is_held(self, key: Key) -> bool:
        return any(work.index == key[1] and not work.status.is_final for work in self._waiting.in_memory(key[0]))

    def _withdraw(self, wanted: set[Key]) -> list[Work]:
        """Take those works out of their lanes that wait there."""
        ready = self._dispatcher.ready
        lanes: set[str] = set()
        for queue_id in {key[0] for key in wanted}:
            lanes.update(work.lane for work in self._waiting.in_memory(queue_id) if (queue_id, work.index) in wanted)
        return [work for name in lanes for work in withdraw(ready, ready.lane(name), wanted)]

    async def _carry_out(self, order: Order, works: list[Work], tally: Tally, ids: set[str]) -> None:
        """Settle the order for works that are ours, and wait until that is durable."""
        dispatcher = self._dispatcher
        now = self._clock.now()
        passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = 1

        def done() -> None:
            nonlocal waiting
            waiting -= 1
            if not waiting and not passed.done():
                passed.set_result(None)

        for group in by_message(works):
            settlement, others = carry_out(order, group, now, self._around)
            if others:
                dispatcher.ready.finish(len(others))
                self._waiting.release(others)
                tally.unconcerned += len(others)
            if settlement.changes:
                waiting += 1
                settlement.done = done
                await dispatcher.conclude(group[0].stored, settlement)
                tally.recipients += len(settlement.changes)
                ids.add(group[0].stored.id)
        if order.action in LIVELY:
            self._probe({work.lane for work in works}, now)  # where they are now
        done()
        await passed

    def _probe(self, lanes: set[str], now: int) -> None:
        """Who asks for a try now does not want to wait for the end of a next hop's pause."""
        for name in lanes:
            throttle = self._dispatcher.ready.lane(name).throttle
            if throttle.is_suspended(now):
                throttle.until = now

    # Suspensions

    async def suspend(self, one: Suspension, uid: int) -> list[str]:
        """Stop what `one` says; the lanes with mail in memory that this stopped."""
        async with self._one:
            suspensions, ready = self.suspensions, self._dispatcher.ready
            now = self._clock.now()
            suspensions.expire(now)
            if len(suspensions.entries) >= LIMIT:
                raise SpoolError(f"{LIMIT} suspensions are in force, no more are kept; end some first")
            before = suspensions.listed()
            suspensions.add(one)
            if one.kind == ROUTE:
                await self._note_routes(now)
            await self._keep(before)
            stopped = []
            for state in ready.states(now):
                lane = ready.lane(state.name)
                throttle = suspensions.throttle(lane.name, lane.throttle.rules, now)
                if throttle is not None:
                    self._dispatcher.park(ready.unload(lane), throttle, now)
                    stopped.append(lane.name)
            self._tell_of("suspend", one, uid)
            self._dispatcher.wake()
            return stopped

    async def _note_routes(self, now: int) -> None:
        """Have it told where routes send what waits in memory; what waits in the spool tells when it is fetched."""
        ready, looked = self._dispatcher.ready, 0
        for state in ready.states(now):
            for work in [work for batch in ready.lane(state.name).batches for work in batch.works]:
                if self.suspensions.of(state.name, now) is not None:
                    break
                self._around.placed(work.stored.envelope, work.stored.envelope.recipients[work.index])
                looked += 1
                if looked % PORTION == 0:
                    await self._clock.sleep(0)

    async def resume(self, kind: str, name: str, by: str, uid: int) -> list[Suspension]:
        """End suspensions; which they were."""
        async with self._one:
            before = self.suspensions.listed()
            ended = self.suspensions.remove(kind, name)
            if ended:
                await self._keep(before)
            for one in ended:
                self._tell_of("resume", Suspension(one.kind, one.name, one.until, by, self._clock.now()), uid)
            self._dispatcher.wake()
            return ended

    def delivering(self, queue_ids: Collection[str]) -> list[Key]:
        """The recipients of these messages that are in memory and wait in no lane."""
        works = [
            (queue_id, work)
            for queue_id in queue_ids
            for work in self._waiting.in_memory(queue_id)
            if not work.status.is_final
        ]
        asked = frozenset(queue_ids)
        lanes = (self._dispatcher.ready.find(name) for name in {work.lane for _, work in works})
        waiting = {
            (batch.stored.id, work.index)
            for lane in lanes
            for batch in (lane.batches if lane is not None else ())
            if batch.stored.id in asked
            for work in batch.works
        }
        return sorted(key for queue_id, work in works if (key := (queue_id, work.index)) not in waiting)

    def in_force(self) -> list[Suspension]:
        """Every suspension that has not ended."""
        now = self._clock.now()
        return [one for one in self.suspensions.listed() if one.until > now]

    async def _keep(self, before: list[Suspension]) -> None:
        """Keep what is in force for the next start; when that fails, what was in force `before` is again."""
        entries = self.suspensions.listed()
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._save, entries)
        except SpoolError:
            self.suspensions.restore(before)
            raise

    def _tell_of(self, action: str, one: Suspension, uid: int) -> None:
        selection = f"{one.kind} {one.name}"
        self._emit(
            OperatorActed(
                at=self._clock.now(), action=action, by=one.by, uid=uid, selection=selection, reason=one.reason
            )
        )


def withdraw(ready: Ready, lane: Lane, wanted: set[Key]) -> list[Work]:
    """Take works out of a lane where they wait; they stay in memory, to be settled or given back."""
    taken: list[Work] = []
    kept: deque[Batch] = deque()
    for batch in lane.batches:
        mine = [work for work in batch.works if (work.stored.id, work.index) in wanted]
        if mine:
            taken += mine
            batch.works = [work for work in batch.works if (work.stored.id, work.index) not in wanted]
        if batch.works:
            kept.append(batch)
        else:
            ready.leave(batch.stored)
    if taken:
        lane.batches = kept
        ready.let_go(lane, len(taken))
    return taken


def watched(plan: Plan, suspensions: Suspensions, now: Callable[[], int]) -> Plan:
    """`plan`, telling `suspensions` of sites; the mail of a site that is suspended is stopped, also the first of it."""

    async def planned(lane: str) -> Route | Decided:
        route = await plan(lane)
        if isinstance(route, Route) and route.site:
            suspensions.note_site(lane, route.site)
            stopped = suspensions.of(lane, now()) if suspensions.entries else None
            if stopped is not None:
                return Stopped(Reply(451, "4.3.2", stopped.words), Scope.NEXT_HOP, suspension=stopped)
        return route

    return planned
