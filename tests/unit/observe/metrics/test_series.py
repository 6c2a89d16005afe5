"""Several processes add up: counted apart and joined is the same as counted in one place."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from postroad.model.records import Record
from postroad.observe.metrics.counting import Counting, record_families
from postroad.observe.metrics.readings import FREE, READY, SESSIONS
from postroad.observe.metrics.series import Family, Series, merge
from tests.support.records import SAMPLES

SPLIT = st.lists(st.tuples(st.sampled_from(SAMPLES), st.integers(0, 2)), max_size=60)


def as_values(series: list[Series]) -> dict[tuple[str, tuple[str, ...]], tuple[float, tuple[int, ...]]]:
    return {(one.name, one.labels): (round(one.value, 6), one.counts) for one in series}


@given(SPLIT)
def test_counted_apart_is_counted_together(records: list[tuple[Record, int]]) -> None:
    together, apart = Counting(), [Counting() for _ in range(3)]
    for record, process in records:
        together(record)
        apart[process](record)
    sent = [msgspec.msgpack.encode(list(one.series())) for one in apart]  # as they would come from other processes
    parts = [msgspec.msgpack.decode(one, type=list[Series]) for one in sent]
    assert as_values(merge(record_families(), parts)) == as_values(list(together.series()))


def test_gauges_are_added_or_the_lowest_stands() -> None:
    def part(ready: float, sessions: float, free: float) -> list[Series]:
        pairs: tuple[tuple[Family, float], ...] = ((READY, ready), (SESSIONS, sessions), (FREE, free))
        return [Series(family.name, (), value) for family, value in pairs]

    joined = merge((READY, SESSIONS, FREE), [part(1, 10, 500), part(0, 5, 400), part(1, 0, 600)])
    assert joined == part(0, 15, 400)


def test_what_only_one_process_has_stays_as_it_is() -> None:
    only = Series("postroad_queue_messages", (), 7)
    assert merge((), [[only], []]) == [only]
