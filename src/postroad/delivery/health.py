"""*pure*: which hosts, or sources, are out of the rotation, when to probe them, and how they come back.

What cannot be reached at all leaves at once; what breaks off or refuses a session leaves after a few failures in
a row. It is probed with growing pauses, and comes back with a share of the mail that grows over some seconds. Only
what failed has an entry, so that a look at `entries` is all that healthy hosts cost. Bounded in number; times are
monotonic seconds given by the caller.
"""

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from msgspec import Struct

PATIENCE: Final = 3  # failures in a row of a host that can be reached
PAUSES: Final = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0)  # before each probe; the last repeats
SLOW_START: Final = 20.0  # seconds until a host that came back has its whole share
FIRST_SHARE: Final = 0.125
LIMIT: Final = 1000

K = TypeVar("K", bound=Hashable)


class Ailing(Struct):
    """One that failed: `until` is set while it is out, the time of its next probe; `back` while it comes back."""

    failures: int = 0
    pauses: int = 0
    until: float = 0.0
    left: float = 0.0
    back: float = 0.0
    credit: float = 0.0
    is_probed: bool = False


class Health(Generic[K]):
    """What is known about those that failed lately."""

    __slots__ = ("entries",)

    def __init__(self) -> None:
        """All are healthy."""
        self.entries: dict[K, Ailing] = {}

    def fail(self, key: K, now: float, *, fatal: bool) -> float:
        """`key` failed; `fatal`: it cannot be reached. The pause until its probe when it leaves now, else 0."""
        entry = self.entries.get(key)
        if entry is None:
            while len(self.entries) >= LIMIT:
                del self.entries[next(iter(self.entries))]
            entry = self.entries[key] = Ailing()
        if entry.until:
            if now >= entry.until:  # what was under way when it left tells nothing new
                self._pause(entry, now)
            return 0.0
        entry.failures += 1
        if not fatal and entry.failures < PATIENCE:
            return 0.0
        entry.left, entry.back = now, 0.0
        return self._pause(entry, now)

    def succeed(self, key: K, now: float) -> float:
        """`key` did its work: it is trusted. The seconds it was out when it comes back now, else 0."""
        entry = self.entries.get(key)
        if entry is None:
            return 0.0
        if entry.until:
            return self.answer(key, now)
        entry.failures = 0
        if not entry.back:
            del self.entries[key]
        return 0.0

    def answer(self, key: K, now: float) -> float:
        """`key` can be reached, and no more is known. The seconds it was out when it comes back now, else 0."""
        entry = self.entries.get(key)
        if entry is None or not entry.until:
            return 0.0
        entry.until, entry.back, entry.failures, entry.credit = 0.0, now, 0, 0.0
        return max(now - entry.left, 0.001)

    def share(self, key: K, now: float) -> float:
        """The part of its usual mail that `key` gets: 0 while it is out, then growing, 1 when it is healthy."""
        entry = self.entries.get(key)
        if entry is None:
            return 1.0
        if entry.until:
            return 0.0
        if not entry.back:
            return 1.0
        share = FIRST_SHARE + (now - entry.back) / SLOW_START
        if share < 1.0:
            return share
        if entry.failures:
            entry.back = 0.0
            entry.pauses = 0
        else:
            del self.entries[key]
        return 1.0

    def has_turn(self, key: K, now: float) -> bool:
        """True when `key`, first of an order, gets this message; while it comes back only its share of them."""
        share = self.share(key, now)
        if share >= 1.0 or share == 0.0:
            return share > 0.0
        entry = self.entries[key]
        entry.credit += share
        if entry.credit < 1.0:
            return False
        entry.credit -= 1.0
        return True

    def until(self, key: K) -> float:
        """When `key` is probed next; 0 when it is not out."""
        entry = self.entries.get(key)
        return 0.0 if entry is None else entry.until

    def begin_probe(self, key: K, now: float) -> bool:
        """True when `key` is out and its probe is due, and nobody probes it: the caller does, until `end_probe`."""
        entry = self.entries.get(key)
        if entry is None or not entry.until or now < entry.until or entry.is_probed:
            return False
        entry.is_probed = True
        return True

    def end_probe(self, key: K) -> None:
        """The probe is over, with whatever was learned told before."""
        entry = self.entries.get(key)
        if entry is not None:
            entry.is_probed = False

    @staticmethod
    def _pause(entry: Ailing, now: float) -> float:
        pause = PAUSES[min(entry.pauses, len(PAUSES) - 1)]
        entry.pauses += 1
        entry.until = now + pause
        return pause
