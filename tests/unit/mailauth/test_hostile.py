"""Mail and DNS made to cost time or memory: each bound is proved by what is done, not by a clock."""

import tracemalloc
from hashlib import sha256

import pytest

from postroad.mailauth.body_hash import BodyHashes
from postroad.mailauth.dkim_signature import read_signature
from postroad.mailauth.dkim_verify import SIGNATURES_LIMIT, Verification
from postroad.mailauth.fields import Fields, names_of
from postroad.model.dns import Answer, DnsStatus
from tests.support.mailauth import NOW, chain, check, key, sign, words, zone

ED = key("ed25519")
ZONE = zone(ED)
PLAIN = b"From: a@example.com\r\nTo: b@example.net\r\n\r\nHi\r\n"
SIGNED = sign(PLAIN, [ED])
MEGABYTE = 1 << 20


def test_of_ten_thousand_signatures_ten_are_checked_and_asked_about() -> None:
    lines = b"".join(
        b"DKIM-Signature: v=1; a=rsa-sha256; d=d%d.example; s=s; h=from; l=%d; b=aaaa; bh=%s\r\n"
        % (n, n, b"A" * 43 + b"=")
        for n in range(10_000)
    )
    body = BodyHashes()
    verification = Verification(Fields(lines + PLAIN), body, NOW)
    assert len(verification.key_names) == SIGNATURES_LIMIT
    results = check(lines + SIGNED, ZONE)
    assert len(results) == SIGNATURES_LIMIT + 1
    assert results[-1].reason == "9991 more signatures were not looked at: 10 are enough"


def test_a_field_is_hashed_once_for_each_of_its_names() -> None:
    names = names_of(b":".join([b"from", b"to", b"nothing"] * 100_000))
    fields = Fields(b"From: a\r\n" + b"To: x\r\n" * 3)
    assert fields.chosen(names) == [0, 3, 2, 1]


@pytest.mark.parametrize("filling", [b" ", b"x", b"=", b":", b"x:", b"\r\n ", b"\t", b"a=b", b"b= ", b"\xff", b" ="])
def test_megabytes_in_a_signature_are_read_or_refused(filling: bytes) -> None:
    junk = filling * (MEGABYTE // len(filling))
    for value in (
        b"v=1; a=ed25519-sha256; d=example.com; s=s; h=from; bh=" + junk + b"; b=" + junk,
        b"v=1; a=ed25519-sha256; d=" + junk + b"; s=s; h=from; bh=x; b=y",
        b"v=1; h=" + junk,
        junk + b"; v=1",
    ):
        (found,) = check(b"DKIM-Signature: " + value + b"\r\n" + PLAIN, ZONE)
        assert found.result in {"neutral", "permerror"}
        assert len(found.reason) < 400
        assert max(map(len, (found.domain, found.selector, found.identity, found.start))) < 300


def test_huge_tag_lists_are_refused_at_their_limit() -> None:
    (found,) = check(b"DKIM-Signature: " + b"a=b;" * 250_000 + b"\r\n" + PLAIN, ZONE)
    assert found.reason == "the signature cannot be read: it has more than 64 tags"
    message = b"ARC-Seal: i=1;" + b";" * MEGABYTE + b"\r\n" + PLAIN
    assert chain(message, ZONE).reason == "a field arc-seal cannot be read: it has more than 64 tags"


def test_megabytes_of_fields_that_nobody_signed_change_nothing() -> None:
    assert words(b"X-Long: " + b"x " * MEGABYTE + b"\r\n" + SIGNED, ZONE) == ["pass"]
    assert words(b"X-Many: x\r\n" * 100_000 + SIGNED, ZONE) == ["pass"]
    assert words(b"no field at all\r\n" * 100_000 + SIGNED, ZONE) == ["pass"]


def test_megabytes_of_a_signed_field_are_signed() -> None:
    message = b"Subject: " + b"word  \t" * (MEGABYTE // 7) + b"\r\n" + PLAIN
    assert words(sign(message, [ED]), ZONE) == ["pass"]


def test_a_key_answer_of_64_kilobytes_is_no_key() -> None:
    for text in ("p=" + "A" * 65_000, "x" * 65_000, "; " * 32_000, "\xff" * 65_000):
        assert words(SIGNED, {ED.name: Answer(DnsStatus.FOUND, (text,))}) == ["permerror"]


@pytest.mark.parametrize("length", [b"99999999", b"9" * 76, b"18446744073709551616"])
def test_a_length_beyond_the_body_is_no_reason_to_read_on(length: bytes) -> None:
    line = SIGNED[: -len(PLAIN)].replace(b"\tb=", b"\tl=" + length + b"; b=")
    (found,) = check(line + PLAIN, ZONE)
    assert (found.result, found.reason) == ("fail", f"l= counts {length.decode()} octets, and the body has fewer")


def test_a_large_body_is_hashed_in_little_memory() -> None:
    line = (b"word " * 12 + b"  \r\n") * 1024
    blank = b" \r\n" * 20_000
    empty = b"\r\n" * 20_000
    body = BodyHashes()
    body.want(is_relaxed=True)
    body.want(is_relaxed=True, length=70_000)
    tracemalloc.start()
    for _ in range(60):
        body.feed(line)
        body.feed(blank)
    body.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
    expected = sha256()
    clean = line.replace(b"   \r\n", b"\r\n")
    for _ in range(59):
        expected.update(clean + empty)
    expected.update(clean)
    assert body.digest(is_relaxed=True) == expected.digest()
    assert body.digest(is_relaxed=True, length=70_000) == sha256((clean + empty)[:70_000]).digest()


def test_lines_without_end_wait_for_nothing() -> None:
    body = BodyHashes()
    body.want(is_relaxed=True)
    for _ in range(50):
        body.feed(b"\r" * 10_000 + b" " * 10_000)
    body.finish()
    assert body.digest(is_relaxed=True) == sha256((b"\r" * 10_000 + b" ") * 49 + b"\r" * 10_000 + b"\r\n").digest()


def test_what_is_shown_of_a_signature_is_printable_and_short() -> None:
    evil = b"v=1; a=x; b=<script>; d=evil.example\xe2\x80\xae; s=" + b"y" * 4000 + b"; i=\xff; h=from; bh=z"
    found = read_signature(Fields(b"DKIM-Signature: " + evil + b"\r\n"), 0, NOW)
    for text in (found.domain, found.selector, found.identity, found.algorithm, found.start):
        assert text.isprintable()
        assert len(text) <= 253
