"""Faults of the spool as its loops meet them: told once, told when they are over, and left alone for growing pauses.

A fault is one for all loops that meet it: whoever looks at the log sees when it began and when it ended, not how
often it was tried. Pure.
"""

from typing import Final

from postroad.model.records import Emit, SpoolFaulted, SpoolMended

FIRST_PAUSE: Final = 1_000_000  # microseconds
LONGEST_PAUSE: Final = 30_000_000


class Trouble:
    """What several loops, each by its name, know of the faults of one spool."""

    def __init__(self, emit: Emit) -> None:
        """Begin without any."""
        self._emit = emit
        self._reasons: dict[str, str] = {}
        self._pauses: dict[str, int] = {}

    def failed(self, loop: str, reason: str, now: int) -> int:
        """`loop` met a fault; when it may try again."""
        if reason not in self._reasons.values():
            self._emit(SpoolFaulted(at=now, reason=reason))
        self._reasons[loop] = reason
        pause = self._pauses.get(loop, FIRST_PAUSE)
        self._pauses[loop] = min(2 * pause, LONGEST_PAUSE)
        return now + pause

    def passed(self, loop: str, now: int) -> None:
        """`loop` met none."""
        if self._reasons.pop(loop, None) is not None:
            del self._pauses[loop]
            if not self._reasons:
                self._emit(SpoolMended(at=now))
