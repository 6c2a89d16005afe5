"""Times of the day and the week, as rules name them (*pure*).

"08:00-18:00" every day, "mon-fri" all day long, "mon-fri 08:00-18:00", "sat,sun 22:00-06:00": a span that ends before
it begins goes on into the next day and belongs to the day on which it began. The time is that of the rule's zone, so
that summer time is heeded.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_ALL_DAYS: Final = frozenset(range(7))
_MINUTES: Final = 24 * 60
_FORMS: Final = 'write "08:00-18:00", "mon-fri" or "mon-fri 08:00-18:00"'


class Span(Struct, frozen=True):
    """On `days` (0: Monday) from minute `start` of the day to before minute `end`, the next day when that is less."""

    days: frozenset[int]
    start: int
    end: int

    def has(self, day: int, minute: int) -> bool:
        """True at that minute of that day."""
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        return (day in self.days and minute >= self.start) or ((day - 1) % 7 in self.days and minute < self.end)


def parse_span(text: str) -> Span:
    """The span that `text` says; ValueError tells what is accepted."""
    days: frozenset[int] | None = None
    hours: tuple[int, int] | None = None
    for word in text.lower().split():
        if word[0].isdigit() and hours is None:
            hours = _hours(word)
        elif not word[0].isdigit() and days is None and hours is None:
            days = _days(word)
        else:
            raise ValueError(f'"{text}" is no time of the week; {_FORMS}')
    if days is None and hours is None:
        raise ValueError(f"an empty text is no time of the week; {_FORMS}")
    start, end = hours or (0, _MINUTES)
    return Span(days or _ALL_DAYS, start, end)


def parse_zone(name: str) -> tzinfo:
    """The time zone called `name`, as "Europe/Berlin"; ValueError when there is none."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f'"{name}" is no time zone that is known here; write one like "Europe/Berlin" or "UTC"'
        ) from None


def compile_hours(texts: Iterable[str], zone: str) -> Callable[[int], bool]:
    """The test of a time in microseconds since 1970."""
    spans, tz = tuple(map(parse_span, texts)), parse_zone(zone)

    def holds(now: int) -> bool:
        at = datetime.fromtimestamp(now // 1_000_000, tz)
        day, minute = at.weekday(), at.hour * 60 + at.minute
        return any(span.has(day, minute) for span in spans)

    return holds


def _days(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        begin, end = _day(first), _day(last or first)
        found |= {(begin + step) % 7 for step in range((end - begin) % 7 + 1)}
    return frozenset(found)


def _day(text: str) -> int:
    if text not in _DAYS:
        raise ValueError(f'"{text}" is no day of the week; write {", ".join(_DAYS)}')
    return _DAYS.index(text)


def _hours(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if not dash:
        raise ValueError(f'"{text}" is no span of hours; {_FORMS}')
    start, end = _minute(first), _minute(last)
    if start in (end, _MINUTES):
        raise ValueError(f'"{text}" is no span of hours: it has no length; {_FORMS}')
    return start, end


def _minute(text: str) -> int:
    hour, colon, minute = text.partition(":")
    parts = (hour, minute)
    if not colon or not all(part.isascii() and part.isdigit() and len(part) == 2 for part in parts):
        raise ValueError(f'"{text}" is no time of the day; write it like "08:00"')
    found = int(hour) * 60 + int(minute)
    if int(minute) > 59 or found > _MINUTES:
        raise ValueError(f'"{text}" is no time of the day; it ends at "24:00"')
    return found
