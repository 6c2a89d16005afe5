"""Where numbers grow: counters by label and histograms, one addition each, with a bound on how many there are.

Invariant: nothing here raises for any value of a label, and memory is bounded: above `CELLS_LIMIT` label values, and
for values that are absurdly long, a metric counts under "other".
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Final

from postroad.model.records import Record
from postroad.observe.metrics.series import CELLS_LIMIT, OTHER, Family, Series

_LONGEST: Final = 200  # characters of a label's value


class Counter:
    """A counter: one number for each value of its labels."""

    def __init__(self, family: Family) -> None:
        """Begin at nothing; without labels, at zero."""
        self.family = family
        self._cells: dict[object, float] = {} if family.labels else {(): 0}

    def add(self, key: object, amount: float = 1) -> None:
        """Count `amount` under `key`: the label's value, or a tuple of several."""
        try:
            self._cells[key] += amount
        except KeyError:
            self._begin(key, amount)

    def series(self) -> Iterator[Series]:
        """What was counted so far."""
        for key, value in tuple(self._cells.items()):
            labels = key if isinstance(key, tuple) else (key,)
            yield Series(self.family.name, tuple(map(label_text, labels)), value)

    def _begin(self, key: object, amount: float) -> None:
        parts = key if isinstance(key, tuple) else (key,)
        if len(self._cells) >= CELLS_LIMIT or any(len(label_text(part)) > _LONGEST for part in parts):
            key = (OTHER,) * len(parts)
        self._cells[key] = self._cells.get(key, 0) + amount

    def counting(self, key_of: Callable[[Record], object]) -> Callable[[Record], None]:
        """A sink for records of one type, as short as can be: it runs for every message."""
        cells, begin = self._cells, self._begin

        def count(record: Record) -> None:
            key = key_of(record)
            try:
                cells[key] += 1
            except KeyError:
                begin(key, 1)

        return count


class Histogram:
    """A histogram without labels: how many values were up to each bound, and their sum."""

    def __init__(self, family: Family) -> None:
        """Begin at zero."""
        self.family = family
        self._bounds = family.bounds
        self._counts = [0] * (len(family.bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Count `value`."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def series(self) -> Iterator[Series]:
        """What was counted so far."""
        yield Series(self.family.name, (), self._sum, tuple(self._counts))


def label_text(value: object) -> str:
    """A label's value as text."""
    if value is True or value is False:
        return str(value).lower()
    return str(value)
