"""Authentication-Results: what is written can be read, what is hostile is bounded, what is forged is found."""

import random
import time

import pytest

from postroad.mailauth.results import (
    PROPERTIES_LIMIT,
    RESULTS_LIMIT,
    AuthenticationResults,
    MethodResult,
    Property,
    bearing,
    read_results,
    results_field,
    tame,
)


def value_of(field: str) -> bytes:
    name, colon, value = field.partition(":")
    assert (name, colon) == ("Authentication-Results", ":")
    return value.encode("ascii")


def test_nothing_checked_is_none() -> None:
    assert results_field(AuthenticationResults("mx.example.com")) == "Authentication-Results: mx.example.com; none\r\n"


def test_a_result_stands_on_lines_of_its_own() -> None:
    found = AuthenticationResults(
        "mx.example.com",
        (
            MethodResult("spf", "pass", properties=(Property("smtp", "mailfrom", "example.net"),)),
            MethodResult(
                "dkim",
                "fail",
                'the body "was" changed',
                (Property("header", "d", "example.net"), Property("header", "b", "oINE8hgn/x=")),
            ),
        ),
    )
    assert results_field(found) == (
        "Authentication-Results: mx.example.com;\r\n"
        "\tspf=pass smtp.mailfrom=example.net;\r\n"
        '\tdkim=fail reason="the body \\"was\\" changed" header.d=example.net\r\n'
        '\t header.b="oINE8hgn/x="\r\n'
    )
    assert read_results(value_of(results_field(found))) == found


# RFC 8601 appendix B
TWO_SIGNATURES = (
    b' example.com;\r\n      dkim=pass reason="good signature"\r\n        header.i=@mail-router.example.net;\r\n'
    b'      dkim=fail reason="bad signature"\r\n        header.i=@newyork.example.com'
)
COMMENTS = (
    b" foo.example.net (foobar) 1 (baz);\r\n dkim (Because I like it) / 1 (One yay) = (wait for it) fail\r\n"
    b" policy (A dot can go here) . (like that) expired\r\n (this surprised me) = (as I wasn't expecting it) 13624"
)
EXAMPLES = [
    (b" example.org 1; none", AuthenticationResults("example.org")),
    (
        b" example.com;\r\n          spf=pass smtp.mailfrom=example.net",
        AuthenticationResults(
            "example.com", (MethodResult("spf", "pass", properties=(Property("smtp", "mailfrom", "example.net"),)),)
        ),
    ),
    (
        b" example.com;\r\n auth=pass (cram-md5) smtp.auth=sender@example.net;\r\n  spf=pass smtp.mailfrom=example.net",
        AuthenticationResults(
            "example.com",
            (
                MethodResult("auth", "pass", properties=(Property("smtp", "auth", "sender@example.net"),)),
                MethodResult("spf", "pass", properties=(Property("smtp", "mailfrom", "example.net"),)),
            ),
        ),
    ),
    (
        TWO_SIGNATURES,
        AuthenticationResults(
            "example.com",
            (
                MethodResult("dkim", "pass", "good signature", (Property("header", "i", "@mail-router.example.net"),)),
                MethodResult("dkim", "fail", "bad signature", (Property("header", "i", "@newyork.example.com"),)),
            ),
        ),
    ),
    (
        COMMENTS,
        AuthenticationResults(
            "foo.example.net",
            (MethodResult("dkim", "fail", properties=(Property("policy", "expired", "13624"),)),),
        ),
    ),
]


@pytest.mark.parametrize(("value", "expected"), EXAMPLES)
def test_the_examples_of_the_rfc_are_read(value: bytes, expected: AuthenticationResults) -> None:
    assert read_results(value) == expected


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (b"a; SPF=Pass SMTP.MailFrom=B", "spf=pass"),
        (b"a;;; spf=pass;", "spf=pass"),
        (b"a; spf=pass; b c d; dkim=pass", "spf=pass"),  # broken ones end it
        (b'a; spf=pass "x"; dkim=pass', "spf=pass dkim=pass"),
        (b"a; spf=", ""),
        (b"a; =pass", ""),
        (b"a", ""),
    ],
)
def test_what_is_odd_is_read_as_far_as_it_goes(value: bytes, read: str) -> None:
    found = read_results(value)
    assert found is not None
    assert " ".join(f"{one.method}={one.result}" for one in found.results) == read


@pytest.mark.parametrize(
    "value", [b"", b"; spf=pass", b'"a; spf=pass', b"a (b; spf=pass", b"a) ; spf=pass", b"a b c; none"]
)
def test_what_cannot_be_read_is_none(value: bytes) -> None:
    assert read_results(value) is None


