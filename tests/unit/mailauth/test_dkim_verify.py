"""What each signature comes to, and why (RFC 6376 6.1, RFC 8601 2.7.1)."""

from hashlib import sha256

import pytest

from postroad.mailauth.dkim_tags import encode_base64
from postroad.mailauth.dkim_terms import SigningTerms
from postroad.mailauth.fields import Fields, names_of, relaxed_line
from postroad.model.dns import Answer, DnsStatus
from tests.support.mailauth import NOW, check, key, sign, split, words, zone

PLAIN = (
    b"Received: from a.example by b.example; Tue, 14 Nov 2023 22:13:20 +0000\r\n"
    b"From: Joe <joe@example.com>\r\n"
    b"To: Sue <sue@example.net>\r\n"
    b"Subject: Is\r\n dinner  ready?\r\n"
    b"\r\n"
    b"Hi.  \r\n\r\nAre you hungry?\r\n\r\n"
)
ED = key("ed25519")
ZONE = zone(ED, key("rsa1024"))
LEAN = SigningTerms(signed=("From", "To", "Subject"), oversigned=(), has_time=False)
SIGNED = sign(PLAIN, [ED], LEAN)


def changed(old: bytes, new: bytes, message: bytes = SIGNED) -> bytes:
    assert old in message
    return message.replace(old, new, 1)


def resigned(**tags: str | None) -> bytes:
    """PLAIN with a signature of which some tags are others, or left out: by hand, and right as far as it can be."""
    from_tags = {"v": "1", "a": "ed25519-sha256", "c": "relaxed/relaxed", "d": "example.com", "s": ED.selector}
    known = from_tags | {
        "h": "from:to:subject",
        "bh": BODY_HASH,
        **{name.rstrip("_"): text for name, text in tags.items()},
    }
    value = "; ".join(f"{name}={text}" for name, text in known.items() if text is not None)
    return by_hand(value)


BODY_HASH = SIGNED.partition(b"bh=")[2].partition(b";")[0].decode()


def by_hand(value: str) -> bytes:
    fields = Fields(split(PLAIN)[0])
    names = value.partition("; h=")[2].partition(";")[0].encode()
    header = b"".join(fields.canonical(at, is_relaxed=True) for at in fields.chosen(names_of(names)))
    line = f"DKIM-Signature: {value}; b=".encode()
    return line + encode_base64(ED.sign(sha256(header + relaxed_line(line)).digest())) + b"\r\n" + PLAIN


def test_a_signature_that_fits_passes_and_says_all_about_itself() -> None:
    (result,) = check(SIGNED, ZONE)
    assert (result.result, result.reason) == ("pass", "example.com signed it")
    assert result.is_pass
    assert (result.domain, result.selector, result.identity) == ("example.com", ED.selector, "@example.com")
    assert (result.algorithm, result.bits, result.is_testing, result.length) == ("ed25519-sha256", 256, False, None)
    assert result.headers == ("from", "to", "subject")
    assert result.start.encode() == SIGNED.partition(b"\tb=")[2][:8]


def test_a_message_without_signatures_has_none() -> None:
    (result,) = check(PLAIN, ZONE)
    assert (result.result, result.reason) == ("none", "the message has no DKIM signature")


@pytest.mark.parametrize(
    ("message", "result", "reason"),
    [
        (changed(b"dinner", b"supper"), "fail", "the signature does not fit: a signed field was changed"),
        (changed(b"hungry", b"thirsty"), "fail", "the body was changed"),
        (changed(b"\r\n\r\nHi", b"\r\n\r\n\r\nHi"), "fail", "the body was changed"),
        (changed(b"To: Sue", b"To: a@example.org\r\nTo: Sue"), "pass", ""),  # not oversigned: taken from the bottom up
        (changed(b"To: Sue <sue@example.net>\r\n", b"To: Sue <sue@example.net>\r\nTo: a@b.c\r\n"), "fail", "the sig"),
        (changed(b"Is\r\n dinner  ready", b"Is dinner\r\n\tready"), "pass", ""),
        (changed(b"Subject:", b"SUBJECT :"), "pass", ""),
        (changed(b"Hi.  \r\n", b"Hi.\t\r\n"), "pass", ""),
        (changed(b"hungry?\r\n\r\n", b"hungry?\r\n\r\n\r\n"), "pass", ""),
        (changed(b"Received: from a", b"Received: from z"), "pass", ""),
        (changed(b"v=1", b"v=2"), "neutral", "the signature cannot be used: its version is '2'"),
        (changed(b"v=1; ", b""), "neutral", "the signature cannot be used: v= is missing"),
        (changed(b"v=1; ", b"v=1; v=1; "), "neutral", "the signature cannot be read: the tag 'v' is there twice"),
        (changed(b"v=1;", b"v=1;;"), "neutral", "the signature cannot be read: it has an empty tag"),
        (changed(b"v=1;", b"v=1; 1x=y;"), "neutral", "the signature cannot be read: '1x' is no name of a tag"),
        (changed(b"b=", b"b=\0", resigned()), "neutral", "the signature cannot be read: it has control characters"),
    ],
)
def test_changes_break_what_is_signed_and_nothing_else(message: bytes, result: str, reason: str) -> None:
    (found,) = check(message, ZONE)
    assert found.result == result, found.reason
    assert found.reason.startswith(reason)


