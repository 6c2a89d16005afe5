"""The little of a clock that the spool needs, as a type: wall time, monotonic time, a timer.

The spool reads no clock itself; whoever opens it passes one (`net.clock` in the daemon, a
hand-driven one in tests).
"""

from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call that is to come."""

    def cancel(self) -> None:
        """Forget the call; harmless after it was made."""


class Clock(Protocol):
    """Time as a parameter."""

    def now(self) -> int:
        """Microseconds since 1970."""

    def monotonic(self) -> float:
        """Seconds that only grow."""

    def call_later(self, seconds: float, callback: Callable[[], None], /) -> Timer:
        """Call `callback` on the event loop in `seconds`."""
