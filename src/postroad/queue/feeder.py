"""What keeps the window filled from the spool, and acts on deadlines while mail waits.

Two loops that sleep until somebody rings or a known time comes; a fault of the spool is told once, and tried again
after growing pauses, however often somebody rings meanwhile.
Nothing is asked of the spool for lanes that may not hold more.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from postroad.model.errors import SpoolError
from postroad.model.records import Emit
from postroad.model.work import Stored, Work
from postroad.net.clock import Clock
from postroad.queue.alarm import Alarm
from postroad.queue.lane import by_message
from postroad.queue.ready import Ready
from postroad.queue.spooling import Spooling
from postroad.queue.times import microseconds
from postroad.queue.trouble import Trouble

CHUNK: Final = 500  # recipients asked of the spool at once, so that no answer holds up the event loop for long
SHORTEST_PAUSE: Final = 0.05  # between two looks into the spool that found nothing
FEEDING: Final = "feeding"
KEEPING: Final = "keeping"
TIDY_PAUSE: Final = 1.0  # between two house-keepings while the spool has no room, which they may give back


class Feeder:
    """Feeds one window. `sweep_every` is how often, in seconds, deadlines are looked at."""

    def __init__(  # noqa: PLR0913  # its neighbours, as plain callables
        self,
        spool: Spooling,
        ready: Ready,
        emit: Emit,
        clock: Clock,
        *,
        admit: Callable[[Stored, list[Work]], None],
        lapsed: Callable[[list[Work]], Awaitable[None]],
        closed: Callable[[int], Collection[str]],
        opens: Callable[[int], int],
        sweep_every: float,
    ) -> None:
        """`admit` takes works of one message that are due, `lapsed` those whose deadline has come; all are leased.

        `closed` tells the lanes for which nothing is to be fetched at a time, `opens` when the first of them opens.
        """
        self._spool = spool
        self._ready = ready
        self._clock = clock
        self._admit = admit
        self._lapsed = lapsed
        self._closed = closed
        self._opens = opens
        self.sweep_every = sweep_every
        self._trouble = Trouble(emit)
        self._feeding = Alarm(clock)
        self._keeping = Alarm(clock)
        spool.when_full(self._keeping.ring)

    def ring(self) -> None:
        """Look into the spool now."""
        self._feeding.ring()

    def ring_at(self, at: int) -> None:
        """Look into the spool at `at`, in microseconds since 1970, or earlier."""
        self._feeding.ring_at(at)

    def stop(self) -> None:
        """Wake both loops, to see that the window is being drained."""
        self._feeding.ring()
        self._keeping.ring()

    async def run(self) -> None:
        """Feed and keep house until the window is drained."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._feed())
            group.create_task(self._keep_house())

    async def _feed(self) -> None:
        """Keep the window filled with what is due in the spool."""
        ready = self._ready
        clock = self._clock
        again = 0
        while not ready.draining:
            if clock.now() >= again:
                again = await self._feed_once()
            else:
                self._feeding.ring_at(again)
            await self._feeding.wait()

    async def _feed_once(self) -> int:
        """Look into the spool; before which time not to look again."""
        clock = self._clock
        try:
            await self._refill()
            now = clock.now()
            # Both of one instant: a lane that opens while the spool is asked would else be in neither answer.
            closed, opens = self._closed(now), self._opens(now)
            due = await self._spool.next_due(closed)
        except SpoolError as error:
            again = self._trouble.failed(FEEDING, str(error), clock.now())
            self._feeding.ring_at(again)
            return again
        now = clock.now()
        self._trouble.passed(FEEDING, now)
        if due is not None:
            self._feeding.ring_at(max(due, now + microseconds(SHORTEST_PAUSE)))
        self._feeding.ring_at(opens)
        return 0

    async def _refill(self) -> None:
        ready = self._ready
        ready.hungry = False
        while not ready.draining:
            room = ready.room
            if room <= 0:
                ready.mark_full()
                return
            now = self._clock.now()
            works = await self._spool.lease(min(room, CHUNK), now, self._closed(now))
            if not works:
                return
            for group in by_message(works):
                self._admit(group[0].stored, group)

    async def _keep_house(self) -> None:
        """Act on deadlines that come while mail waits, and let the spool tidy up, at once when it has no room."""
        while not self._ready.draining:
            try:
                await self._sweep()
                await self._spool.maintain()
                self._trouble.passed(KEEPING, self._clock.now())
            except SpoolError as error:
                self._trouble.failed(KEEPING, str(error), self._clock.now())
            now = self._clock.now()
            self._ready.forget_idle(now)
            pause = self.sweep_every if self._spool.has_room() else min(self.sweep_every, TIDY_PAUSE)
            self._keeping.ring_at(now + microseconds(pause))
            await self._keeping.wait()

    async def _sweep(self) -> None:
        """Give up or warn where time has run out."""
        ready = self._ready
        while not ready.draining and ready.room > 0:
            now = self._clock.now()
            works = await self._spool.lapsed(min(ready.room, CHUNK), now)
            ready.take(len(works))
            for group in by_message(works):
                await self._lapsed(group)
            if len(works) < CHUNK:
                return
