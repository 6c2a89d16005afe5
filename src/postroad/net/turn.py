"""The end of the event loop's turn, shared by all connections: what was gathered in the turn is written in one go.

One callback of the loop serves however many connections have something to send. That wakes the peers' machine
once, and a handle of the loop for each connection is saved (measured). Callbacks run in the order they were added.
"""

from collections.abc import Callable


class Turn:
    """Runs callbacks at the end of the turn in which they were added."""

    __slots__ = ("_call_soon", "_waiting")

    def __init__(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        """`call_soon` is the event loop's."""
        self._call_soon = call_soon
        self._waiting: list[Callable[[], None]] = []

    def add(self, callback: Callable[[], None]) -> None:
        """Run `callback` once, at the end of this turn."""
        if not self._waiting:
            self._call_soon(self._run)
        self._waiting.append(callback)

    def _run(self) -> None:
        waiting = self._waiting
        self._waiting = []
        callbacks = iter(waiting)
        try:
            for callback in callbacks:
                callback()
        finally:  # one that raises is the loop's to report; it never stops the others
            for callback in callbacks:
                self.add(callback)
