"""The clock: the only place that reads the time or sleeps.

Wall-clock time is whole microseconds since 1970, for what is stored and reported; monotonic time
is float seconds, for measuring how long something took. Tests pass a hand-driven clock instead.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

_LONGEST: Final = 100 * 365.25 * 86400.0  # a timer for "never" (infinity) must still be a number the loop can hold


class Timer(Protocol):
    """A callback that is to run later."""

    def cancel(self) -> None:
        """Do not run it; harmless when it ran already."""


class Clock(Protocol):
    """What may be asked about time."""

    def now(self) -> int:
        """Wall-clock time in microseconds since 1970."""

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean anything."""

    async def sleep(self, seconds: float) -> None:
        """Wait `seconds`; infinity waits until cancelled."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Run `callback` on the event loop after `seconds`."""


class SystemClock:
    """The machine's clock, over the running event loop."""

    def now(self) -> int:
        """Wall-clock time in microseconds since 1970."""
        return time.time_ns() // 1000

    monotonic = staticmethod(time.monotonic)  # as it is: it is read several times a message

    async def sleep(self, seconds: float) -> None:
        """Wait `seconds`; infinity waits until cancelled."""
        await asyncio.sleep(min(seconds, _LONGEST))

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Run `callback` on the running event loop after `seconds`."""
        return asyncio.get_running_loop().call_later(min(seconds, _LONGEST), callback)
