"""*pure*: targets about which something was learned a moment ago, forgotten after a while and bounded in number.

Two such memories serve delivery: hosts whose STARTTLS handshake fails, which get plain text, and hosts
that could not be reached, which are tried last.
"""

from typing import Final

from postroad.model.route import Target

LIMIT: Final = 1000


class Recent:
    """Targets noted within the last `seconds`; times are monotonic seconds given by the caller."""

    __slots__ = ("_seconds", "_until")

    def __init__(self, seconds: float) -> None:
        """Forget a target after `seconds`."""
        self._seconds = seconds
        self._until: dict[Target, float] = {}

    def __bool__(self) -> bool:
        """True when anything may be noted: the quick look before `has`."""
        return bool(self._until)

    def note(self, target: Target, now: float) -> None:
        """Remember `target`; the oldest one goes when there are too many."""
        self._until.pop(target, None)
        while len(self._until) >= LIMIT:
            del self._until[next(iter(self._until))]
        self._until[target] = now + self._seconds

    def drop(self, target: Target) -> None:
        """Forget `target`."""
        self._until.pop(target, None)

    def has(self, target: Target, now: float) -> bool:
        """True when `target` was noted and is not yet forgotten."""
        until = self._until.get(target)
        if until is None:
            return False
        if until <= now:
            del self._until[target]
            return False
        return True
