"""Header sections: where they end, and looking fields up."""

from email import message_from_bytes
from email.policy import compat32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.message.headers import field, fields, header_section

SECTION = (
    b"Received: one\r\n"
    b"SUBJECT: first\r\n"
    b"\tline and\r\n"
    b" more\r\n"
    b"X-Subject: other\r\n"
    b"Subject : obsolete\r\n"
    b"Subject-Extra: longer name\r\n"
    b"received:two\r\n"
)


@pytest.mark.parametrize(
    ("content", "section"),
    [
        (b"A: b\r\n\r\nbody\r\n", b"A: b\r\n"),
        (b"\r\nbody only\r\n", b""),
        (b"A: b\r\nC: d\r\n", b"A: b\r\nC: d\r\n"),
        (b"", b""),
    ],
)
def test_the_section_ends_before_the_blank_line(content: bytes, section: bytes) -> None:
    assert header_section(content) == section


def test_a_value_is_unfolded() -> None:
    assert field(SECTION, b"Subject") == b"first\tline and more"


def test_names_match_whole_and_in_any_case() -> None:
    assert fields(SECTION, b"subject") == [b"first\tline and more", b"obsolete"]
    assert fields(SECTION, b"Received") == [b"one", b"two"]
    assert field(SECTION, b"Subject-Extra") == b"longer name"


def test_absent_fields_are_absent() -> None:
    assert field(SECTION, b"Date") is None
    assert fields(SECTION, b"Date") == []
    assert field(b"", b"Date") is None
    assert field(b"Date", b"Date") is None


def test_the_last_field_may_lack_its_line_end() -> None:
    assert field(b"A: b\r\nDate: now", b"date") == b"now"


names = st.sampled_from([b"Subject", b"Received", b"X-Mailer", b"To"])
values = st.binary(max_size=30).map(lambda raw: bytes(32 + octet % 95 for octet in raw))


@given(st.lists(st.tuples(names, values), max_size=8), names)
def test_values_are_those_the_standard_library_finds(lines: list[tuple[bytes, bytes]], name: bytes) -> None:
    section = b"".join(b"%b: %b\r\n" % line for line in lines)
    found = message_from_bytes(section + b"\r\n", policy=compat32).get_all(name.decode(), [])
    assert fields(section, name) == [value.strip().encode() for value in found]


@given(st.binary(max_size=200), st.sampled_from([b"a", b"subject"]))
def test_any_octets_are_survived(section: bytes, name: bytes) -> None:
    found = fields(section, name)
    assert field(section, name) == (found[0] if found else None)
    assert all(b"\n" not in value for value in found)


@pytest.mark.parametrize(
    ("content", "section"),
    [
        (b"A: 1\r\n\r\nbody", b"A: 1\r\n"),
        (b"A: 1\r\n", b"A: 1\r\n"),
        (b"\r\nReceived: in the body\r\n\r\n", b""),
        (b"text without any header\r\nmore\r\n", b""),
        (b"", b""),
        (b": no name\r\n", b""),
        (b"x" * 300 + b": too long a name\r\n", b""),
    ],
)
def test_where_the_header_section_ends(content: bytes, section: bytes) -> None:
    assert header_section(content) == section
