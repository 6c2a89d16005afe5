"""Signatures that we make: right for every message, broken by every change that counts, and well formed."""

from random import Random

import pytest

from postroad.mailauth.body_hash import BodyHashes
from postroad.mailauth.dkim_sign import Signing
from postroad.mailauth.dkim_tags import parse_tags
from postroad.mailauth.dkim_terms import OVERSIGNED_FIELDS, SIGNED_FIELDS, SigningTerms
from postroad.mailauth.fields import Fields
from tests.support.generated import messages
from tests.support.mailauth import NOW, check, key, sign, split, words, zone

ED, RSA = key("ed25519"), key("rsa1024")
ZONE = zone(ED, RSA)
TERMS = tuple(
    SigningTerms(relaxed_header=header, relaxed_body=body, expire_after=after, identity=identity)
    for header, body, after, identity in (
        (True, True, 0, ""),
        (True, False, 3600, "@mail.example.com"),
        (False, True, 0, "joe@example.com"),
        (False, False, 86_400, ""),
    )
)


def test_whatever_is_signed_is_found_right_in_any_pieces() -> None:
    dice = Random(11)
    for number, message in enumerate(messages(1500, 12)):
        terms = TERMS[number % len(TERMS)]
        keys = [RSA, ED] if number % 10 == 0 else [ED]
        step = dice.choice((0, 1, 2, 3, 7))
        signed = sign(message, keys, terms, step=step)
        assert signed.endswith(message)
        results = check(signed, ZONE, step=dice.choice((0, 1, 5)))
        assert [one.result for one in results] == ["pass"] * len(keys), (message, [one.reason for one in results])


def test_every_change_of_what_is_signed_breaks_it() -> None:
    dice = Random(13)
    strict = SigningTerms(relaxed_header=False, relaxed_body=False)
    for message in messages(60, 14):
        signed = sign(message, [ED], strict)
        head, _ = split(signed)
        fields = Fields(head)
        own = len(fields.raw[0])
        for _ in range(12):
            at = dice.randrange(len(signed))
            name = signed[:at].rpartition(b"\r\n")[2] + signed[at:].partition(b"\r\n")[0]
            if at < len(head) and not _counts(name, at < own):
                continue
            other = bytes([signed[at] ^ dice.choice((1, 2, 4, 8, 16))])
            broken = signed[:at] + other + signed[at + 1 :]
            if split(broken)[0].lower().count(b"from:") != split(signed)[0].lower().count(b"from:"):
                continue
            assert "pass" not in words(broken, ZONE), (at, signed, broken)


def _counts(line: bytes, is_own: bool) -> bool:
    """A line of a field that is signed, as far as one can tell from the line alone."""
    return not is_own and line.lower().startswith((b"from:", b"to:", b"subject:", b"date:", b"message-id:"))


def test_nothing_can_be_added_to_what_is_oversigned() -> None:
    message = b"From: a@example.com\r\nX-Other: x\r\n\r\nHi\r\n"
    signed = sign(message, [ED])
    for name in OVERSIGNED_FIELDS:
        line = f"{name}: evil@example.org\r\n".encode()
        assert words(line + signed, ZONE) == ["fail"], name
        assert words(signed.replace(b"X-Other", line + b"X-Other"), ZONE) == ["fail"], name
    assert words(b"X-Other: y\r\nReceived: by x\r\n" + signed, ZONE) == ["pass"]


def test_all_fields_of_a_name_are_signed() -> None:
    message = b"From: a@example.com\r\nList-Id: <1>\r\nX-A: y\r\nList-Id: <2>\r\n\r\nHi\r\n"
    signed = sign(message, [ED])
    assert check(signed, ZONE)[0].headers.count("list-id") == 2
    for old in (b"<1>", b"<2>"):
        assert words(signed.replace(old, b"<3>"), ZONE) == ["fail"]


def test_a_signature_is_well_formed() -> None:
    message = b"".join(f"{name}: x\r\n".encode() for name in SIGNED_FIELDS) + b"\r\n"
    long_name = "a." * 60 + "example.com"
    for own in (key("rsa2048"), key("ed25519", 3, long_name)):
        signed = sign(message, [own], SigningTerms(expire_after=60))
        added = signed[: len(signed) - len(message)]
        lines = added.split(b"\r\n")
        assert lines[-1] == b""
        assert all(line[:1] == b"\t" for line in lines[1:-1])
        assert max(map(len, lines)) <= 76 + (len(long_name) if own.domain == long_name else 0)
        tags = parse_tags(added.partition(b":")[2])
        assert isinstance(tags, dict)
        assert list(tags) == [b"v", b"a", b"c", b"d", b"s", b"t", b"x", b"h", b"bh", b"b"]
        assert (tags[b"t"], tags[b"x"]) == (b"%d" % NOW, b"%d" % (NOW + 60))
        assert (tags[b"d"], tags[b"s"]) == (own.domain.encode(), own.selector.encode())
        assert words(signed, zone(own)) == ["pass"]


@pytest.mark.parametrize("count", [0, 2])
def test_a_message_without_exactly_one_author_field_is_not_signed(count: int) -> None:
    head = b"Subject: x\r\n" + b"From: a@example.com\r\n" * count
    body = BodyHashes()
    signing = Signing(Fields(head), body, [ED], NOW, TERMS[0])
    assert signing.fault == f"a message that is signed has one From field, this one {count}"
    assert not body.is_wanted
    assert signing.lines() == b""


def test_of_very_many_fields_the_bottom_ones_are_signed() -> None:
    message = b"From: a@example.com\r\n" + b"".join(b"Reply-To: %d\r\n" % n for n in range(60)) + b"\r\n"
    signed = sign(message, [ED])
    assert check(signed, ZONE)[0].headers.count("reply-to") == 50
    assert words(signed.replace(b"To: 59\r", b"To: 5x\r"), ZONE) == ["fail"]


def test_what_is_signed_passes_on_below_what_relays_add() -> None:
    signed = sign(b"From: a@example.com\r\nSubject: x\r\n\r\nHi\r\n", [ED, RSA])
    assert words(b"Received: by relay\r\n\twith ESMTP\r\n" + signed, ZONE) == ["pass", "pass"]
