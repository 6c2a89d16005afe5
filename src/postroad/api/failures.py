"""How many wrong keys one address may present before it is only told to wait. Pure: the time is a parameter.

A right key always counts, so that nobody can lock out others behind the same address. What is bounded is the work and
the log that a stranger can cause, and the memory this takes.
"""

from collections import OrderedDict
from typing import Final

ALLOWED: Final = 20  # wrong keys of one address ...
SECONDS: Final = 60.0  # ... within this time
ADDRESSES: Final = 10_000


class Failures:
    """Wrong keys by address, the last that failed at the end."""

    def __init__(self) -> None:
        """Nobody has failed yet."""
        self._found: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wait(self, ip: str, now: float) -> float:
        """Count a wrong key of `ip`; seconds that it has to wait, 0 while it is within what is allowed."""
        began, count = self._found.get(ip, (now, 0))
        if now - began >= SECONDS:
            began, count = now, 0
        self._found[ip] = (began, min(count + 1, ALLOWED + 1))
        self._found.move_to_end(ip)
        if len(self._found) > ADDRESSES:
            self._found.popitem(last=False)
        return began + SECONDS - now if count >= ALLOWED else 0.0
