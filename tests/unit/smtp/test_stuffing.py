"""Dot stuffing: what a receiver un-stuffs is what went in, in one piece and in any blocks."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.smtp.data import DotReader
from postroad.smtp.stuffing import Stuffer, stuff

CONTENT = st.lists(st.sampled_from([b"\r\n", b".", b"\r", b"\n", b"a", b"\xff", b"\0", b"line\r\n"])).map(b"".join)


def unstuffed(octets: bytes) -> bytes:
    reader = DotReader()
    content, rest = reader.feed(octets)
    assert reader.ended
    assert rest == b""
    return content


def whole(content: bytes) -> bytes:
    return content if content.endswith(b"\r\n") or not content else content + b"\r\n"


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        (b"", b".\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"a\r\n.b\r\n..\r\n", b"a\r\n..b\r\n...\r\n.\r\n"),
        (b"a\n.b\r\n", b"a\n.b\r\n.\r\n"),
        (b"a\r.b\r\n", b"a\r.b\r\n.\r\n"),
        (b"a\r", b"a\r\r\n.\r\n"),
    ],
)
def test_stuffed(content: bytes, sent: bytes) -> None:
    assert stuff(content) == sent


@given(CONTENT)
def test_receiver_gets_what_was_sent(content: bytes) -> None:
    assert unstuffed(stuff(content)) == whole(content)


@given(CONTENT, st.lists(st.integers(0, 40)))
def test_blocks_give_the_same_as_one_piece(content: bytes, cuts: list[int]) -> None:
    stuffer = Stuffer()
    edges = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    blocks = [content[start:end] for start, end in pairwise(edges)]
    assert b"".join(stuffer.feed(block) for block in blocks) + stuffer.end() == stuff(content)
