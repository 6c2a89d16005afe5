"""Replies and extensions of a peer: in any split, bounded, in the peer's own words."""

from collections import deque
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.model.errors import PeerError
from postroad.model.reply import Reply
from postroad.smtp.clientparse import LINE_LIMIT, LINES_LIMIT, Extensions, ReplyReader, _whole_replies, parse_extensions


@pytest.mark.parametrize(
    ("octets", "reply"),
    [
        (b"250 2.1.0 Ok\r\n", Reply(250, "2.1.0", "Ok")),
        (b"250\r\n", Reply(250, "", "")),
        (b"250 \r\n", Reply(250, "", "")),
        (b"250 Ok\n", Reply(250, "", "Ok")),
        (b"550 5.1.1\r\n", Reply(550, "5.1.1", "")),
        (b"550 4.1.1 other class\r\n", Reply(550, "", "4.1.1 other class")),
        (b"550 5.1.1.1 four numbers\r\n", Reply(550, "", "5.1.1.1 four numbers")),
        (b"550 5.7 two numbers\r\n", Reply(550, "", "5.7 two numbers")),
        (b"550-5.7.1 one\r\n550-5.7.1 two\r\n550 5.7.1 three\r\n", Reply(550, "5.7.1", "one\ntwo\nthree")),
        (b"550-one\r\n550 5.7.1 two\r\n", Reply(550, "5.7.1", "one\ntwo")),
        (b"450-a\r\n550 b\r\n", Reply(550, "", "a\nb")),
        (b"550 a\tb\x1b[31m\xff\x00c\r\n", Reply(550, "", "a b[31m\ufffdc")),
        ("550 5.1.1 Empfänger unbekannt\r\n".encode(), Reply(550, "5.1.1", "Empfänger unbekannt")),
    ],
)
def test_reply(octets: bytes, reply: Reply) -> None:
    reader = ReplyReader()
    assert list(reader.feed(octets)) == [reply]
    assert reader.is_between
    assert list(reader.feed(octets)) == [reply]  # from what is known


@pytest.mark.parametrize(
    "octets", [b"hello\r\n", b"\r\n", b"999 x\r\n", b"150 x\r\n", b"25 x\r\n", b"250+x\r\n", b"2\xb250 x\r\n"]
)
def test_what_is_no_reply(octets: bytes) -> None:
    with pytest.raises(PeerError, match="not an SMTP reply"):
        ReplyReader().feed(octets)


def test_bounds() -> None:
    with pytest.raises(PeerError, match="longer"):
        ReplyReader().feed(b"250 " + b"x" * LINE_LIMIT + b"\r\n")
    with pytest.raises(PeerError, match="longer"):
        ReplyReader().feed(b"x" * (LINE_LIMIT + 1))
    with pytest.raises(PeerError, match="more than"):
        ReplyReader().feed(b"250-x\r\n" * (LINES_LIMIT + 1))
    reader = ReplyReader()
    with pytest.raises(PeerError, match="more than"):
        deque((reader.feed(b"250-" + b"x" * 1000 + b"\r\n") for _ in range(LINES_LIMIT)), maxlen=0)


def test_memory_of_known_replies_is_bounded() -> None:
    for number in range(2000):
        octets = b"250 %d\r\n354 Go\r\n" % number
        assert list(ReplyReader().feed(octets)) == [Reply(250, "", str(number)), Reply(354, "", "Go")]
    assert _whole_replies.cache_info().currsize <= 512


def test_known_replies_are_the_same_for_every_peer() -> None:
    octets = b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 Go\r\n"
    first, second = ReplyReader(), ReplyReader()
    assert first.feed(octets) is second.feed(octets)
    assert second.feed(octets[:20]) == [Reply(250, "2.1.0", "Ok")]
    assert list(second.feed(octets[20:])) == [Reply(250, "2.1.5", "Ok"), Reply(354, "", "Go")]
    with pytest.raises(PeerError, match="not an SMTP reply"):
        first.feed(b"250 2.1.0 Ok\r\nhello\r\n")


@given(
    st.lists(
        st.sampled_from([b"250 2.0.0 Ok\r\n", b"354 Go\r\n", b"550-5.1.1 a\r\n550 5.1.1 b\r\n", b"250\r\n"]),
        max_size=20,
    ),
    st.lists(st.integers(0, 300)),
)
def test_any_split_gives_the_same(replies: list[bytes], cuts: list[int]) -> None:
    octets = b"".join(replies)
    edges = [0, *sorted(min(cut, len(octets)) for cut in cuts), len(octets)]
    reader, split = ReplyReader(), ReplyReader()
    parts = [reply for start, end in pairwise(edges) for reply in split.feed(octets[start:end])]
    assert parts == list(reader.feed(octets))


def test_extensions() -> None:
    lines = "host hello\nsize 1000\nPipelining\nLIMITS rcptmax=20 MAILMAX=5 X=y\n8BITMIME\nSMTPUTF8"
    lines += "\nCHUNKING\nBINARYMIME\nDSN\nSTARTTLS"
    assert parse_extensions(Reply(250, "", lines)) == Extensions(
        hello=True,
        pipelining=True,
        has_size=True,
        size=1000,
        eight_bit=True,
        smtputf8=True,
        chunking=True,
        binary=True,
        dsn=True,
        starttls=True,
        recipients=20,
        messages=5,
    )


@pytest.mark.parametrize("words", ["SIZE", "SIZE x", "SIZE -1", "SIZE ٣", "SIZE 0", f"SIZE {'9' * 30}"])
def test_size_without_a_limit(words: str) -> None:
    extensions = parse_extensions(Reply(250, "", f"host\n{words}"))
    assert extensions.has_size
    assert extensions.size == 0


def test_binary_without_chunking_is_nothing() -> None:
    assert not parse_extensions(Reply(250, "", "host\nBINARYMIME")).binary


def test_first_line_is_no_extension() -> None:
    assert parse_extensions(Reply(250, "", "PIPELINING")) == Extensions(hello=True)
