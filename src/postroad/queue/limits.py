"""Rates and shared concurrency: numbers that several lanes use up together, exact within one courier.

A rate holds for every span of its period: never more than `count` in any 60 seconds, not only in each minute of
the clock. Instants are kept in at most 60 groups a window, each leaving with its last instant, so that memory is
flat; what is freed may be freed up to a sixtieth of the period late, never early. Pure; times are microseconds
since 1970.
"""

from collections import deque
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from postroad.queue.times import NEVER

PERIODS: Final = MappingProxyType(
    {"second": 1_000_000, "minute": 60_000_000, "hour": 3_600_000_000, "day": 86_400_000_000}
)
GROUPS: Final = 60  # of a window
PATIENCE: Final = 50  # deliveries without complaint until a shared limit that a peer lowered grows by one again
_MOST: Final = 1_000_000_000


class Rate(Struct, frozen=True, gc=False):
    """At most `count` in any `period` microseconds."""

    count: int
    period: int


def parse_rate(text: str) -> Rate:
    """The rate that "100/minute" is; ValueError tells what is accepted."""
    count, _, unit = text.partition("/")
    period = PERIODS.get(unit.strip())
    digits = count.strip()
    if period is None or not (digits.isascii() and digits.isdigit()) or not 0 < int(digits[:12]) <= _MOST:
        raise ValueError(f'{text!r} is not a rate; write it like "100/minute" (second, minute, hour, day)')
    return Rate(int(digits), period)


class Group(Struct, gc=False):
    """What was counted from `first` to `last`."""

    first: int
    last: int
    count: int


class Window(Struct, eq=False):
    """The account of one rate."""

    rate: Rate
    groups: deque[Group]
    total: int = 0

    def free(self, now: int) -> int:
        """How many may be counted now."""
        groups = self.groups
        period = self.rate.period
        while groups and groups[0].last + period <= now:
            self.total -= groups.popleft().count
        return self.rate.count - self.total

    def add(self, now: int, count: int) -> None:
        """Count `count` at `now`."""
        groups = self.groups
        self.total += count
        if groups:
            last = groups[-1]
            if now < last.last:
                self._shift(last.last - now)  # the clock was set back
            if now - last.first < self.rate.period // GROUPS:
                last.last = now
                last.count += count
                return
        groups.append(Group(now, now, count))

    def opens(self, now: int, wanted: int = 1) -> int:
        """When `wanted` will be free: 0 for now, NEVER when the rate itself is too small."""
        missing = wanted - self.free(now)
        if missing <= 0:
            return 0
        if self.groups and now < self.groups[-1].last:
            self._shift(self.groups[-1].last - now)
        for group in self.groups:
            missing -= group.count
            if missing <= 0:
                return group.last + self.rate.period
        return NEVER

    def _shift(self, back: int) -> None:
        for group in self.groups:
            group.first -= back
            group.last -= back


class Limit(Struct, eq=False):
    """One number of one rule, shared by the lanes it covers: connections at once, or rates.

    `words` say which, for people. `cap` is what the peer let us find of `concurrency`. `held` counts the recipients
    in memory of all its lanes, `lanes` those that refer to it, `line` those that wait for it.
    """

    words: str
    of_source: bool = False
    concurrency: int = 0
    windows: tuple[Window, ...] = ()
    per_recipient: bool = False
    cap: int = 0
    patience: int = 0
    running: int = 0
    reserved: int = 0
    held: int = 0
    low: int = -1  # it is crowded, until no more than this is held
    lanes: int = 0
    line: int = 0

    def opens(self, now: int) -> int:
        """When one more delivery may begin: 0 for now, NEVER for when another one ends."""
        if self.concurrency:
            return 0 if self.running < self.cap else NEVER
        latest = 0
        for window in self.windows:
            opens = window.opens(now, self.reserved + 1)
            latest = max(latest, opens)
        return latest

    def free(self, now: int) -> int:
        """How many may be counted now, beside what is reserved."""
        return min(window.free(now) for window in self.windows) - self.reserved

    def count(self, now: int, count: int) -> None:
        """Use `count` of every rate up."""
        for window in self.windows:
            window.add(now, count)

    def let_go(self, count: int) -> bool:
        """`count` recipients fewer are held; True when it was crowded and may hold more from the spool again."""
        self.held -= count
        if self.held > self.low:
            return False
        self.low = -1
        return True

    def is_idle(self, now: int) -> bool:
        """True when nothing is known that must be kept."""
        return not self.lanes and all(window.free(now) == window.rate.count for window in self.windows)

    def crowd(self, named: int) -> None:
        """The peer says that these are too many connections; `named` is how many it takes, 0 when it did not say."""
        self.cap = max(1, min(self.cap, named or self.running - 1))
        self.patience = 0

    def succeed(self) -> None:
        """A delivery went well: a lowered cap grows again, slowly."""
        if self.cap < self.concurrency:
            self.patience += 1
            if self.patience >= PATIENCE:
                self.patience = 0
                self.cap += 1


def new_limit(words: str, *, concurrency: int = 0, rates: tuple[Rate, ...] = ()) -> Limit:
    """A limit that nothing has used yet."""
    windows = tuple(Window(rate, deque()) for rate in rates)
    return Limit(words, concurrency=concurrency, windows=windows, cap=concurrency)
