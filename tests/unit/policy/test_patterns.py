"""What rules are made of: patterns of text and addresses, networks, and times of the week."""

from datetime import datetime
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from time import perf_counter
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.model.address import NULL_PATH, parse_mailbox
from postroad.policies.expressions import compile_expression
from postroad.policy.globs import compile_globs, over_many, with_exceptions
from postroad.policy.mailboxes import compile_mailboxes
from postroad.policy.networks import compile_networks, number_of
from postroad.policy.rules.hours import compile_hours, parse_span, parse_zone

words = st.text("aBc?*[]!^-.", min_size=1, max_size=8)


@given(st.lists(words, max_size=4), words)
def test_globs_are_stars_and_question_marks_and_nothing_else(patterns: list[str], text: str) -> None:
    def naive(pattern: str) -> bool:
        return fnmatchcase(text.lower(), pattern.lower().replace("[", "[[]"))

    assert compile_globs(patterns)(text) == any(map(naive, patterns))


@pytest.mark.parametrize(
    ("patterns", "one", "many"),
    [
        (["a", "b"], {"a": True, "c": False}, {"a c": True, "c d": False, "": False}),
        (["*", "!b"], {"a": True, "b": False}, {"a c": True, "a b": False, "": False}),
        (["!b"], {"a": True, "b": False}, {"a c": True, "a b": False, "": True}),
        ([], {"a": False}, {"a": False, "": False}),
    ],
)
def test_exceptions(patterns: list[str], one: dict[str, bool], many: dict[str, bool]) -> None:
    assert {text: with_exceptions(patterns, compile_globs)(text) for text in one} == one
    assert {text: over_many(patterns, compile_globs)(text.split()) for text in many} == many


def test_no_pattern_takes_long() -> None:
    hostile = compile_globs(["*a" * 400 + "b", "?" * 900 + "*"])
    regex = compile_globs(["/(a+)+$/"], compile_expression)
    began = perf_counter()
    assert not hostile("a" * 800)
    assert regex("a" * 100_000)
    assert not regex("a" * 100_000 + "b")
    assert perf_counter() - began < 5


def test_expressions_need_an_engine_and_sense() -> None:
    assert compile_globs(["/^in.oice/"], compile_expression)("INVOICE 3")
    with pytest.raises(ValueError, match=r"/\(/ cannot be compiled: missing \)"):
        compile_expression("(")
    with pytest.raises(ValueError, match="no engine"):
        compile_globs(["/a/"])


ADDRESSES = (
    "boss@example.com",
    "sales-de@example.com",
    "x@mail1.example.org",
    "x@deep.mail.example.org",
    "b@[192.0.2.1]",
)


@pytest.mark.parametrize(
    ("pattern", "means"),
    [
        ("example.com", (0, 1)),
        ("*.example.org", (2, 3)),
        ("example.org", ()),
        ("mail?.example.org", (2,)),
        ("Boss@Example.COM", (0,)),
        ("*@example.com", (0, 1)),
        ("sales-*@example.com", (1,)),
        ("*@mail*.example.org", (2,)),
        ("[192.0.2.1]", (4,)),
        ("*", (0, 1, 2, 3, 4, 5)),
        ("<>", (5,)),
        ("/^x@/", (2, 3)),
    ],
)
def test_patterns_of_addresses(pattern: str, means: tuple[int, ...]) -> None:
    mailboxes = [*map(parse_mailbox, ADDRESSES), NULL_PATH]
    match = compile_mailboxes([pattern], compile_expression).match
    assert tuple(at for at, mailbox in enumerate(mailboxes) if match(mailbox)) == means


@pytest.mark.parametrize("pattern", ["", "a b", "a@@b", "@example.com", "exa mple.com", "a" * 1001])
def test_what_is_no_pattern_of_addresses(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"pattern"):
        compile_mailboxes([pattern])


networks = st.builds(
    lambda number, length: str(ip_network((number >> (32 - length) << (32 - length), length))),
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
)


@given(st.lists(networks, max_size=5), st.integers(0, 2**32 - 1))
def test_networks(texts: list[str], number: int) -> None:
    ip = str(ip_address(number))
    expected = any(ip_address(ip) in ip_network(text) for text in texts)
    table = compile_networks(texts)
    assert table(number_of(ip)) == expected
    assert table(number_of(f"::ffff:{ip}")) == expected
    assert not table(number_of("2001:db8::1"))


def test_a_drop_has_no_address() -> None:
    assert not compile_networks(["0.0.0.0/0", "::/0"])(number_of(""))
    assert compile_networks(["2001:db8::/32"])(number_of("2001:db8::1%eth0"))


def at(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("span", "inside", "outside"),
    [
        ("08:00-18:00", ["2026-03-02 08:00", "2026-03-08 17:59"], ["2026-03-02 07:59", "2026-03-02 18:00"]),
        ("mon-fri", ["2026-03-02 00:00", "2026-03-06 23:59"], ["2026-03-07 00:00", "2026-03-08 23:59"]),
        ("sat,sun", ["2026-03-07 12:00"], ["2026-03-09 00:00"]),
        ("fri-mon 10:00-24:00", ["2026-03-08 23:59", "2026-03-09 10:00"], ["2026-03-10 11:00", "2026-03-09 09:59"]),
        ("fri 22:00-06:00", ["2026-03-06 22:00", "2026-03-07 05:59"], ["2026-03-06 05:00", "2026-03-07 22:00"]),
        ("Sun 22:00-06:00", ["2026-03-09 05:59"], ["2026-03-08 05:59"]),
    ],
)
def test_times_of_the_week(span: str, inside: list[str], outside: list[str]) -> None:
    holds = compile_hours([span], "UTC")
    assert [text for text in inside if not holds(at(text))] == []
    assert [text for text in outside if holds(at(text))] == []


def test_summer_time_is_heeded() -> None:
    holds = compile_hours(["08:00-09:00"], "Europe/Berlin")
    assert holds(at("2026-01-05 07:30"))
    assert holds(at("2026-07-06 06:30"))
    assert not holds(at("2026-07-06 07:30"))


@pytest.mark.parametrize("text", ["", "8-18", "08:00", "25:00-26:00", "08:60-09:00", "08:00-08:00", "monday", "mon tue",
                                  "08:00-18:00 mon", "24:00-06:00"])  # fmt: skip
def test_what_is_no_time_of_the_week(text: str) -> None:
    with pytest.raises(ValueError, match=r"write|time of the day"):
        parse_span(text)


def test_what_is_no_zone() -> None:
    for name in ("Mars/Olympus", "../etc/passwd", ""):
        with pytest.raises(ValueError, match="no time zone"):
            parse_zone(name)
