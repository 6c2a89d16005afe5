"""Content is taken in parts that never part a line end, and are all of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.api.door import PIECE, _pieces


@given(st.lists(st.tuples(st.integers(0, 2 * PIECE), st.sampled_from([b"\r\n", b"\r\n\r\n", b""])), max_size=4))
def test_parts(lines: list[tuple[int, bytes]]) -> None:
    content = b"".join(b"x" * length + end for length, end in lines)
    found = list(_pieces(content))
    assert b"".join(found) == content
    assert all(not piece.endswith(b"\r") and 0 < len(piece) <= PIECE + 1 for piece in found)


@pytest.mark.parametrize("before", range(PIECE - 3, PIECE + 2))
def test_a_line_end_at_the_edge(before: int) -> None:
    found = list(_pieces(b"x" * before + b"\r\n" + b"y" * 10))
    assert not any(piece.endswith(b"\r") or piece.startswith(b"\n") for piece in found)
