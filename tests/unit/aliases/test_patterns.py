"""Tables of regular expressions: what they make of addresses, their flaws, and that time stays linear."""

import pytest

from postroad.aliases.patterns import PATTERN_LIMIT, PATTERNS_LIMIT, parse_patterns
from postroad.aliases.text import Flaw

SOUND = r"""
# the old domain
/^(.*)@old\.example$/     $1@new.example
/^list-([a-z]+)(-[0-9])?@x\.example$/i   ${1}$(2)@lists.example,
    archive+$1@x.example
/a\/b|cash/    to$$@x.example
/^all@/  @y.example
"""


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("Joe.Doe@OLD.example", ("Joe.Doe@new.example",)),
        ("list-dev-1@x.example", ("dev-1@lists.example", "archive+dev@x.example")),
        ("list-dev@x.example", ("dev@lists.example", "archive+dev@x.example")),
        ("LIST-dev@x.example", None),
        ("cash@x.example", ("to$@x.example",)),
        ("a/b@x.example", ("to$@x.example",)),
        ("all@x.example", ("@y.example",)),
        ("else@x.example", None),
    ],
)
def test_the_first_match_counts(address: str, found: tuple[str, ...] | None) -> None:
    table = parse_patterns(SOUND)
    assert table.flaws == []
    assert table.find(address) == found


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a@example.com b@example.net", 'a line is "/pattern/  address, address"'),
        ("/a b@example.net", "the pattern has no closing slash"),
        ("/(/ b@example.net", "the pattern cannot be compiled: missing )"),
        (r"/(a)\1/ b@example.net", "the pattern cannot be compiled"),
        ("/(?=a)/ b@example.net", "the pattern cannot be compiled"),
        ("//  b@example.net", f"a pattern has 1 to {PATTERN_LIMIT} characters"),
        (f"/{'a' * (PATTERN_LIMIT + 1)}/  b@example.net", f"a pattern has 1 to {PATTERN_LIMIT} characters"),
        ("/((((((a{1,100}){1,100}){1,100})))))/ b@example.net", "the pattern cannot be compiled"),
        ("/a/m b@example.net", '"m": the only flag is i'),
        ("/a/", "no addresses are given"),
        ("/a/ ,", "no addresses are given"),
        ("/(a)/ $2@example.net", "there is no group 2"),
        ("/(a)/ $x@example.net", "after $ comes the number of a group"),
        ("/(a)/ b$", "after $ comes the number of a group"),
        ("/a/ b", '"b": address without a domain'),
        ("/a/ |sh", "files, commands and includes cannot"),
    ],
)
def test_a_flaw_is_told_with_its_line(line: str, words: str) -> None:
    table = parse_patterns(f"/sound/ x@example.net\n{line}\n")
    (flaw,) = table.flaws
    assert flaw.line == 2
    assert words in flaw.text


def test_too_many_patterns() -> None:
    table = parse_patterns("/a/ x@example.net\n" * (PATTERNS_LIMIT + 5))
    assert table.flaws == [Flaw(PATTERNS_LIMIT + 1, f"more than {PATTERNS_LIMIT} patterns")]


def test_a_sender_cannot_add_addresses() -> None:
    table = parse_patterns("/^(.*)@x\\.example$/ $1@y.example")
    assert table.find('"a, victim@z.example, b"@x.example') == ('"a, victim@z.example, b"@y.example',)


def test_no_pattern_explodes() -> None:
    table = parse_patterns("/^(a+)+$/ x@example.net\n/^(a|a)*b$/ y@example.net\n/(x*)*(x*)*y/ z@example.net")
    assert table.flaws == []
    assert table.find("a" * 100_000 + "@") is None
    assert table.find("x" * 100_000) is None
