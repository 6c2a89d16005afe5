"""The address parser: every form of RFC 5321 4.1.2 and 4.1.3, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.model.address import NULL_PATH, Mailbox, parse_domain, parse_mailbox, parse_path
from postroad.model.errors import AddressError


@pytest.mark.parametrize(
    ("raw", "text", "local", "domain"),
    [
        (b"user@example.com", "user@example.com", "user", "example.com"),
        (b"User.Name+tag@Example.COM", "User.Name+tag@Example.COM", "User.Name+tag", "example.com"),
        (b"a!#$%&'*+-/=?^_`{|}~z@x.y", "a!#$%&'*+-/=?^_`{|}~z@x.y", "a!#$%&'*+-/=?^_`{|}~z", "x.y"),
        (b'"john doe"@example.com', '"john doe"@example.com', "john doe", "example.com"),
        (b'"a\\"b\\\\c"@example.com', '"a\\"b\\\\c"@example.com', 'a"b\\c', "example.com"),
        (b'"a@b"@example.com', '"a@b"@example.com', "a@b", "example.com"),
        (b'""@example.com', '""@example.com', "", "example.com"),
        (b"user@[192.0.2.1]", "user@[192.0.2.1]", "user", "[192.0.2.1]"),
        (b"user@[IPv6:2001:DB8:0::1]", "user@[IPv6:2001:DB8:0::1]", "user", "[ipv6:2001:db8::1]"),
        (b"@a.example,@b.example:user@c.example", "user@c.example", "user", "c.example"),
        (b"Postmaster", "Postmaster", "postmaster", ""),
        (b"user@example.com.", "user@example.com", "user", "example.com"),
        (b"user@_srv.example.com", "user@_srv.example.com", "user", "_srv.example.com"),
        (b"u@localhost", "u@localhost", "u", "localhost"),
    ],
)
def test_valid(raw: bytes, text: str, local: str, domain: str) -> None:
    assert parse_path(raw) == Mailbox(text, local, domain)


@pytest.mark.parametrize(
    "raw",
    [
        *(
            b"user",
            b"user@",
            b"@example.com",
            b"a@b@c",
            b".a@b.c",
            b"a.@b.c",
            b"a..b@c.d",
            b"a b@c.d",
            b"a@b..c",
            b"a@.b",
        ),
        *(
            b"a@-b.c",
            b"a@b-.c",
            b"a@b.c-",
            b"a@[1.2.3]",
            b"a@[1.2.3.4",
            b"a@[IPv6:1.2.3.4.5]",
            b"a@[foo:bar]",
            b'"a@b.c',
        ),
        *(
            b'a"b@c.d',
            b'"a"b"@c.d',
            b'"a\\"@c.d',
            b"a@b c",
            b"a\x00b@c.d",
            b"a\r\n@c.d",
            b"a@c.d\n",
            b'"a\rb"@c.d',
            b"a(b)@c.d",
            b"a@c.d..",
        ),
        *(b"x" * 65 + b"@c.d", b"a@" + b"l" * 64 + b".c", b"a@" + b"l." * 130 + b"c"),
        *(b"@a.b:", b"@a.b,c:u@d.e", b"\xc3\xbc@c.d", b"a@\xff.d"),
    ],
)
def test_invalid(raw: bytes) -> None:
    with pytest.raises(AddressError):
        parse_path(raw)


def test_null_and_flags() -> None:
    assert parse_path(b"") is NULL_PATH
    assert NULL_PATH.is_null
    assert parse_path(b"a@[192.0.2.1]").is_literal
    assert not parse_path(b"a@b.c").is_literal


@pytest.mark.parametrize("raw", [b"a%b@c.d", b"a!b@c.d", b'"a@b"@c.d', b'"a%b"@c.d'])
def test_routing_is_seen(raw: bytes) -> None:
    assert parse_path(raw).has_routing
    assert not parse_path(b"a+b@c.d").has_routing


def test_internationalised() -> None:
    mailbox = parse_path("jürgen@bücher.example".encode(), utf8=True)
    assert mailbox == Mailbox("jürgen@bücher.example", "jürgen", "xn--bcher-kva.example")
    assert mailbox.needs_utf8
    assert parse_path("用户@例え.example".encode(), utf8=True).domain == "xn--r8jz45g.example"
    for raw in ("ü ü@a.b", "ü@a b", "ü.@a.b", "ü@a..b", "\u200e\x07ü@a.b"):
        with pytest.raises(AddressError):
            parse_path(raw.encode(), utf8=True)


def test_parse_for_people() -> None:
    assert parse_mailbox("a@B.c").domain == "b.c"
    assert parse_domain("Example.COM.") == "example.com"
    with pytest.raises(AddressError):
        parse_mailbox("")


@given(st.binary(max_size=80))
def test_any_octets_parse_or_are_refused(raw: bytes) -> None:
    for utf8 in (False, True):
        try:
            mailbox = parse_path(raw, utf8=utf8)
        except AddressError:
            continue
        assert "\r" not in mailbox.text
        assert "\n" not in mailbox.text
        assert parse_path(mailbox.text.encode(), utf8=utf8) == mailbox
