"""Patterns of rules: what they cover, and that no text makes them slow."""

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.queue.patterns import matches_any, matches_domain, matches_text


@pytest.mark.parametrize(
    ("pattern", "domain", "covered"),
    [
        ("*", "a.example", True),
        ("a.example", "a.example", True),
        ("a.example", "b.a.example", False),
        ("*.example", "b.a.example", True),
        ("*.example", "example", False),
        ("*.a.example", "xa.example", False),
    ],
)
def test_domains(pattern: str, domain: str, *, covered: bool) -> None:
    assert matches_domain([pattern], domain) is covered


def test_texts() -> None:
    assert matches_text("421 4.7.28*", "421 4.7.28 unusual rate")
    assert matches_text("*blocked*", "554 You are BLOCKED here")
    assert not matches_text("ab*ba", "aba")
    assert matches_any(["x", "mx*.google.com"], ["y", "mx1.google.com"])


@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_texts_are_covered_as_by_a_shell(pattern: str, text: str) -> None:
    assert matches_text(pattern, text) == fnmatch.fnmatchcase(text, pattern)


def test_many_wildcards_end_within_the_time_of_a_test() -> None:
    assert not matches_text("*a" * 500 + "*b", "a" * 20_000)
