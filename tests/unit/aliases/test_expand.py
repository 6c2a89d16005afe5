"""Expansion: order of look-up, sub-addresses, recursion, loops, bounds, each result once, DSN parameters."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.aliases.door import run
from postroad.aliases.expand import Bounds, ExpansionError, Walk, expand, merge, split_detail, wire_local
from postroad.aliases.patterns import parse_patterns
from postroad.aliases.table import Domains, Entries, Expressions, Table
from postroad.aliases.text import key_of, parse_entries
from postroad.model.address import parse_mailbox
from postroad.model.envelope import (
    NOTIFY_DELAY,
    NOTIFY_FAILURE,
    NOTIFY_NEVER,
    NOTIFY_SUCCESS,
    Recipient,
)
from postroad.model.expansion import Expanded

BOUNDS = Bounds(20, 1000)


def entries(
    given: Mapping[str, str | tuple[str, ...]], *, domains: tuple[str, ...] = (), delimiter: str = "+"
) -> Table:
    content = parse_entries({key: (value,) if isinstance(value, str) else value for key, value in given.items()})
    assert content.flaws == []
    return Table(name="t", find=Entries(content).find, domains=Domains(domains), delimiter=delimiter)


def patterns(text: str) -> Table:
    parsed = parse_patterns(text)
    assert parsed.flaws == []
    return Table(name="p", find=Expressions(parsed).find, domains=Domains(()), is_whole=True, delimiter="+")


def follow(address: str, *tables: Table, bounds: Bounds = BOUNDS) -> list[str]:
    found = run(Walk(tables, bounds).follow(parse_mailbox(address)), tables)
    assert isinstance(found, list)
    return [str(mailbox) for mailbox in found]


def expanded(recipients: list[Recipient], *tables: Table, bounds: Bounds = BOUNDS) -> Expanded:
    found = run(expand(tables, recipients, bounds), tables)
    assert isinstance(found, Expanded)
    return found


def to(address: str, notify: int = 0, orcpt: str = "") -> Recipient:
    return Recipient(parse_mailbox(address), notify, orcpt)


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("info@x.example", ["a@y.example", "b@y.example"]),
        ("INFO@X.Example", ["a@y.example", "b@y.example"]),
        ("info+sales@x.example", ["a+sales@y.example", "b+sales@y.example"]),
        ("info+vip@x.example", ["vip@y.example"]),
        ("other@x.example", ["catch@y.example"]),
        ("other+z@x.example", ["catch@y.example"]),
        ("+z@x.example", ["catch@y.example"]),
        ("who+z@same.example", ["who+z@y.example"]),
        ("named+z@same.example", ["named+z@z.example"]),
        ('"john doe"@same.example', ['"john doe"@y.example']),
        ("bob@elsewhere.example", ["bob@elsewhere.example"]),
        ("postmaster+z@post.example", ["root+z@post.example"]),
    ],
)
def test_order_of_look_up(address: str, found: list[str]) -> None:
    table = entries(
        {
            "info@x.example": ("a@y.example", "b@y.example"),
            "info+vip@x.example": "vip@y.example",
            "@x.example": "catch@y.example",
            "@same.example": "@y.example",
            "named@same.example": "@z.example",
            "postmaster@post.example": "root@post.example",
        }
    )
    assert follow(address, table) == found


def test_a_name_in_any_table_comes_before_every_catch_all() -> None:
    first = entries({"@x.example": "catch@y.example"})
    second = entries({"info@x.example": "a@y.example"})
    assert follow("info@x.example", first, second) == ["a@y.example"]
    assert follow("else@x.example", first, second) == ["catch@y.example"]
    third = entries({"info@x.example": "b@y.example"})
    assert follow("info@x.example", second, third) == ["a@y.example"]
    assert follow("info@x.example", third, second) == ["b@y.example"]


def test_delimiters() -> None:
    given = {"info@x.example": "a@y.example"}
    assert follow("info+z@x.example", entries(given, delimiter="")) == ["info+z@x.example"]
    assert follow("info-z@x.example", entries(given, delimiter="-")) == ["a-z@y.example"]
    assert split_detail("a+b+c", "+") == ("a", "+b+c")
    assert split_detail("Mailer-Daemon", "-") == ("Mailer-Daemon", "")
    assert split_detail("a+", "+") == ("a", "+")


def test_domains_limit_a_table() -> None:
    table = entries(
        {"info@x.example": "a@y.example", "a@y.example": "b@z.example"}, domains=("x.example", "*.sub.example")
    )
    assert follow("info@x.example", table) == ["a@y.example"]
    assert follow("a@y.example", table) == ["a@y.example"]
    assert "a.b.sub.example" in table.domains
    assert "sub.example" not in table.domains


def test_patterns_are_asked_with_the_whole_address_alone() -> None:
    table = patterns(
        "/^info@x.example$/ a@y.example\n/^(.*)\\+(.*)@x.example$/ $2@z.example\n/^@x.example$/ no@y.example"
    )
    assert follow("info@x.example", table) == ["a@y.example"]
    assert follow("info+Detail@x.example", table) == ["Detail@z.example"]
    assert follow("else@x.example", table) == ["else@x.example"]


def test_what_a_pattern_makes_must_be_an_address() -> None:
    with pytest.raises(ExpansionError, match="which is no address"):
        follow("a@x.example", patterns("/^(.*)@x.example$/ $1..$1@y.example"))
    with pytest.raises(ExpansionError, match="which has no domain"):
        follow("postmaster@x.example", patterns("/^(.*)@x.example$/ $1"))


def test_recursion_and_a_name_that_stands_for_itself() -> None:
    table = entries(
        {
            "all@x.example": ("dev@x.example", "ops@x.example", "me@x.example"),
            "dev@x.example": ("a@x.example", "b@x.example"),
            "ops@x.example": ("b@x.example", "ops@x.example", "all@z.example"),
            "me@x.example": "ME@x.example",
        }
    )
    assert follow("all@x.example", table) == [
        "a@x.example",
        "b@x.example",
        "ops@x.example",
        "all@z.example",
        "ME@x.example",
    ]
    back = entries({"a@x.example": ("b@x.example", "a@x.example"), "b@x.example": "a@x.example"})
    assert follow("a@x.example", back) == ["a@x.example"]
    assert follow("b@x.example", back) == ["a@x.example"]
    itself = entries({"@x.example": "@x.example"})
    assert follow("a+b@x.example", itself) == ["a+b@x.example"]


def test_loops_are_told() -> None:
    table = entries(
        {"a@x.example": ("q@x.example", "b@x.example"), "b@x.example": "c@x.example", "c@x.example": "B@x.example"}
    )
    with pytest.raises(
        ExpansionError,
        match="^alias loop: (b@x.example -> c@x.example -> b|c@x.example -> b@x.example -> c)@x.example$",
    ):
        follow("a@x.example", table)


def test_bounds() -> None:
    chain = entries({f"n{number}@x.example": f"n{number + 1}@x.example" for number in range(20)})
    assert follow("n0@x.example", chain) == ["n20@x.example"]
    with pytest.raises(ExpansionError, match="more than 19 steps"):
        follow("n0@x.example", chain, bounds=Bounds(19, 1000))
    with pytest.raises(ExpansionError, match="more than 20 addresses"):
        follow("n0@x.example", chain, bounds=Bounds(20, 20))
    endless = patterns("/^(.*)@x.example$/ a$1@x.example")
    with pytest.raises(ExpansionError):
        follow("a@x.example", endless)
    wide = {
        f"{name}{level}@x.example": (f"a{level + 1}@x.example", f"b{level + 1}@x.example")
        for level in range(19)
        for name in "ab"
    }
    assert follow("a0@x.example", entries(wide)) == ["a19@x.example", "b19@x.example"]


def test_each_recipient_once() -> None:
    table = entries(
        {"all@x.example": ("a@y.example", "B@y.example", "b@Y.example", "A@x.example", "a@x.example")},
        domains=("x.example",),
    )
    given = [to("a@y.example"), to("all@x.example"), to("a@Y.EXAMPLE")]
    found = expanded(given, table)
    assert [str(one.address) for one in found.recipients] == [
        "a@y.example",
        "B@y.example",
        "b@Y.example",
        "A@x.example",
    ]
    assert found.recipients[0] is not given[0] or found.recipients[0] == given[0]


def test_nothing_changes_what_no_table_has() -> None:
    given = [to("a@y.example", NOTIFY_SUCCESS, "rfc822;x"), to("b@y.example")]
    found = expanded(given, entries({"z@x.example": "a@y.example"}))
    assert found == Expanded(given, ())
    assert found.recipients[0] is given[0]


def test_dsn_parameters_of_one_successor_stay() -> None:
    table = entries({"a@x.example": "b@y.example", "b@y.example": "c@y.example"})
    found = expanded([to("a@x.example", NOTIFY_SUCCESS), to("A+b=c@x.example")], table)
    assert found.recipients == [
        to("c@y.example", NOTIFY_SUCCESS, "rfc822;a@x.example"),
        to("c+b=c@y.example", 0, "rfc822;A+2Bb+3Dc@x.example"),
    ]
    kept = expanded([to("a@x.example", 0, "rfc822;first@w.example")], table)
    assert kept.recipients == [to("c@y.example", 0, "rfc822;first@w.example")]
    international = expanded([to("ü@x.example")], entries({"ü@x.example": "u@y.example"}))
    assert international.recipients == [to("u@y.example", 0, "utf-8;ü@x.example")]


@pytest.mark.parametrize(
    ("notify", "left"),
    [
        (0, 0),
        (NOTIFY_NEVER, NOTIFY_NEVER),
        (NOTIFY_SUCCESS, NOTIFY_NEVER),
        (NOTIFY_SUCCESS | NOTIFY_FAILURE, NOTIFY_FAILURE),
        (NOTIFY_FAILURE | NOTIFY_DELAY, NOTIFY_FAILURE | NOTIFY_DELAY),
    ],
)
def test_several_successors_report_no_success(notify: int, left: int) -> None:
    table = entries({"a@x.example": ("b@y.example", "c@y.example")})
    found = expanded([to("a@x.example", notify)], table)
    assert [one.notify for one in found.recipients] == [left, left]
    assert [one.orcpt for one in found.recipients] == ["rfc822;a@x.example"] * 2
    assert [(str(one.recipient.address), one.to) for one in found.expansions] == [
        ("a@x.example", ("b@y.example", "c@y.example"))
    ]


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (0, 0, 0),
        (NOTIFY_NEVER, NOTIFY_NEVER, NOTIFY_NEVER),
        (NOTIFY_NEVER, NOTIFY_FAILURE, NOTIFY_FAILURE),
        (0, NOTIFY_NEVER, 0),
        (NOTIFY_SUCCESS, NOTIFY_FAILURE, NOTIFY_SUCCESS | NOTIFY_FAILURE),
        (0, NOTIFY_SUCCESS, NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY),
    ],
)
def test_two_that_meet_are_told_all_that_either_asked_for(one: int, other: int, both: int) -> None:
    for first, second in ((one, other), (other, one)):
        assert merge(to("a@y.example", first, "x"), to("a@y.example", second, "y")) == to("a@y.example", both, "x")


@pytest.mark.parametrize("local", ["a", "a.b+c", "a b", 'a"b', "a\\b", "a@b", ".a", "a..b", "ü", "a,b", '\\"'])
def test_a_local_part_is_written_so_that_it_is_read_again(local: str) -> None:
    assert parse_mailbox(f"{wire_local(local)}@x.example").local == local


names = st.sampled_from(
    [f"{user}@{domain}" for user in ("a", "b", "c", "d+x", "D") for domain in ("x.example", "y.example")]
)
tables_given = st.lists(
    st.dictionaries(
        names | st.sampled_from(["@x.example", "@y.example"]),
        st.lists(names | st.just("@y.example"), min_size=1, max_size=3),
        max_size=8,
    ),
    min_size=1,
    max_size=3,
)


@given(tables_given, st.lists(names, min_size=1, max_size=4))
def test_expansion_ends_and_neither_loses_nor_doubles(
    given_tables: list[dict[str, list[str]]], addresses: list[str]
) -> None:
    tables = [entries({key.lower(): tuple(value) for key, value in given.items()}) for given in given_tables]
    walk = Walk(tables, BOUNDS)
    try:
        found = expanded([to(address) for address in addresses], *tables)
    except ExpansionError:
        return
    assert found.recipients
    identities = [walk.identity(one.address) for one in found.recipients]
    assert len(set(identities)) == len(identities)
    for address in addresses:
        assert follow(address, *tables)
        assert {walk.identity(parse_mailbox(one)) for one in follow(address, *tables)} <= set(identities)
    for one in found.recipients:  # what is left stands for itself, or for nothing more
        again = follow(str(one.address), *tables)
        assert key_of(one.address) in {key_of(parse_mailbox(other)) for other in again}
