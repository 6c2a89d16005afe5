"""Whether new mail is accepted, in one place, with the reason when it is not. Pure.

Invariant: "" means that a client that connects now gets its 250, as far as we know.
"""

from collections.abc import Callable
from typing import Final

STARTING: Final = "the spool is being opened"
DRAINING: Final = "the server is being stopped"
FULL: Final = "the spool has no room: the disk is full or under spool.free_space"


class Readiness:
    """The phases of a process, as its composition root tells them."""

    def __init__(self, has_room: Callable[[], bool]) -> None:
        """Not ready before `serve`; `has_room` is asked only between `serve` and `drain`."""
        self._has_room = has_room
        self._phase = STARTING

    def serve(self) -> None:
        """Spool and listeners are open."""
        self._phase = ""

    def drain(self) -> None:
        """No new mail any more."""
        self._phase = DRAINING

    def unready(self) -> str:
        """Why new mail is not accepted; "" when it is."""
        if self._phase:
            return self._phase
        return "" if self._has_room() else FULL
