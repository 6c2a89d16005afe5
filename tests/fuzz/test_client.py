"""Peers that say anything, in any split: the client keeps its bounds and its promises.

It never raises but PeerError, never sends content before 354, never counts a recipient as taken without a
positive reply, and gives the same result however the octets are cut.
"""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from postroad.model.errors import PeerError
from postroad.smtp.client import ClientSession
from postroad.smtp.clientparse import Extensions, ReplyReader
from postroad.smtp.transaction import Transaction

LINE = st.sampled_from(
    [
        b"220 hi\r\n",
        b"250 Ok\r\n",
        b"250-peer\r\n",
        b"250-STARTTLS\r\n",
        b"250 PIPELINING\r\n",
        b"354 go\r\n",
        b"421 4.3.2 bye\r\n",
        b"450 4.2.1 later\r\n",
        b"452 4.5.3 many\r\n",
        b"550-5.1.1 a\r\n",
        b"550 5.1.1 b\r\n",
        b"552\n",
    ]
)
SAID = st.one_of(st.lists(LINE, max_size=12).map(b"".join), st.binary(max_size=60))
CUTS = st.lists(st.integers(0, 200), max_size=6)


def pieces(octets: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(octets)) for cut in cuts), len(octets)]
    return [octets[start:end] for start, end in pairwise(edges) if start < end]


def hold_session(parts: list[bytes], *, lmtp: bool, starttls: bool) -> tuple[bytes, str, bool, bool]:
    """What was sent, what is awaited, whether refused, whether it broke."""
    session = ClientSession("relay.example.com", lmtp=lmtp, starttls=starttls)
    sent = b""
    for part in parts:
        try:
            sent += session.receive(part)
        except PeerError:
            return sent, "", False, True
    return sent, session.awaiting, session.refused is not None, False


@given(SAID, CUTS, st.booleans(), st.booleans())
def test_session(said: bytes, cuts: list[int], lmtp: bool, starttls: bool) -> None:
    sent, _, _, _ = hold_session(pieces(said, cuts), lmtp=lmtp, starttls=starttls)
    assert all(line.split(b" ")[0] in (b"EHLO", b"LHLO", b"HELO", b"STARTTLS") for line in sent.splitlines())


def hold_transaction(parts: list[bytes], kind: tuple[bool, bool, bool]) -> tuple[object, ...]:
    pipelining, chunked, lmtp = kind
    commands = [f"RCPT TO:<u{number}@example.net>" for number in range(3)]
    transaction = Transaction(
        ReplyReader(), Extensions(pipelining=pipelining), "MAIL FROM:<>", commands, is_chunked=chunked, is_lmtp=lmtp
    )
    sent = transaction.begin(reset=True)
    for part in parts:
        try:
            sent += transaction.receive(part)
        except PeerError:
            break
        if transaction.ended:
            break
    answers = transaction.answers()
    assert len(answers) == 3
    assert transaction.accepted <= 3
    if transaction.wants_content:
        assert transaction.accepted
        assert chunked or b"354" in b"".join(parts)
    assert not any(reply is not None and reply.code < 400 for reply, _ in answers)  # the content was never sent
    return sent, answers, transaction.ended, transaction.wants_content, transaction.is_clean


@given(SAID, st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_transaction(said: bytes, kind: tuple[bool, bool, bool]) -> None:
    assert hold_transaction([said], kind)


@given(st.lists(LINE, max_size=10), CUTS, st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_any_split_gives_the_same_transaction(
    lines: list[bytes], cuts: list[int], kind: tuple[bool, bool, bool]
) -> None:
    octets = b"".join(lines)
    by_line = hold_transaction(lines, kind)
    assert hold_transaction([octets[number : number + 1] for number in range(len(octets))], kind) == by_line
    if kind[0]:  # in lock-step a reply that comes too early is a fault of the peer, not of the split
        assert hold_transaction(pieces(octets, cuts), kind)[1] == by_line[1]
