"""Rates and shared concurrency: never more than a rate allows in any span of its period, and not much less."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.queue.limits import GROUPS, PATIENCE, Rate, new_limit, parse_rate
from postroad.queue.times import NEVER
from tests.unit.queue.builders import NOW, SECOND

MINUTE = 60 * SECOND


@pytest.mark.parametrize(
    ("text", "count", "period"),
    [
        ("1/second", 1, SECOND),
        ("100/minute", 100, MINUTE),
        ("7 / hour", 7, 60 * MINUTE),
        ("5000/day", 5000, 86400 * SECOND),
    ],
)
def test_rates_as_written(text: str, count: int, period: int) -> None:
    assert parse_rate(text) == Rate(count, period)


@pytest.mark.parametrize(
    "text", ["", "5", "5/", "/day", "0/day", "-1/day", "1/week", "1.5/day", "٣/day", "9" * 5000 + "/day"]
)
def test_other_texts_are_no_rates(text: str) -> None:
    with pytest.raises(ValueError, match="is not a rate"):
        parse_rate(text)


def test_a_burst_comes_back_when_its_last_instant_has_left() -> None:
    limit = new_limit("x", rates=(Rate(3, MINUTE),))
    limit.count(NOW, 2)
    limit.count(NOW + SECOND // 2, 1)
    assert limit.free(NOW + 30 * SECOND) == 0
    assert limit.opens(NOW + 30 * SECOND) == NOW + MINUTE + SECOND // 2
    assert limit.opens(NOW + MINUTE + SECOND // 2) == 0
    assert limit.free(NOW + MINUTE + SECOND // 2) == 3


def test_of_several_rates_the_strictest_counts() -> None:
    limit = new_limit("x", rates=(Rate(2, SECOND), Rate(3, MINUTE)))
    limit.count(NOW, 2)
    assert limit.opens(NOW) == NOW + SECOND
    limit.count(NOW + SECOND, 1)
    assert limit.free(NOW + SECOND) == 0
    assert limit.opens(NOW + SECOND) == NOW + MINUTE


def test_what_is_reserved_is_not_free() -> None:
    limit = new_limit("x", rates=(Rate(2, MINUTE),))
    limit.reserved = 2
    assert (limit.free(NOW), limit.opens(NOW)) == (0, NEVER)
    limit.reserved = 1
    assert (limit.free(NOW), limit.opens(NOW)) == (1, 0)


def test_a_clock_that_is_set_back_does_not_close_a_rate_for_long() -> None:
    limit = new_limit("x", rates=(Rate(1, MINUTE),))
    limit.count(NOW, 1)
    earlier = NOW - 86400 * SECOND
    assert limit.opens(earlier) == earlier + MINUTE
    limit.count(earlier, 1)
    assert limit.opens(earlier + MINUTE) == 0


def test_concurrency_opens_when_somebody_ends() -> None:
    limit = new_limit("x", concurrency=2)
    limit.running = 1
    assert limit.opens(NOW) == 0
    limit.running = 2
    assert limit.opens(NOW) == NEVER


def test_a_peer_that_complains_lowers_the_cap_and_patience_raises_it() -> None:
    limit = new_limit("x", concurrency=10)
    limit.running = 8
    limit.crowd(0)
    assert limit.cap == 7
    limit.crowd(3)
    assert limit.cap == 3
    for _ in range(PATIENCE):
        limit.succeed()
    assert limit.cap == 4
    for _ in range(20 * PATIENCE):
        limit.succeed()
    assert limit.cap == 10


@given(st.integers(1, 20), st.lists(st.tuples(st.integers(0, 30 * SECOND), st.integers(1, 5)), max_size=200))
def test_no_span_of_the_period_has_more_and_little_is_wasted(count: int, steps: list[tuple[int, int]]) -> None:
    limit = new_limit("x", rates=(Rate(count, MINUTE),))
    now = NOW
    taken: list[tuple[int, int]] = []
    for pause, wanted in steps:
        now += pause
        free = limit.free(now)
        true = count - sum(size for at, size in taken if at > now - MINUTE)
        late = count - sum(size for at, size in taken if at > now - MINUTE - MINUTE // GROUPS)
        assert late <= free <= true
        assert (limit.opens(now) == 0) == (free > 0)
        if free <= 0:
            opens = limit.opens(now)
            assert now < opens <= now + MINUTE
        size = min(wanted, free)
        if size > 0:
            limit.count(now, size)
            taken.append((now, size))
    assert all(len(window.groups) <= GROUPS + 1 for window in limit.windows)
