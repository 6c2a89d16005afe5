"""Calendar days of a time zone by number, with the instants at which they begin and end (pure).

A day may have 23 or 25 hours, as clocks are changed. Times are microseconds since 1970.
"""

from datetime import UTC, date, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

_SECOND: Final = 1_000_000


class Days:
    """The days of one time zone."""

    __slots__ = ("_begin", "_end", "_number", "_zone", "name")

    def __init__(self, name: str) -> None:
        """The zone called so, as in "Europe/Berlin"; ValueError when there is none."""
        self.name = name
        self._zone = _zone(name)
        self._begin = self._end = self._number = 0  # the day that was asked for last

    def number(self, now: int) -> int:
        """The day that `now` is in."""
        if not self._begin <= now < self._end:
            self._number = datetime.fromtimestamp(now / _SECOND, self._zone).toordinal()
            self._begin, self._end = self._midnight(self._number), self._midnight(self._number + 1)
        return self._number

    def end(self, number: int) -> int:
        """When the day ends."""
        return self._midnight(number + 1)

    def _midnight(self, number: int) -> int:
        day = date.fromordinal(number)
        return round(datetime(day.year, day.month, day.day, tzinfo=self._zone).timestamp()) * _SECOND


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise ValueError(f'{name!r} is not a time zone; write a name like "Europe/Berlin" or "UTC"') from error
    except KeyError:
        raise ValueError(
            f'{name!r} is not a time zone of this machine; write a name like "Europe/Berlin" or "UTC"'
        ) from None


def seconds_of(day: str) -> float:
    """When a day like "2026-12-31" begins in UTC, in seconds since 1970; ValueError when it is none."""
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()
