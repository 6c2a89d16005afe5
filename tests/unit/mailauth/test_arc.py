"""Chains of ARC sets: which are unbroken, which are not, and what we add to them (RFC 8617 5)."""

import re

import pytest

from postroad.model.dns import Answer, DnsStatus
from tests.support.generated import messages
from tests.support.mailauth import NOW, chain, key, seal, sign, words, zone

ONE, TWO, ED = key("rsa1024", 1, "one.example"), key("rsa1024", 2, "two.example"), key("ed25519", 3, "three.example")
ZONE = zone(ONE, TWO, ED, key("ed25519"))
PLAIN = (
    b"From: Joe <joe@example.com>\r\nTo: list@one.example\r\nSubject: Hi there\r\n"
    b"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\nOne  line.\r\n\r\n"
)


def sealed(times: int, message: bytes = PLAIN) -> bytes:
    for number in range(times):
        message, fault = seal(message, (ONE, TWO, ED)[number % 3], ZONE)
        assert fault == ""
    return message


THREE = sealed(3)


def without(number: int, name: bytes, message: bytes = THREE) -> bytes:
    return re.sub(rb"(?m)^%s: i=%d;[^\r]*\r\n(?:[ \t][^\r]*\r\n)*" % (name, number), b"", message)


def field(number: int, name: bytes, message: bytes = THREE) -> bytes:
    found = re.search(rb"(?m)^%s: i=%d;[^\r]*\r\n(?:[ \t][^\r]*\r\n)*" % (name, number), message)
    assert found
    return found[0]


def test_a_message_without_sets_has_no_chain() -> None:
    found = chain(PLAIN, ZONE)
    assert (found.result, found.instances, found.is_pass) == ("none", 0, False)


@pytest.mark.parametrize("times", [1, 2, 5])
def test_what_we_seal_passes_and_tells_who_says_what(times: int) -> None:
    found = chain(sealed(times), ZONE)
    assert (found.result, found.instances, found.is_pass) == ("pass", times, True)
    assert found.sealers == ("one.example", "two.example", "three.example", "one.example", "two.example")[:times]
    assert found.claims == ("relay.example.com; spf=pass smtp.mailfrom=example.net",) * times
    assert found.oldest_pass == 0
    assert found.reason == "unbroken, sealed by " + ", ".join(found.sealers)


def test_a_set_stands_on_top_with_its_three_fields() -> None:
    message = sealed(1)
    lines = message[: len(message) - len(PLAIN)].split(b"\r\n")
    names = [line.partition(b":")[0] for line in lines if line[:1] not in (b"\t", b"")]
    assert names == [b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results"]
    assert max(map(len, lines)) <= 76
    assert lines[0] == b"ARC-Seal: i=1; cv=none; a=rsa-sha256; d=one.example; s=rsa1024-1;"


def test_fifty_sets_are_the_most() -> None:
    message = PLAIN
    for _ in range(50):
        message, fault = seal(message, ED, ZONE)
        assert fault == ""
    found = chain(message, ZONE)
    assert (found.result, found.instances, found.is_over) == ("pass", 50, True)
    unchanged, fault = seal(message, ED, ZONE)
    assert (unchanged, fault) == (message, f"the chain is over: {found.reason}")
    extra = field(50, b"ARC-Seal", message).replace(b"i=50", b"i=51")
    assert chain(extra + message, ZONE).reason == "it has more than 50 ARC sets"
    many = b"ARC-Seal: i=1; cv=none\r\n" * 10_000 + PLAIN
    assert chain(many, ZONE).reason == "it has more than 50 ARC sets"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (without(2, b"ARC-Seal"), "instance 2: not all three of its fields are there"),
        (without(1, b"ARC-Message-Signature"), "instance 1: not all three of its fields are there"),
        (without(3, b"ARC-Authentication-Results"), "instance 3: not all three of its fields are there"),
        (field(2, b"ARC-Seal") + THREE, "instance 2 has two fields arc-seal"),
        (field(1, b"ARC-Authentication-Results") + THREE, "instance 1 has two fields arc-authentication-results"),
        (without(2, b"ARC-[A-Za-z-]*"), "an instance is missing between 1 and the highest"),
        (without(1, b"ARC-[A-Za-z-]*"), "an instance is missing between 1 and the highest"),
        (THREE.replace(b"i=3; cv=pass", b"i=3; cv=none"), "instance 3: its seal has cv='none' and not pass"),
        (THREE.replace(b"i=1; cv=none", b"i=1; cv=pass"), "instance 1: its seal has cv='pass' and not none"),
        (THREE.replace(b"i=2; cv=pass", b"i=2; cv=fail"), "instance 2: its seal has cv='fail' and not pass"),
        (THREE.replace(b"i=3; cv=pass", b"i=3; cv=fail"), "instance 3 was sealed as failed already"),
        (THREE.replace(b"i=3; cv=pass;", b"i=3;"), "instance 3: its seal has cv='' and not pass"),
        (THREE.replace(b"ARC-Seal: i=3", b"ARC-Seal: i=0"), "a field arc-seal has no instance from 1 to 50"),
        (THREE.replace(b"ARC-Seal: i=3", b"ARC-Seal: i=51"), "a field arc-seal has no instance from 1 to 50"),
        (THREE.replace(b"ARC-Seal: i=3", b"ARC-Seal: i=x"), "a field arc-seal has no instance from 1 to 50"),
        (THREE.replace(b"ARC-Seal: i=3;", b"ARC-Seal:"), "a field arc-seal has no instance from 1 to 50"),
        (
            THREE.replace(b"Results: i=3;", b"Results:"),
            "a field arc-authentication-results has no instance from 1 to 50",
        ),
        (THREE.replace(b"ARC-Seal: i=3;", b"ARC-Seal: i=3;;"), "a field arc-seal cannot be read: it has an empty tag"),
        (
            THREE.replace(b"i=3; cv=pass;", b"i=3; cv=pass; h=from;"),
            "instance 3: its seal cannot be used: it has a tag h=",
        ),
        (
            THREE.replace(b"i=2; cv=pass; a=rsa-sha256", b"i=2; cv=pass; a=rsa-sha1"),
            "its algorithm 'rsa-sha1' is not acc",
        ),
        (THREE.replace(b"i=2; cv=pass; a=rsa-sha256;", b"i=2; cv=pass;"), "its seal cannot be used: a= is missing"),
        (THREE.replace(b"i=1; cv=none", b"i=1; x=y; cv=none"), "the seal of instance 1 does not fit"),
        (THREE.replace(b"i=2; relay", b"i=2; delay"), "the seal of instance 2 does not fit"),
        (THREE.replace(b"i=1; relay", b"i=1; delay"), "the seal of instance 1 does not fit"),
        (THREE.replace(b"i=3; relay", b"i=3; delay"), "the seal of instance 3 does not fit"),
        (THREE.replace(b"Subject: Hi", b"Subject: Ho"), "(instance 3) does not hold: the signature does not fit"),
        (THREE.replace(b"One  line", b"Two lines"), "(instance 3) does not hold: the body was changed"),
        (THREE.replace(b"Signature: i=3; c=relaxed/relaxed", b"Signature: i=3; c=simple/relaxed"), "does not hold"),
        (THREE.replace(b"h=From:From", b"h=From:ARC-Seal", 1), "it signs ARC-Seal fields (RFC 8617 4.1.2)"),
        (THREE.replace(b"h=From:From", b"h=To:To", 1), "the From field is not signed"),
        (THREE.replace(b"d=three.example", b"d=four.example", 1), "there is no key ed25519-3._domainkey.four.example"),
    ],
)
def test_a_broken_chain_fails_and_says_where(message: bytes, reason: str) -> None:
    found = chain(message, ZONE)
    assert found.result == "fail", found
    assert reason in found.reason
    assert not found.is_temporary


