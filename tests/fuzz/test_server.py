"""The server session against any input: every byte split of a session gives the same transcript.

Inputs are built from the words of the protocol, broken ones included, so that the states behind them
are reached; the transcript and the accepted messages must not depend on how the octets arrive.
"""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from postroad.listener.settings import LimitsSettings, ListenerSettings
from postroad.smtp.data import DotReader
from tests.support.conversation import Desk, converse

WORDS = st.sampled_from(
    [
        *(
            line + b"\r\n"
            for line in (b"EHLO c.example", b"HELO c", b"DATA", b"RSET", b"NOOP", b"QUIT", b"BOGUS", b"VRFY x")
        ),
        *(b"MAIL FROM:" + rest + b"\r\n" for rest in (b"<a@example.org>", b"<> SIZE=10", b"<> BODY=BINARYMIME")),
        *(
            b"RCPT TO:" + rest + b"\r\n"
            for rest in (b"<b@example.net>", b"<c@d.example> NOTIFY=NEVER", b'<"a b"@[192.0.2.1]>')
        ),
        *(
            b"XCLIENT " + rest + b"\r\n"
            for rest in (b"ADDR=127.0.0.2", b"ADDR=192.0.2.1 HELO=me", b"LOGIN=a+2Bb PROTO=SMTP", b"NAME=[UNAVAILABLE]")
        ),
        *(b"BDAT " + rest + b"\r\n" for rest in (b"5", b"0 LAST", b"3 LAST", b"999", b"x")),
        *(
            b"\r\n",
            b"\n",
            b"\r",
            b".",
            b"..",
            b".\r\n",
            b"\r\n.\r\n",
            b"\n.\n",
            b"\r.\r",
            b"\0",
            b"abc",
            b"Subject: x\r\n",
        ),
        *(b"\xff\xfe", b"x" * 50, b"MAIL FROM:<\xc3\xbc@example.org> SMTPUTF8\r\n"),
    ]
)
START = st.sampled_from([b"", b"HELO c\r\n", b"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"])
SMALL = LimitsSettings.model_construct(
    **(LimitsSettings().model_dump() | {"message_size": 200, "command_line": 60, "errors_per_session": 8})
)


TRUSTING = ListenerSettings.model_validate({"bind": ["127.0.0.1:0"], "xclient": ["127.0.0.0/8"]})


def transcript(pieces: list[bytes]) -> tuple[bytes, list[bytes]]:
    desk = Desk(limits=SMALL, inline=32)
    return converse(desk, pieces, settings=TRUSTING), [content for _, content in desk.spool.messages]


@settings(max_examples=300)
@given(START, st.lists(WORDS, max_size=25), st.data())
def test_any_split_gives_the_same_transcript(start: bytes, words: list[bytes], data: st.DataObject) -> None:
    whole = start + b"".join(words)
    expected = transcript([whole])
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=12).map(sorted))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert transcript([piece for piece in pieces if piece]) == expected
    assert transcript([whole[place : place + 1] for place in range(len(whole))]) == expected


@settings(max_examples=200)
@given(st.binary(max_size=400))
def test_random_octets_get_only_whole_replies(octets: bytes) -> None:
    written, messages = transcript([octets])
    assert not messages
    for line in written.split(b"\r\n")[:-1]:
        assert re.fullmatch(rb"[2-5][0-9][0-9][ -].*", line)
    assert written.endswith(b"\r\n")


@given(
    st.lists(st.sampled_from([b".", b"..", b"a", b"\r\n", b"\r", b"\n", b".\r\n", b"\r\n."]), max_size=20),
    st.lists(st.integers(1, 6), min_size=1, max_size=8),
)
def test_dots_go_round(words: list[bytes], steps: list[int]) -> None:
    """Stuffing as RFC 5321 4.5.2 says, then reading in any steps, gives the content back."""
    content = b"".join(words) + b"\r\n"
    stuffed = content.replace(b"\r\n.", b"\r\n..")
    if stuffed.startswith(b"."):
        stuffed = b"." + stuffed
    wire = stuffed + b".\r\nNEXT"
    reader, got, rest, place, turn = DotReader(), b"", b"", 0, 0
    while not reader.ended:
        step = steps[turn % len(steps)]
        piece, rest = reader.feed(wire[place : place + step])
        got += piece
        place, turn = place + step, turn + 1
    assert got == content
    assert rest + wire[place:] == b"NEXT"
