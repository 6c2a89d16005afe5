"""Filters and names: what is packed is what was meant, and foreign text stays one value whatever it holds."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postroad.net.ldap.codec import pack
from postroad.net.ldap.filters import (
    DEPTH_LIMIT,
    IN_CHAIN,
    LENGTH_LIMIT,
    escape_dn,
    escape_filter,
    fill,
    pack_filter,
)

TEXTS = st.text(st.characters(codec="utf-8"), max_size=60)
NASTY = st.text('()*\\&|!=~<>:\0 ,+"#;/é\r\na*', max_size=30)


def attribute(name: str, value: bytes, tag: int = 0xA3) -> bytes:
    return pack(tag, pack(0x04, name.encode()) + pack(0x04, value))


@given(st.one_of(TEXTS, NASTY))
@example("*")
@example("*)(objectClass=*")
@example("x)(|(uid=*))")
@example("\\2a")
@example("\0")
def test_a_filled_in_value_is_that_value_and_nothing_else(value: str) -> None:
    text = fill("(&(objectClass=user)(mail={login}))", {"login": value}, escape_filter)
    wanted = attribute("objectClass", b"user") + attribute("mail", value.encode())
    assert pack_filter(text) == pack(0xA0, wanted)


@given(st.one_of(TEXTS, NASTY), st.one_of(TEXTS, NASTY))
def test_a_value_beside_fixed_text_is_itself_too(value: str, other: str) -> None:
    text = fill("(a=smtp:{user}@{domain})", {"user": value, "domain": other}, escape_filter)
    assert pack_filter(text) == attribute("a", f"smtp:{value}@{other}".encode())


def unescape_dn(text: str) -> list[str]:
    """The values of a name, by a reader of RFC 4514 3 that shares nothing with ours."""
    values, octets, at = [], bytearray(), 0
    while at < len(text):
        if text[at] == "\\":
            if text[at + 1] in '"+,;<>\\=# ':
                octets += text[at + 1].encode()
                at += 2
            else:
                octets.append(int(text[at + 1 : at + 3], 16))
                at += 3
        elif text[at] in ",+;":
            values.append(octets.decode())
            octets = bytearray()
            at += 1
        else:
            assert text[at] not in '"<>\0'
            octets += text[at].encode()
            at += 1
    return [*values, octets.decode()]


@given(st.one_of(TEXTS, NASTY))
@example(" ")
@example("\\ ")
@example("# ,cn=admin")
def test_a_value_in_a_name_stays_one_value(value: str) -> None:
    escaped = escape_dn(value)
    assert unescape_dn(escaped) == [value]
    assert not escaped.startswith((" ", "#"))
    assert not escaped.endswith(" ")


@pytest.mark.parametrize(
    ("text", "packed"),
    [
        ("(mail=a@example.com)", attribute("mail", b"a@example.com")),
        ("(mail=)", attribute("mail", b"")),
        ("(cn=\\2a\\C3\\a9)", attribute("cn", b"*\xc3\xa9")),
        ("(cn=é)", attribute("cn", "é".encode())),
        ("(a>=5)", attribute("a", b"5", 0xA5)),
        ("(a<=5)", attribute("a", b"5", 0xA6)),
        ("(a~=x)", attribute("a", b"x", 0xA8)),
        ("(cn;lang-en=x)", attribute("cn;lang-en", b"x")),
        ("(2.5.4.3=x)", attribute("2.5.4.3", b"x")),
        ("(mail=*)", pack(0x87, b"mail")),
        ("(cn=a*)", pack(0xA4, pack(0x04, b"cn") + pack(0x30, pack(0x80, b"a")))),
        ("(cn=*a**b*)", pack(0xA4, pack(0x04, b"cn") + pack(0x30, pack(0x81, b"a") + pack(0x81, b"b")))),
        ("(cn=a*b*c)", pack(0xA4, pack(0x04, b"cn") + pack(0x30, b"\x80\x01a\x81\x01b\x82\x01c"))),
        ("(&)", b"\xa0\x00"),
        ("(|(a=1)(b=2))", pack(0xA1, attribute("a", b"1") + attribute("b", b"2"))),
        ("(!(a=1))", pack(0xA2, attribute("a", b"1"))),
        (f"(member:{IN_CHAIN}:=x)", pack(0xA9, pack(0x81, IN_CHAIN.encode()) + b"\x82\x06member\x83\x01x")),
        ("(ou:dn:=x)", pack(0xA9, b"\x82\x02ou\x83\x01x\x84\x01\xff")),
        ("(:caseExactMatch:=x)", pack(0xA9, pack(0x81, b"caseExactMatch") + b"\x83\x01x")),
    ],
)
def test_filters_of_every_kind(text: str, packed: bytes) -> None:
    assert pack_filter(text) == packed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mail=a",
        "(mail=a",
        "(mail=a))",
        "(mail=a) ",
        "()",
        "(mail)",
        "(=a)",
        "(ma il=a)",
        "(mail=a(b)",
        "(mail=\\2)",
        "(mail=\\zz)",
        "(mail=\0)",
        "(cn=**)",
        "(!)",
        "(!(a=1)(b=2))",
        "(&(a=1)",
        "(:=x)",
        "(a>=*)",
        f"{'(!' * DEPTH_LIMIT}(a=1){')' * DEPTH_LIMIT}",
        f"(a={'x' * LENGTH_LIMIT})",
    ],
)
def test_what_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        pack_filter(text)


@given(st.one_of(TEXTS, NASTY))
def test_whatever_is_written_as_a_filter_is_one_or_is_refused(text: str) -> None:
    try:
        packed = pack_filter(text)
    except ValueError:
        return
    assert packed


def test_a_place_that_stands_for_nothing_is_named() -> None:
    with pytest.raises(ValueError, match=r"\{name\} stands for nothing; there are \{login\}"):
        fill("(uid={name})", {"login": "x"}, escape_filter)
