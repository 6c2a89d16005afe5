"""Counting records: no type without a metric, no label of unbounded values, numbers that are those of the records."""

from collections import Counter
from operator import attrgetter

import pytest

from postroad.config.document import all_records
from postroad.model.records import Record, RecordsDropped
from postroad.observe.metrics.cells import Counter as CounterCell
from postroad.observe.metrics.counting import Counting
from postroad.observe.metrics.meter import families
from postroad.observe.metrics.rules import RULES, counter_of
from postroad.observe.metrics.series import CELLS_LIMIT, OTHER, Family
from tests.support.records import SAMPLES

UNBOUNDED = {"id", "report", "sender", "recipient", "to", "lane", "target", "ip", "port", "session", "reason", "detail"}


def test_every_type_of_record_has_a_rule() -> None:
    assert set(RULES) == set(all_records())


def test_every_name_is_there_once() -> None:
    names = [family.name for family in families()]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("record", RULES, ids=lambda record: record.__name__)
def test_labels_are_fields_of_few_values(record: type[Record]) -> None:
    samples = [sample for sample in SAMPLES if type(sample) is record]
    assert samples
    for path in RULES[record].labels:
        assert path.rpartition(".")[2] not in UNBOUNDED
        for sample in samples:
            assert isinstance(attrgetter(path)(sample), str | int)
    for measure in RULES[record].measures:
        assert all(measure.of(sample) >= 0 for sample in samples)
        assert list(measure.bounds) == sorted(set(measure.bounds))


def test_each_record_is_counted_once() -> None:
    count = Counting()
    for sample in SAMPLES:
        count(sample)
    found: Counter[str] = Counter()
    for series in count.series():
        found[series.name] += sum(series.counts) or int(series.value)
    expected = Counter(type(sample) for sample in SAMPLES if not isinstance(sample, RecordsDropped))
    dropped = sum(sample.count for sample in SAMPLES if isinstance(sample, RecordsDropped))
    assert found["postroad_records_dropped_total"] == dropped > 0
    for record, number in expected.items():
        assert found[counter_of(record, RULES[record]).name] == number
        for measure in RULES[record].measures:
            assert found[f"postroad_{measure.name}"] == number


def test_a_label_with_ever_new_values_stays_bounded() -> None:
    cell = CounterCell(Family("x_total", "counter", "X.", ("a", "b")))
    for number in range(CELLS_LIMIT * 3):
        cell.add((str(number), "b"))
    cell.add(("long" * 1000, "b"))
    found = {series.labels: series.value for series in cell.series()}
    assert len(found) == CELLS_LIMIT + 1
    assert found[OTHER, OTHER] == 2 * CELLS_LIMIT + 1
    assert sum(found.values()) == CELLS_LIMIT * 3 + 1
    cell.add(("0", "b"))
    assert {series.labels: series.value for series in cell.series()}["0", "b"] == 2
