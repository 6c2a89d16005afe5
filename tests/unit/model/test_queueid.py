"""Queue ids grow with time, never repeat, and are safe as file names."""

from hypothesis import given
from hypothesis import strategies as st

from postroad.model.queueid import QueueIds, instant_of, is_queue_id


@given(st.lists(st.integers(1_500_000_000_000_000, 2_500_000_000_000_000), min_size=2, max_size=30), st.integers(0))
def test_ids_only_grow(times: list[int], node: int) -> None:
    ids = QueueIds(node)
    given_out = [ids.new(now) for now in times]
    assert given_out == sorted(set(given_out))
    assert all(is_queue_id(text) for text in given_out)


def test_order_follows_time_and_nodes_differ() -> None:
    one, two = QueueIds(1), QueueIds(2)
    assert one.new(1_790_000_000_000_000) < one.new(1_790_000_000_000_010) < two.new(1_790_000_001_000_000)
    assert one.new(1_795_000_000_000_000) != two.new(1_795_000_000_000_000)


def test_foreign_text_is_no_id() -> None:
    for text in ("", "../../etc/pass", "0000000000000/", "AEIOUaeiou123", "0" * 12, "0" * 14):
        assert not is_queue_id(text)


@given(st.integers(1_500_000_000_000_000, 2_500_000_000_000_000), st.integers(0))
def test_the_instant_of_an_id(now: int, node: int) -> None:
    assert instant_of(QueueIds(node).new(now)) == now
    assert instant_of("x") == 0
