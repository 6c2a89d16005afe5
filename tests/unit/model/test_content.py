"""Octets that are left out when content is read, however it is read."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from postroad.model.content import CutContent, cut, without
from postroad.policy.adjusting import joined

RANGES = st.lists(st.tuples(st.integers(0, 120), st.integers(0, 120)), max_size=6)
WHOLE = bytes(range(100))


class File:
    """Large content."""

    size = len(WHOLE)

    async def read(self, offset: int, length: int) -> bytes:
        return WHOLE[offset : offset + length]


def expected(cuts: list[tuple[int, int]]) -> bytes:
    """What is left, octet by octet."""
    return bytes(octet for octet in WHOLE if not any(first <= octet < last for first, last in cuts))


@given(RANGES, st.integers(1, 30))
def test_every_way_of_reading_leaves_the_same_out(cuts: list[tuple[int, int]], step: int) -> None:
    wanted = expected([pair for pair in cuts if pair[0] < pair[1]])
    ordered = tuple((first, min(last, len(WHOLE))) for first, last in joined(cuts) if first < len(WHOLE))
    assert cut(WHOLE, ordered) == without(WHOLE, ordered) == wanted
    content = CutContent(File(), ordered)
    assert content.size == len(wanted)

    async def read_all() -> bytes:
        parts = [await content.read(at, step) for at in range(0, content.size, step)]
        assert await content.read(content.size, step) == b""
        assert all(len(part) == step for part in parts[:-1])
        return b"".join(parts)

    assert asyncio.run(read_all()) == wanted
    pieces = [cut(WHOLE[at : at + step], ordered, at) for at in range(0, len(WHOLE), step)]
    assert b"".join(pieces) == wanted


def test_ranges_are_put_in_order_and_those_that_meet_made_one() -> None:
    assert joined([(5, 9), (0, 2), (2, 3), (8, 12), (4, 4), (7, 6)]) == ((0, 3), (5, 12))
