"""The virtual(5) form: what is read, and that every flaw is told with its line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.aliases.text import (
    Flaw,
    join_addresses,
    key_of,
    parse_entries,
    parse_table,
    split_addresses,
)
from postroad.model.address import parse_mailbox
from postroad.model.errors import AddressError

SOUND = """\
# a comment
Info@Example.COM   a@example.net, b@example.net
   ,  <c@example.net>
   # not a part of it

\t, d@example.net
@example.org  @example.net
"john doe"@example.com  "a, b"@example.net , e@example.net
only.example.com  anything at all
umlaut@bücher.example f@example.net
"""


def test_what_is_read() -> None:
    table = parse_table(SOUND)
    assert (table.flaws, table.doubts) == ([], [])
    assert {key: split_addresses(value) for key, value in table.entries.items()} == {
        "info@example.com": ("a@example.net", "b@example.net", "c@example.net", "d@example.net"),
        "@example.org": ("@example.net",),
        "john doe@example.com": ('"a, b"@example.net', "e@example.net"),
        "umlaut@xn--bcher-kva.example": ("f@example.net",),
    }
    assert table.domains == {"only.example.com"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("user a@example.net", '"user": a name alone could be anywhere; write "user@example.com"'),
        ("a@example.com", '"a@example.com" has nothing to its right'),
        ("a@example.com: b@example.net", '"a@example.com:" is the form of aliases(5)'),
        ("a@exa mple.com b@example.net", '"mple.com b@example.net": local part has'),
        ("a@example.com b@example.net c@example.net", "several addresses are parted by commas"),
        ("a@example.com |/bin/sh", "files, commands and includes cannot"),
        ("a@example.com :include:/etc/list", "files, commands and includes cannot"),
        ("a@example.com /var/mail/a", "files, commands and includes cannot"),
        ("a@example.com b", '"b": address without a domain'),
        ("a@example.com postmaster", '"postmaster": an address needs a domain here'),
        ("a@example.com ,", "no addresses are given"),
        ("a..b@example.com c@example.net", '"a..b@example.com": local part has two dots in a row'),
        ("@exam_ple..com c@example.net", '"@exam_ple..com": domain has an empty label'),
        ("a@example.com @", "domain is empty"),
        ('"open@example.com b@example.net', "has nothing to its right"),
    ],
)
def test_a_flaw_is_told_with_its_line(line: str, words: str) -> None:
    table = parse_table(f"# first\nsound@example.com x@example.net\n\n{line}\nlast@example.com x@example.net\n")
    (flaw,) = table.flaws
    assert flaw.line == 4
    assert words in flaw.text
    assert set(table.entries) == {"sound@example.com", "last@example.com"}


def test_white_space_at_the_beginning_continues_nothing() -> None:
    assert parse_table("  a@example.com b@example.net\n").flaws == [
        Flaw(1, "begins with white space, and there is no line before it to go on with")
    ]


def test_the_first_of_two_entries_counts() -> None:
    table = parse_table("a@example.com b@example.net\nA@example.com c@example.net\nA@EXAMPLE.com b@example.net\n")
    assert table.entries == {"a@example.com": "b@example.net"}
    assert table.doubts == [Flaw(2, '"A@example.com" stands in line 1 already, which counts')]


def test_entries_of_the_configuration() -> None:
    table = parse_entries({"A@example.com": ("b@example.net", "b@example.net"), "@Example.com": ("@example.net",)})
    assert table.flaws == []
    assert table.entries == {"a@example.com": "b@example.net", "@example.com": "@example.net"}
    broken = parse_entries({"a": ("b@c",), "x@y": (), "e.example": ("b@c",), "X@y": ("b@c",), "x@Y": ("b@c",)})
    assert [flaw.text.partition(":")[0] for flaw in broken.flaws] == ['"a"', '"x@y"', '"e.example"', '"x@Y"']


@given(st.lists(st.sampled_from(["a@b.example", '"x, y"@b.example', '"\\",q"@b.example', "@b.example"]), min_size=1))
def test_parts_are_parted_again(parts: list[str]) -> None:
    assert split_addresses(join_addresses(parts)) == tuple(parts)


@given(st.from_regex(r"[a-zA-Z+.\"@ ]{1,12}@[a-z]{1,5}\.example", fullmatch=True))
def test_an_address_is_its_own_key(text: str) -> None:
    try:
        mailbox = parse_mailbox(text)
    except AddressError:
        return
    assert parse_table(f"{mailbox} x@example.net").entries == {key_of(mailbox): "x@example.net"}
