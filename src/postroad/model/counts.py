"""Limits of how much somebody may send, as values: what is counted, until where, and what was found (pure).

A cap such as "100/1h" holds for every span of its period: never more than 100 in any hour, not only in each hour of the
clock. What was counted is kept in steps of a fifteenth of the period, so it is freed up to one step late, never
early. A cap such as "1000/day" is a quota of a calendar day in a time zone. Times are microseconds since 1970.
"""

from collections.abc import Awaitable, Sequence
from typing import Final, Protocol

from msgspec import Struct

from postroad.model.days import Days
from postroad.model.option import parse_duration, parse_size

STEPS: Final = 15  # of a period; amounts of one step more than that still count
LIMIT: Final = 1 << 50  # of what can be counted
SHORTEST: Final = 1.0  # seconds
LONGEST: Final = 366 * 86400.0
DAY: Final = "day"


class Cap(Struct, frozen=True, gc=False):
    """At most `count` in any `period` microseconds, called `label`; with `days`, in a calendar day of those."""

    count: int
    period: int
    label: str
    days: Days | None = None

    @property
    def step(self) -> int:
        """Microseconds that are counted together; of a period alone."""
        return -(-self.period // STEPS)

    def bucket(self, now: int) -> int:
        """The number of the step, or of the day, that `now` is in."""
        return now // -(-self.period // STEPS) if self.days is None else self.days.number(now)

    def ends(self, bucket: int) -> int:
        """When what was counted in `bucket` counts no more."""
        return (bucket + STEPS + 1) * self.step if self.days is None else self.days.end(bucket)

    @property
    def words(self) -> str:
        """As it is written."""
        return f"{self.count}/{self.label}"


def parse_cap(text: str, days: Days | None = None) -> Cap:
    """The cap that "100/1h", "500MiB/24h" or "1000/day" is; ValueError tells what is accepted."""
    amount, _, label = (part.strip() for part in text.partition("/"))
    try:
        count = parse_size(amount)
        seconds = 86400.0 if label == DAY else parse_duration(label)
    except ValueError:
        count, seconds = 0, 0.0
    if not 0 < count <= LIMIT or not SHORTEST <= seconds <= LONGEST:
        raise ValueError(
            f'{text!r} is not a limit; write it like "100/1h", "500MiB/24h", or "1000/day" for a calendar day'
        )
    if label == DAY:
        return Cap(count, 0, DAY, days if days is not None else Days("UTC"))
    return Cap(count, round(seconds * 1_000_000), label)


class Take(Struct, frozen=True, gc=False):
    """Count `amount` in `account`, if `cap` leaves room for it.

    `is_soft`: what goes over is not refused, only told. `is_look`: nothing is counted, it is only looked whether it
    could be.
    """

    account: str
    cap: Cap
    amount: int = 1
    is_soft: bool = False
    is_look: bool = False


class Over(Struct, frozen=True, gc=False):
    """A take that went over: `used` is counted already, at `opens` there is room (0: never for so much).

    `is_news` when it was not told before that this account is full.
    """

    take: Take
    used: int
    opens: int
    is_news: bool = False


class Kept(Struct, frozen=True):
    """An account as it is told and kept: the newest step, and what was counted in each, by their places."""

    account: str
    period: int
    count: int
    head: int
    cells: tuple[int, ...]

    @property
    def used(self) -> int:
        """What is counted."""
        return sum(self.cells)


Judged = tuple[Over, ...]  # the takes of one question that went over; nothing is counted when one of them is not soft


class Counts(Protocol):
    """Where amounts are counted: in memory, or in a server that several nodes share."""

    def take(self, takes: Sequence[Take], now: int) -> Judged | Awaitable[Judged]:
        """Count all of `takes` in one step, or nothing when one that is not soft goes over."""

    def give_back(self, takes: Sequence[Take], at: int, now: int) -> None:
        """Count no more what was taken at the instant `at`."""

    def count(self, takes: Sequence[Take], now: int) -> None:
        """Count them, soon, without an answer."""


class Crowd(Protocol):
    """What there is at once, by name, over all processes of this node."""

    def come(self, name: str) -> int:
        """One more; how many that makes."""

    def go(self, name: str) -> None:
        """One less."""


def account_of(rate: str, label: str, value: str) -> str:
    """The account of `value` in the cap `label` of the rate."""
    return f"{rate}\n{label}\n{value}"