def test_changes_that_canonical_forms_forgive_break_nothing() -> None:
    assert chain(THREE.replace(b"Hi there", b"Hi\r\n\tthere"), ZONE).is_pass
    assert chain(THREE.replace(b"i=2; relay", b"i=2;\r\n relay"), ZONE).is_pass
    assert chain(THREE.replace(b"One  line.", b"One line. "), ZONE).is_pass
    assert chain(b"Received: by x\r\n" + THREE, ZONE).is_pass


def test_the_fields_may_stand_in_any_order() -> None:
    moved = b"".join(
        field(n, name) for n in (2, 3, 1) for name in (b"ARC-Authentication-Results", b"ARC-Seal", b"ARC-M[a-zA-Z-]*")
    )
    assert chain(moved + PLAIN, ZONE).is_pass


def test_who_changes_and_seals_is_seen_as_the_oldest_that_still_holds() -> None:
    edited = sealed(1).replace(b"Subject: Hi", b"Subject: [list] Hi")
    message, fault = seal(sealed(1), TWO, ZONE, edited=edited)
    assert fault == ""
    message, _ = seal(message, ED, ZONE)
    found = chain(message, ZONE)
    # who sealed first is not asked about again: its key is needed for its seal, and so it is known all the same
    assert (found.result, found.instances, found.oldest_pass) == ("pass", 3, 2)


def test_a_broken_chain_is_sealed_as_broken_once() -> None:
    broken = THREE.replace(b"Subject: Hi", b"Subject: Ho")
    message, fault = seal(broken, ONE, ZONE)
    assert fault == ""
    assert message.startswith(b"ARC-Seal: i=4; cv=fail; a=rsa-sha256; d=one.example;")
    found = chain(message, ZONE)
    assert (found.result, found.is_over, found.instances) == ("fail", True, 4)
    again, fault = seal(message, TWO, ZONE)
    assert (again, fault) == (message, "the chain is over: instance 4 was sealed as failed already")


@pytest.mark.parametrize("name", [ONE.name, ED.name])
def test_what_dns_cannot_tell_may_be_different_later_and_is_not_sealed(name: str) -> None:
    known: dict[str, str | Answer] = {**ZONE, name: Answer(DnsStatus.TIMED_OUT)}
    found = chain(THREE, known)
    assert (found.result, found.is_temporary) == ("fail", True)
    message, fault = seal(THREE, TWO, known)
    assert message == THREE
    assert fault.startswith("the chain could not be checked: ")


def test_what_cannot_be_sealed_is_said() -> None:
    assert seal(b"Subject: x\r\n\r\n", ONE, ZONE)[1] == "a message that is sealed has one From field"
    assert seal(PLAIN, ONE, ZONE, "relay.example.com\r\nEvil: x")[1] == "what was found out is not one folded field"


def test_seals_and_signatures_leave_each_other_alone() -> None:
    own = key("ed25519")
    signed = sign(PLAIN, [own])
    both = sealed(2, signed)
    assert chain(both, ZONE).is_pass
    assert words(both, ZONE) == ["pass"]
    assert chain(sign(both, [own]), ZONE).is_pass


def test_whatever_is_sealed_passes() -> None:
    for message in messages(150, 21):
        once, fault = seal(message, ED, ZONE)
        assert fault == ""
        twice, _ = seal(once, ED, ZONE, now=NOW + 5)
        assert chain(twice, ZONE).is_pass, twice
