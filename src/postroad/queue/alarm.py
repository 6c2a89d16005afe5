"""When the dispatcher's loops wake: at once, or at the earliest of the times they were told.

One timer of the clock at most, however many times are told; a ring that comes while the loop works is kept.
"""

import asyncio
from collections.abc import Callable

from postroad.net.clock import Clock, Timer
from postroad.queue.times import NEVER


class Alarm:
    """Wakes one loop, at once or at the earliest of the times it was told."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._event = asyncio.Event()
        self._timer: Timer | None = None
        self._at = NEVER

    def ring(self) -> None:
        """Wake the loop now."""
        self._event.set()

    def ring_at(self, at: int) -> None:
        """Wake the loop at `at`, in microseconds since 1970, unless it is woken earlier."""
        if at >= self._at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._at = at
        self._timer = self._clock.call_later(max(0.0, (at - self._clock.now()) / 1_000_000), self._expire)

    async def wait(self) -> None:
        """Sleep until it rings; what rang before counts."""
        await self._event.wait()
        self._event.clear()

    def _expire(self) -> None:
        self._timer = None
        self._at = NEVER
        self._event.set()


class Bell:
    """Calls a function at the earliest of the times it was told."""

    def __init__(self, clock: Clock, callback: Callable[[], None]) -> None:
        self._clock = clock
        self._callback = callback
        self._timer: Timer | None = None
        self._at = NEVER

    def ring_at(self, at: int) -> None:
        """Call at `at`, in microseconds since 1970, unless it is called earlier; NEVER asks for nothing."""
        if at >= self._at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._at = at
        self._timer = self._clock.call_later(max(0.0, (at - self._clock.now()) / 1_000_000), self._expire)

    def stop(self) -> None:
        """Do not call any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        self._at = NEVER
        self._callback()
