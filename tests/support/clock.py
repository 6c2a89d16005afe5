"""A clock driven by hand: time stands still until a test advances it.

`advance` runs due callbacks and wakes sleepers at their exact instants, in order; `run` does the same
and lets the event loop work between two instants, so that days of retries pass in milliseconds.
"""

import asyncio
import heapq
from collections.abc import Callable
from itertools import count

START = 1_700_000_000_000_000  # microseconds since 1970


class ManualTimer:
    """A callback of a `ManualClock`."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        """Do not run it."""
        self.cancelled = True


class ManualClock:
    """Implements `postroad.net.clock.Clock`; `start` is the wall-clock time in microseconds since 1970."""

    def __init__(self, start: int = START) -> None:
        self._start = start
        self._elapsed = 0.0
        self._timers: list[tuple[float, int, ManualTimer]] = []
        self._ticket = count()

    def now(self) -> int:
        """Microseconds since 1970."""
        return self._start + round(self._elapsed * 1_000_000)

    def monotonic(self) -> float:
        """Seconds since some instant."""
        return 1000.0 + self._elapsed

    def call_later(self, seconds: float, callback: Callable[[], None]) -> ManualTimer:
        """Run `callback` once time was advanced by `seconds`."""
        timer = ManualTimer(callback)
        heapq.heappush(self._timers, (self._elapsed + max(seconds, 0.0), next(self._ticket), timer))
        return timer

    async def sleep(self, seconds: float) -> None:
        """Wait until time was advanced by `seconds`; zero or less only lets others run."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        timer = self.call_later(seconds, wake)
        try:
            await woken
        finally:
            timer.cancel()

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once, running what falls due on the way."""
        end = self._elapsed + seconds
        while self._step(end):
            pass
        self._elapsed = end

    async def run(self, seconds: float, *, turns: int = 20) -> None:
        """Let `seconds` pass, with `turns` rounds of the event loop before, after and between the instants."""
        end = self._elapsed + seconds
        await self.turn(turns)
        while self._step(end):
            await self.turn(turns)
        self._elapsed = end
        await self.turn(turns)

    async def turn(self, turns: int = 20) -> None:
        """Let the event loop work through what is ready, without time passing."""
        for _ in range(turns):
            await asyncio.sleep(0)

    def next_due(self) -> float | None:
        """Seconds until the next callback or sleeper, None when nothing waits."""
        waiting = [when for when, _, timer in self._timers if not timer.cancelled]
        return min(waiting) - self._elapsed if waiting else None

    def _step(self, end: float) -> bool:
        """Run the next callback due by `end`; False when there is none."""
        while self._timers and self._timers[0][0] <= end:
            when, _, timer = heapq.heappop(self._timers)
            if not timer.cancelled:
                self._elapsed = max(self._elapsed, when)
                timer.callback()
                return True
        return False
