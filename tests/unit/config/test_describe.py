"""Options in words: the same words in error messages and in the reference."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.config.describe import bounds_text, duration_text, kind_of, size_text, value_text
from postroad.config.mistakes import field_at
from postroad.model.option import parse_duration, parse_size


@given(st.one_of(st.integers(0, 10**8).map(float), st.integers(1, 999).map(lambda ms: ms / 1000), st.just(math.inf)))
def test_durations_read_back(seconds: float) -> None:
    assert parse_duration(duration_text(seconds)) == pytest.approx(seconds)


@given(st.integers(0, 1 << 50))
def test_sizes_read_back(octets: int) -> None:
    assert parse_size(size_text(octets)) == octets


@pytest.mark.parametrize(
    ("path", "words", "bounds"),
    [
        (("hostname",), "text", ""),
        (("data_dir",), "path", ""),
        (("listeners",), "tables by name", "at least 1 given"),
        (("listeners", "mx", "bind"), "list of text", "at least 1 given"),
        (("listeners", "mx", "newlines"), '"strict" or "normalise"', ""),
        (("access", "relay_networks"), "list of networks", ""),
        (("queue", "retry"), "list of durations", "at least 1 given"),
        (("queue", "expire_after"), "duration", "more than 0s"),
        (("limits", "message_size"), "size", "at least 64KiB, at most 4GiB"),
        (("limits", "hops"), "whole number", "at least 10, at most 1000"),
        (("routes",), "list of tables", "at least 1 given"),
        (("log",), "table", ""),
    ],
)
def test_kinds_and_bounds(path: tuple[str, ...], words: str, bounds: str) -> None:
    field = field_at(path)
    assert field is not None
    assert (kind_of(field).words, bounds_text(field)) == (words, bounds)


def test_no_such_option_has_no_declaration() -> None:
    assert field_at(("queue", "none")) is None
    assert field_at(("none", "a", 0, "b")) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        ('a "b"\\\n', '"a \\"b\\"\\\\\\n"'),
        ((1, 2.5, "x"), '[1, 2.5, "x"]'),
        ({}, "{}"),
        ({"a": 1, "b": ["c"]}, '{ a = 1, b = ["c"] }'),
    ],
)
def test_values_read_as_in_toml(value: object, text: str) -> None:
    assert value_text(value) == text
