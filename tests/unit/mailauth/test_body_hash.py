"""Bodies hashed in one pass are what the RFC's two algorithms say, however they are cut into pieces."""

import re
from hashlib import sha256
from random import Random

from postroad.mailauth.body_hash import BodyHashes
from tests.support.mailauth import feed

ALPHABET = (b" ", b" ", b"\t", b"\r\n", b"\r\n", b"\r", b"\n", b"a", b"bc", b"\0", b"\v", b"\xff")


def canonical(body: bytes, *, is_relaxed: bool) -> bytes:
    """RFC 6376 3.4.3 and RFC 6376 3.4.4, word for word and without regard to time."""
    lines = body.split(b"\r\n")
    if is_relaxed:
        lines = [re.sub(rb"[ \t]+", b" ", line) for line in lines]
        lines = [line.rstrip(b" ") for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        return b"" if is_relaxed else b"\r\n"
    return b"\r\n".join(lines) + b"\r\n"


def bodies(count: int, seed: int) -> list[bytes]:
    dice = Random(seed)
    return [b"".join(dice.choices(ALPHABET, k=dice.randrange(14))) for _ in range(count)]


def test_every_body_is_hashed_as_the_rfc_says_in_any_pieces() -> None:
    dice = Random(1)
    for octets in bodies(3000, 2):
        for step in (0, 1, 1 + dice.randrange(5)):
            body = BodyHashes()
            body.want(is_relaxed=True)
            body.want(is_relaxed=False)
            feed(body, octets, step)
            for is_relaxed in (True, False):
                expected = sha256(canonical(octets, is_relaxed=is_relaxed)).digest()
                assert body.digest(is_relaxed=is_relaxed) == expected, (octets, step, is_relaxed)


def test_all_lengths_are_hashed_at_once_and_none_beyond_the_end() -> None:
    dice = Random(3)
    for octets in bodies(800, 4):
        body = BodyHashes()
        for is_relaxed in (True, False):
            for length in range(20):
                body.want(is_relaxed=is_relaxed, length=length)
        feed(body, octets, 1 + dice.randrange(4))
        for is_relaxed in (True, False):
            whole = canonical(octets, is_relaxed=is_relaxed)
            for length in range(20):
                expected = sha256(whole[:length]).digest() if length <= len(whole) else None
                assert body.digest(is_relaxed=is_relaxed, length=length) == expected, (octets, length)


def test_pieces_may_be_views() -> None:
    body = BodyHashes()
    body.want(is_relaxed=True)
    for piece in (memoryview(b"one \r"), bytearray(b"\ntwo"), b""):
        body.feed(piece)
    body.finish()
    assert body.digest(is_relaxed=True) == sha256(b"one\r\ntwo\r\n").digest()


def test_nothing_is_done_that_nobody_wants() -> None:
    body = BodyHashes()
    assert not body.is_wanted
    body.feed(b"x")
    body.finish()


def test_many_empty_lines_cost_no_memory_until_something_follows() -> None:
    body = BodyHashes()
    body.want(is_relaxed=True)
    body.want(is_relaxed=False)
    lines = b"\r\n" * 100_000
    for _ in range(4):
        body.feed(lines)
    body.feed(b"x")
    body.finish()
    expected = sha256(lines * 4 + b"x\r\n").digest()
    assert body.digest(is_relaxed=True) == expected == body.digest(is_relaxed=False)
