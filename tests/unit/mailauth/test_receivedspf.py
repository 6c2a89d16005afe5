"""Received-SPF: whatever it tells of, it is one field that can be read; those in our name are found."""

import random
import re

import pytest
from msgspec.structs import asdict, replace

from postroad.mailauth.receivedspf import ReceivedSpf, naming, received_spf
from postroad.policy.adjusting import field_of

FOUND = ReceivedSpf(
    "pass",
    "mx.example.com",
    "mailfrom",
    "192.0.2.1",
    "joe@example.org",
    "mail.example.org",
    "ip4:192.0.2.0/24",
    comment="example.org says ip4:192.0.2.0/24",
)
# RFC 7208 9.1 and RFC 5322 3.2, written down on their own
WHITE = r"(?:[ \t]|\r\n(?=[ \t]*[^ \t\r]))"
COMMENT = r"\((?P<comment>(?:[\x21-\x27\x2a-\x5b\x5d-\x7e]|" + WHITE + r")*)\)"  # and nothing escaped in it
ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
VALUE = rf'(?:{ATOM}(?:\.{ATOM})*|"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])*")'
PAIR = rf"(?:[a-z][a-z-]*)={VALUE}"
FIELD = re.compile(
    rf"Received-SPF:{WHITE}+(?P<result>pass|fail|softfail|neutral|none|temperror|permerror){WHITE}+"
    rf"(?:{COMMENT}{WHITE}+)?(?P<pairs>{PAIR}(?:;{WHITE}+{PAIR})*)\r\n"
)


def read(field: str) -> tuple[str, str, dict[str, str]]:
    """The result, the comment and the pairs; it fails when the field is not of RFC 7208's form."""
    found = FIELD.fullmatch(field)
    assert found is not None, field
    pairs = re.findall(rf"(?:\A|[ \t\n;])({PAIR})(?=;|\Z)", found["pairs"])
    told = dict(pair.split("=", 1) for pair in pairs)
    assert len(told) == len(pairs)
    return found["result"], unquoted(found["comment"] or ""), {name: unquoted(text) for name, text in told.items()}


def unquoted(text: str) -> str:
    text = text[1:-1] if text[:1] == '"' else text.replace("\r\n\t", " ")
    return re.sub(r"\\(.)", r"\1", text)


def test_what_it_looks_like() -> None:
    assert received_spf(FOUND) == (
        "Received-SPF: pass (mx.example.com: example.org says ip4:192.0.2.0/24)\r\n"
        "\treceiver=mx.example.com; identity=mailfrom; client-ip=192.0.2.1;\r\n"
        '\tenvelope-from="joe@example.org"; helo=mail.example.org;\r\n'
        '\tmechanism="ip4:192.0.2.0/24"\r\n'
    )
    told = ReceivedSpf("temperror", "mx.example.com", "helo", "2001:db8::1", "", "[192.0.2.1]", problem='no "DNS"')
    assert received_spf(told) == (
        "Received-SPF: temperror receiver=mx.example.com; identity=helo;\r\n"
        '\tclient-ip="2001:db8::1"; envelope-from="<>"; helo="[192.0.2.1]";\r\n'
        '\tproblem="no \\"DNS\\""\r\n'
    )


def test_a_comment_ends_where_simple_readers_end_it() -> None:
    field = received_spf(replace(FOUND, comment=r"exists:(x\) receiver=evil.example"))
    assert read(field)[1] == "mx.example.com: exists:[x/] receiver=evil.example"


def test_addresses_of_the_longest_kind_are_whole() -> None:
    sender = f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 63}.{'e' * 59}.org"
    assert read(received_spf(replace(FOUND, sender=sender)))[2]["envelope-from"] == sender
    strange = r'"joe;\" \\x"@example.org'
    assert read(received_spf(replace(FOUND, sender=strange)))[2]["envelope-from"] == strange