def test_whatever_is_written_can_be_read() -> None:
    dice = random.Random(8601)
    signs = "".join(map(chr, range(1, 127))) + 'äß"\\;;==..//(()) \t\r\n€'

    def text(most: int) -> str:
        return "".join(dice.choices(signs, k=dice.randrange(most)))

    def word() -> str:
        return "".join(dice.choices("abcxyz019", k=dice.randrange(1, 9))) + dice.choice(("", "-x", "_1"))

    for _ in range(2000):
        results = tuple(
            MethodResult(
                word(),
                word(),
                text(40),
                tuple(Property(word(), word(), text(300)) for _ in range(dice.randrange(4))),
            )
            for _ in range(dice.randrange(5))
        )
        name = f"{word()}.example"
        field = results_field(AuthenticationResults(name, results))
        assert field.endswith("\r\n")
        assert field.isascii()
        assert all(line[:1] == "\t" and len(line) < 998 for line in field.split("\r\n")[1:-1])
        expected = tuple(
            MethodResult(
                one.method,
                one.result,
                tame(one.reason),
                tuple(Property(entry.kind, entry.name, tame(entry.value)) for entry in one.properties),
            )
            for one in results
        )
        assert read_results(value_of(field)) == AuthenticationResults(name, expected)
        assert bearing(field.encode(), name.upper()) == [(0, len(field))]


def test_octets_at_random_are_read_or_not() -> None:
    dice = random.Random(8602)
    for _ in range(3000):
        value = bytes(dice.choices(b'ab1=;./()" \\\t\r\n\x00\xc3\xa4', k=dice.randrange(60)))
        found = read_results(value)
        assert found is None or found.authserv_id


def test_hostile_fields_are_bounded() -> None:
    begun = time.process_time()
    for value in (
        b"a; " + b"spf=pass; " * 6000,
        b"a; spf=pass " + b"smtp.x=y " * 7000,
        b"a " + b"(" * 60_000,
        b"a " + b"(" * 30_000 + b")" * 30_000 + b"; spf=pass",
        b"a; spf=" + b"x" * 60_000,
        b"a;" + b'"' * 60_000,
        b"a; spf=pass " + b"\\" * 60_000,
        b"a; " + b". " * 30_000 + b"= x",
        b"x" * 10_000_000,
    ):
        found = read_results(value)
        if found is not None:
            assert len(found.results) <= RESULTS_LIMIT
            assert all(len(one.properties) <= PROPERTIES_LIMIT for one in found.results)
    section = b"Authentication-Results: us; x\r\nX: y\r\n" * 20_000
    assert len(bearing(section, "us")) == 20_000
    assert bearing(b"Authentication-Results: " + b"(" * 70_000 + b"\r\n", "us") == [(0, 70_026)]
    assert time.process_time() - begun < 20


@pytest.mark.parametrize(
    "value",
    [
        "mx.example.com; spf=pass",
        "MX.Example.COM; spf=pass",
        "mx.example.com 1; spf=pass",
        "mx.example.com/1; spf=pass",
        "mx.example.com 99 x; spf=pass",
        "mx.example.com.; spf=pass",
        '"mx.example.com"; spf=pass',
        '"mx\\.example.com"; spf=pass',
        "(hello (you)) mx.example.com (1) ; spf=pass",
        "mx(a).example(b).com; spf=pass",
        "mx . example . com; spf=pass",
        "\r\n\tmx.example.com;\r\n\tspf=pass",
        "\n mx.example.com; spf=pass",
        "mx.example.com",
        'mx.example.com; spf="pass',
        "other (mx.example.com; spf=pass",
        "mx.example.com spf=pass",
        "evil mx.example.com; spf=pass",
    ],
)
def test_what_may_be_taken_for_ours_is_found(value: str) -> None:
    before, field, after = b"To: a\r\n", f"Authentication-results : {value}\r\n".encode(), b"Subject: b\r\n"
    for name in ("mx.example.com", "MX.EXAMPLE.COM."):
        assert bearing(before + field + after, name) == [(len(before), len(before) + len(field))]


def test_internationalised_names_are_one() -> None:
    field = "Authentication-Results: mx.Bücher.example; none\r\n".encode()
    assert bearing(field, "mx.xn--bcher-kva.example") == [(0, len(field))]


@pytest.mark.parametrize(
    "field",
    [
        "Authentication-Results: mx.example.org; spf=pass",
        "Authentication-Results: mx.example.com.evil.example; spf=pass",
        "Authentication-Results: x; spf=pass smtp.helo=mx.example.com",
        "Authentication-Results: x (mx.example.com); spf=pass",
        "ARC-Authentication-Results: i=1; mx.example.com; spf=pass",
        "X-Authentication-Results: mx.example.com; spf=pass",
        "Authentication-Results-Old: mx.example.com; spf=pass",
        "Subject: x\r\n Authentication-Results: mx.example.com; spf=pass",
    ],
)
def test_what_is_of_others_stays(field: str) -> None:
    assert bearing(f"{field}\r\n".encode(), "mx.example.com") == []


def test_neighbours_are_left_out_as_one() -> None:
    one = b"Authentication-Results: us; none\r\n"
    assert bearing(one + one + b"A: b\r\n" + one, "us") == [(0, 2 * len(one)), (2 * len(one) + 6, 3 * len(one) + 6)]
