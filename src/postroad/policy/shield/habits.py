"""What is usual for each login, and when it is no longer (*pure*; `now` in seconds since 1970).

Three things are measured of a login, each as an amount that fades with `window`: recipients, recipients that it has
not written to before, and failures. The most of a day becomes what is usual from the next day on, and fades with
`half_life`: so what happens today never excuses itself. More than `factor` times the usual is too much, but never as
long as it is at most a fixed minimum, so that senders of little mail are left alone; failures must also be a part of
all outcomes that is not small. Who was written to is remembered as bits, in two generations.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from math import exp
from typing import Final

from msgspec import Struct, field

from postroad.policy.shield.accounts import key_of

DAY: Final = 86400
MEASURES: Final = ("recipients", "new recipients", "failures")
RECIPIENTS, NEW, FAILURES = range(3)
LOGINS: Final = 20_000  # that are known; the one that was seen first goes
_BITS: Final = 8192  # of one generation
_GENERATION: Final = 800  # recipients; at so many a fifth of the bits is set
_EMPTY: Final = bytes(_BITS // 8)


class HabitRules(Struct, frozen=True, kw_only=True):
    """The configuration: `minimums` of the three measures, times in seconds."""

    window: float
    minimums: tuple[float, float, float]
    failure_ratio: float
    factor: float
    half_life: float


class Habit(Struct):
    """One login: amounts as of `seen`, the most of each since `day` began, and what is usual."""

    seen: int
    day: int
    amounts: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    tops: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    usual: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    outcomes: float = 0.0  # fades too
    known: bytes = b""
    known_before: bytes = b""
    count: int = 0  # in the newer generation


class Excess(Struct, frozen=True):
    """Too much of `measure`: an `amount` within the window, where `allowed` was the most and `usual` what is usual."""

    measure: str
    amount: float
    allowed: float
    usual: float

    def __str__(self) -> str:
        """For people."""
        return f"{self.amount:.0f} {self.measure}; usual are {self.usual:.0f}, allowed {self.allowed:.0f}"


class Habits:
    """Those of all logins."""

    def __init__(self, rules: HabitRules, known: dict[str, Habit] | None = None) -> None:
        """Go on with what is known."""
        self.rules = rules
        self.known = {} if known is None else known

    def taken(self, login: str, recipients: Sequence[str], now: int) -> Excess | None:
        """A message of `login` was accepted."""
        habit = self._of(login, now)
        new = sum(_meet(habit, recipient) for recipient in recipients)
        return self._add(habit, ((RECIPIENTS, len(recipients)), (NEW, new)))

    def settled(self, login: str, good: int, bad: int, now: int) -> Excess | None:
        """So many recipients got their mail, or will never; refusals by ourselves are bad, too."""
        habit = self._of(login, now)
        habit.outcomes += good + bad
        return self._add(habit, ((FAILURES, bad),))

    def look(self, login: str, now: int) -> Habit:
        """What it does, as of now."""
        return self._of(login, now)

    def forgive(self, login: str, now: int) -> None:
        """What it did is usual from now on."""
        habit = self._of(login, now)
        habit.usual = [max(pair) for pair in zip(habit.usual, habit.amounts, strict=True)]

    def forget(self, login: str, now: int) -> None:
        """What it did was somebody else's: it is not usual, and does not count any more."""
        habit = self._of(login, now)
        habit.amounts, habit.outcomes = [0.0] * len(MEASURES), 0.0

    def allowed(self, habit: Habit, measure: int) -> float:
        """The most that is not too much."""
        return max(self.rules.minimums[measure], self.rules.factor * habit.usual[measure])

    def _of(self, login: str, now: int) -> Habit:
        """What is known of `login`, as of now."""
        key = key_of(login)
        habit = self.known.pop(key, None) or Habit(now, now // DAY)
        self.known[key] = habit  # at the end: it was seen last
        if len(self.known) > LOGINS:
            del self.known[next(iter(self.known))]
        self._turn(habit, now)
        return habit

    def _turn(self, habit: Habit, now: int) -> None:
        """Let time pass: amounts fade, and a day that is over tells what is usual."""
        if now > habit.seen:
            rest = exp((habit.seen - now) / self.rules.window)
            habit.amounts = [amount * rest for amount in habit.amounts]
            habit.outcomes *= rest
            habit.seen = now
        days = now // DAY - habit.day
        if days > 0:
            faded = 0.5 ** (days * DAY / self.rules.half_life)
            habit.usual = [max(usual * faded, top) for usual, top in zip(habit.usual, habit.tops, strict=True)]
            habit.tops = list(habit.amounts)
            habit.day += days

    def _add(self, habit: Habit, changes: Iterable[tuple[int, int]]) -> Excess | None:
        found = None
        for measure, change in changes:
            amount = habit.amounts[measure] = habit.amounts[measure] + change
            allowed = self.allowed(habit, measure)
            if change and amount > allowed and self._counts(habit, measure, amount):
                found = found or Excess(MEASURES[measure], amount, allowed, habit.usual[measure])
            else:  # what is too much is not usual
                habit.tops[measure] = max(habit.tops[measure], min(amount, allowed))
        return found

    def _counts(self, habit: Habit, measure: int, amount: float) -> bool:
        return measure != FAILURES or amount > self.rules.failure_ratio * habit.outcomes


def _meet(habit: Habit, recipient: str) -> bool:
    """Remember `recipient`; True when it was not known. A few that are new are taken for known, never the reverse."""
    digest = blake2b(recipient.lower().encode(errors="replace"), digest_size=8).digest()
    places = [int.from_bytes(digest[at : at + 2]) % _BITS for at in (0, 2, 4, 6)]
    if _has(habit.known, places):
        return False
    is_new = not _has(habit.known_before, places)
    if habit.count >= _GENERATION:
        habit.known_before, habit.known, habit.count = habit.known, b"", 0
    bits = bytearray(habit.known or _EMPTY)
    for place in places:
        bits[place >> 3] |= 1 << (place & 7)
    habit.known = bytes(bits)
    habit.count += 1
    return is_new


def _has(bits: bytes, places: list[int]) -> bool:
    return bool(bits) and all(bits[place >> 3] >> (place & 7) & 1 for place in places)