@pytest.mark.parametrize(
    ("tags", "result", "reason"),
    [
        ({}, "pass", "example.com signed it"),
        ({"q": "dns/txt"}, "pass", "example.com signed it"),
        ({"q": "http/x : dns/txt"}, "pass", "example.com signed it"),
        ({"q": "http/x"}, "neutral", "its key is to be had by 'http/x' alone"),
        ({"z": "From:someone=40else.example|Subject:nothing"}, "pass", "example.com signed it"),
        ({"unknown": "tag"}, "pass", "example.com signed it"),
        ({"c": "relaxed"}, "fail", "the body was changed"),  # the body's is simple then
        ({"c": None}, "fail", "the body was changed"),
        ({"c": "relaxed/nofws"}, "neutral", "its canonicalisation 'relaxed/nofws' is not known"),
        ({"c": "relaxed/relaxed/simple"}, "neutral", "its canonicalisation 'relaxed/relaxed/simple' is not known"),
        ({"a": "rsa-sha1"}, "policy", "rsa-sha1 is not accepted (RFC 8301 3.1)"),
        ({"a": "ed448-shake"}, "neutral", "its algorithm 'ed448-shake' is not known"),
        ({"a": "rsa-sha256"}, "permerror", "is for ed25519, and the signature is of rsa"),
        ({"h": "to:subject"}, "permerror", "the From field is not signed"),
        ({"h": "From : Nothing : Subject : : To"}, "pass", "example.com signed it"),
        ({"h": "from:from:to:to:subject:subject"}, "pass", "example.com signed it"),
        ({"h": None}, "neutral", "h= is missing"),
        ({"bh": None}, "neutral", "bh= is missing"),
        ({"bh": "abcd"}, "neutral", "bh= is no hash"),
        ({"d": None}, "neutral", "d= is missing"),
        ({"d": "exa mple.com"}, "neutral", "d= or s= is no domain"),
        ({"d": "[192.0.2.1]"}, "neutral", "d= and s= are no name in DNS"),
        (
            {"s": "x" * 63 + ("." + "x" * 63) * 2 + ".aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
            "neutral",
            "d= and s= are no name",
        ),
        ({"s": "other"}, "permerror", "there is no key other._domainkey.example.com: NXDOMAIN"),
        ({"i": "joe@example.com"}, "pass", "example.com signed it"),
        ({"i": "@MAIL.Example.COM"}, "pass", "example.com signed it"),
        ({"i": "joe@badexample.com"}, "neutral", "the domain of i= is not within d=: 'joe@badexample.com'"),
        ({"i": "joe@com"}, "neutral", "the domain of i= is not within d="),
        ({"i": "example.com"}, "neutral", "the domain of i= is not within d="),
        ({"t": f"{NOW}", "x": f"{NOW + 1}"}, "pass", "example.com signed it"),
        ({"x": f"{NOW - 300}"}, "pass", "example.com signed it"),
        ({"x": f"{NOW - 301}"}, "fail", "it expired 301 seconds ago"),
        ({"t": f"{NOW}", "x": f"{NOW}"}, "neutral", "it expires before it begins"),
        ({"t": f"{NOW + 86_401}"}, "neutral", "it was made 86401 seconds from now"),
        ({"t": f"{NOW + 86_400}"}, "pass", "example.com signed it"),
        ({"t": "soon"}, "neutral", "t= or x= is no number"),
        ({"x": "-1"}, "neutral", "t= or x= is no number"),
        ({"x": "9" * 76}, "pass", "example.com signed it"),
        ({"x": "9" * 77}, "neutral", "t= or x= is no number"),
        ({"l": "x"}, "neutral", "l= is no number"),
        ({"l": "10000"}, "fail", "l= counts 10000 octets, and the body has fewer"),
    ],
)
def test_each_tag_means_what_the_rfc_says(tags: dict[str, str | None], result: str, reason: str) -> None:
    (found,) = check(resigned(**tags), ZONE)
    assert found.result == result, found.reason
    assert reason in found.reason


def test_a_length_counts_octets_of_the_canonical_body() -> None:
    whole = len(b"Hi.\r\n\r\nAre you hungry?\r\n")
    message = resigned(l=str(whole))
    (found,) = check(message + b"and something that nobody signed\r\n", ZONE)
    assert (found.result, found.length) == ("pass", whole)
    assert found.reason == f"example.com signed it, and the first {whole} octets of its body alone"
    assert words(resigned(l=str(whole + 1)), ZONE) == ["fail"]
    assert words(resigned(l=str(whole - 1)), ZONE) == ["fail"]
    assert words(resigned(l="0", bh="47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="), ZONE) == ["pass"]  # nothing's


@pytest.mark.parametrize(
    ("flags", "identity", "result"),
    [("s", "@example.com", "pass"), ("s", "@mail.example.com", "permerror"), ("y", "@mail.example.com", "pass")],
)
def test_a_strict_key_is_for_its_own_domain(flags: str, identity: str, result: str) -> None:
    known = {ED.name: ED.record().replace("; p=", f"; t={flags}; p=")}
    (found,) = check(resigned(i=identity), known)
    assert (found.result, found.is_testing) == (result, flags == "y")


def test_a_testing_domain_is_told_with_its_failure() -> None:
    known = {ED.name: ED.record(is_testing=True)}
    (found,) = check(changed(b"dinner", b"supper"), known)
    assert (found.result, found.is_testing) == ("fail", True)
    assert found.reason.endswith("; the domain is testing")


@pytest.mark.parametrize("status", [DnsStatus.FAILED, DnsStatus.TIMED_OUT, DnsStatus.UNREACHABLE])
def test_what_dns_cannot_tell_is_temporary_even_when_the_body_was_changed(status: DnsStatus) -> None:
    for message in (SIGNED, changed(b"hungry", b"thirsty")):
        (found,) = check(message, {ED.name: Answer(status)})
        assert found.result == "temperror"
        assert status.value in found.reason


def test_a_domain_beyond_ascii_is_looked_up_by_its_a_labels() -> None:
    own = key("ed25519", 7, "xn--bcher-kva.example")
    message = sign(PLAIN, [own], LEAN)
    # RFC 8616 4: the field may have the U-label; the signature is then over it, so this one cannot fit
    (found,) = check(message.replace(b"d=xn--bcher-kva.example", "d=bücher.example".encode()), zone(own))
    assert (found.result, found.domain) == ("fail", "xn--bcher-kva.example")
    assert words(message, zone(own)) == ["pass"]


def test_each_signature_has_its_own_result_from_the_top_down() -> None:
    rsa = key("rsa1024")
    message = sign(changed(b"dinner", b"supper"), [rsa], LEAN)
    results = check(message, ZONE)
    assert [(one.result, one.algorithm) for one in results] == [("pass", "rsa-sha256"), ("fail", "ed25519-sha256")]


def test_only_the_topmost_signatures_are_looked_at() -> None:
    message = SIGNED[: len(SIGNED) - len(PLAIN)] * 12 + PLAIN
    results = check(message, ZONE)
    assert [one.result for one in results] == ["pass"] * 10 + ["policy"]
    assert results[-1].reason == "2 more signatures were not looked at: 10 are enough"
    assert words(message, ZONE, most=1) == ["pass", "policy"]


def test_lines_behind_a_bare_newline_are_fields_too() -> None:
    hidden = changed(b"To: Sue", b"X: y\nFrom: forged@example.org\r\nTo: Sue")
    assert words(hidden, ZONE) == ["fail"]
    assert words(changed(b"net>\r\n", b"net>\n"), ZONE) == ["pass"]


def test_white_space_of_other_kinds_is_kept() -> None:
    odd = PLAIN.replace(b"dinner  ready", b"dinner\v ready")
    message = sign(odd, [ED], LEAN)
    assert words(message, ZONE) == ["pass"]
    assert words(message.replace(b"\v", b" "), ZONE) == ["fail"]
    assert words(message.replace(b"\v ", b"\v\t "), ZONE) == ["pass"]
