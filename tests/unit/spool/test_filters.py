"""Patterns as people write them."""

import pytest

from postroad.spool.filters import Query, asks_lane, fits, lane_fits

MX = "mx:example.net"
TWO = "smtp://mail1.internal:25,lmtp://[2001:db8::1]:24*3?balance=weighted&source=news"


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("a@example.com", "A@Example.com", True),
        ("a@example.com", "aa@example.com", False),
        ("*@example.com", "a@example.com", True),
        ("*", "", True),
        ("a.c", "abc", False),
        ("a*c*", "abbbcd", True),
    ],
)
def test_patterns(pattern: str, text: str, expected: bool) -> None:
    assert fits(pattern, text) is expected


@pytest.mark.parametrize(
    ("pattern", "lane", "expected"),
    [
        (MX, MX, True),
        ("example.net", MX, True),
        ("*.net", MX, True),
        ("example.org", MX, False),
        ("mail1.internal", TWO, True),
        ("mail1.internal:25", TWO, True),
        ("smtp://mail1.internal:25", TWO, True),
        ("2001:db8::1", TWO, True),
        ("lmtp://*", TWO, True),
        (TWO, TWO, True),
        ("weighted", TWO, False),
        ("news", TWO, False),
        ("mail2.internal", TWO, False),
        ("lmtp:///run/lmtp", "lmtp:///run/lmtp", True),
        ("capture:", "capture:", True),
        ("*", "", True),
        ("x", "", False),
    ],
)
def test_a_next_hop_is_known_by_any_of_its_names(pattern: str, lane: str, expected: bool) -> None:
    assert lane_fits(pattern, lane) is expected


def test_very_many_lanes_asked_for_by_name_cost_the_same_for_each() -> None:
    query = Query(lanes=frozenset(f"mx:d{number}.example" for number in range(50_000)), hops=("*.test",))
    assert all(asks_lane(query, f"mx:d{number}.example") for number in range(50_000))
    assert not any(asks_lane(query, f"mx:d{number}.other") for number in range(50_000))
    assert asks_lane(query, "mx:a.test")
    assert asks_lane(Query(), "mx:a.other")
    assert not asks_lane(Query(lanes=frozenset({"mx:a.test"}), next_hop="b.test"), "mx:a.test")
