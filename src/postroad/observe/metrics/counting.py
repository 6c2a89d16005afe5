"""The sink that counts records.

Invariant: like every sink it never blocks and never decides; a record costs one look-up by type, one addition, and
one for each of its histograms. A type that has no rule is left out, and a test says that there is none.
"""

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter

from postroad.model.records import Record
from postroad.observe.metrics.cells import Counter, Histogram
from postroad.observe.metrics.rules import RULES, Rule, counter_of, histogram_of
from postroad.observe.metrics.series import Family, Series

Take = Callable[[Record], None]


def record_families() -> Iterator[Family]:
    """Every family that comes from records, in the order of their file."""
    for record, rule in RULES.items():
        yield counter_of(record, rule)
        yield from map(histogram_of, rule.measures)


class Counting:
    """An `Emit` that counts."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._cells: list[Counter | Histogram] = []
        self._takes: dict[type[Record], Take] = {}
        for record, rule in RULES.items():
            self._takes[record] = self._take(record, rule)

    def __call__(self, record: Record) -> None:
        """Count `record`."""
        take = self._takes.get(type(record))
        if take is not None:
            take(record)

    def series(self) -> Iterator[Series]:
        """What was counted so far."""
        for cell in self._cells:
            yield from cell.series()

    def _take(self, record: type[Record], rule: Rule) -> Take:
        counter = Counter(counter_of(record, rule))
        self._cells.append(counter)
        key_of = attrgetter(*rule.labels) if rule.labels else _nothing
        count = _adding(counter, key_of, attrgetter(rule.amount)) if rule.amount else counter.counting(key_of)
        measured = [(measure.of, Histogram(histogram_of(measure))) for measure in rule.measures]
        self._cells += [histogram for _, histogram in measured]
        return _with_measures(count, [(of, histogram.add) for of, histogram in measured]) if measured else count


def _nothing(_: Record) -> tuple[()]:
    return ()


def _adding(counter: Counter, key_of: Callable[[Record], object], amount_of: Callable[[Record], float]) -> Take:
    def take(record: Record) -> None:
        counter.add(key_of(record), amount_of(record))

    return take


def _with_measures(count: Take, measured: Sequence[tuple[Callable[[Record], float], Callable[[float], None]]]) -> Take:
    pairs = tuple(measured)

    def take(record: Record) -> None:
        count(record)
        for of, add in pairs:
            add(of(record))

    return take