def test_whatever_clients_and_dns_say_it_is_one_field() -> None:
    dice = random.Random(7208)
    signs = "".join(map(chr, range(128))) + '\r\n\r\n\t  ""\\\\(());;==..äß€\u2028\x85\ud7ff'
    pieces = ("\r\n", "\r\nBcc: eve@evil.example\r\n\r\n", "\r\n ", ")", "\\", '"; helo=', "\n\n", "=?utf-8?q?x?=")

    def text() -> str:
        one = "".join(dice.choices(signs, k=dice.randrange(dice.choice((4, 40, 2000)))))
        return one + dice.choice(pieces) * dice.randrange(3)

    for _ in range(3000):
        names = [name for name in asdict(FOUND) if name != "result" and dice.random() < 0.6]
        found = replace(FOUND, **{name: text() for name in names})
        field = received_spf(found)
        assert field_of(field) == field  # as it is put on top
        assert len(field) < 5000
        assert all(line[:1] == "\t" and line.strip() and len(line) < 998 for line in field.split("\r\n")[1:-1])
        result, comment, told = read(field)
        assert result == "pass"
        for name, value in (("receiver", found.receiver), ("helo", found.helo), ("problem", found.problem)):
            seen = told.get(name, "")
            assert len(seen) <= 255
            assert name in names or seen == value
        assert told["client-ip"] == "192.0.2.1" or "client" in names
        assert set(told) >= {"receiver", "identity", "client-ip", "envelope-from"}
        assert "comment" in names or "receiver" in names or comment == f"{FOUND.receiver}: {FOUND.comment}"
        if "receiver" not in names:
            assert naming(field.encode(), "MX.example.com.") == [(0, len(field))]


@pytest.mark.parametrize(
    "value",
    [
        "pass receiver=mx.example.com",
        "Pass (whatever) client-ip=192.0.2.1; receiver=MX.Example.COM;",
        'pass receiver = "mx.example.com" ; helo=x',
        'pass receiver="mx\\.example.com."; helo=x',
        "pass Receiver (here) = (there) mx(a).example(b).com",
        "pass receiver=mx . example . com",
        "pass receiver=mx.example.com client-ip=192.0.2.1",
        "pass receiver=other.example; receiver=mx.example.com",
        "pass\r\n\treceiver=\r\n\tmx.example.com",
        "pass (mx.example.com: domain of joe@example.org designates 192.0.2.1 as permitted sender) helo=x",
        "pass ( MX.example.com. : domain of x) receiver=other.example",
        "pass (x (mx\\.example.com: y)) helo=x",
        "pass (mx.example.com: domain of x",
        'pass receiver="mx.example.com',
    ],
)
def test_what_may_be_taken_for_ours_is_found(value: str) -> None:
    before, field, after = b"To: a\r\n", f"received-spf : {value}\r\n".encode(), b"Subject: b\r\n"
    for name in ("mx.example.com", "MX.EXAMPLE.COM."):
        assert naming(before + field + after, name) == [(len(before), len(before) + len(field))]


@pytest.mark.parametrize(
    "field",
    [
        "Received-SPF: pass (mx.example.org: domain of x) receiver=mx.example.org; helo=mx.example.com",
        "Received-SPF: pass receiver=mx.example.com.evil.example",
        "Received-SPF: pass (sent by mx.example.com) receiver=other.example",
        'Received-SPF: none envelope-from="x@mx.example.com"; receiver=x',
        "X-Received-SPF: pass receiver=mx.example.com",
        "Received-SPF-Old: pass receiver=mx.example.com",
        "Received: from mx.example.com",
        "Subject: x\r\n Received-SPF: pass receiver=mx.example.com",
        "Received-SPF: pass receiver=",
        "Received-SPF:",
    ],
)
def test_what_is_of_others_stays(field: str) -> None:
    assert naming(f"{field}\r\n".encode(), "mx.example.com") == []


def test_octets_at_random_and_hostile_fields_are_bounded() -> None:
    dice = random.Random(7209)
    for _ in range(3000):
        value = bytes(dice.choices(b'ab1=;./()"\\: \t\r\n\x00\xc3\xa4', k=dice.randrange(60)))
        assert naming(b"Received-SPF: " + value + b"\r\nX: y\r\n", "us.example") == []
    for filling in (b"receiver=", b"receiver= ", b"(", b"( ", b"(x:", b"(x ", b"()", b'"', b"\\", b"; ", b". "):
        field = b"Received-SPF: pass " + filling * (60_000 // len(filling)) + b"\r\n"
        assert naming(field, "us.example") == []
    assert naming(b"Received-SPF: " + b"(" * 70_000 + b"\r\n", "us.example") == [(0, 70_016)]
