"""Addresses out of what people and programs write into header fields."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.message.addresslist import addresses


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a@x.example", ["a@x.example"]),
        ("a@x.example, b@y.example", ["a@x.example", "b@y.example"]),
        ("Ann Example <a@x.example>", ["a@x.example"]),
        ('"Example, Ann" <a@x.example>, b@y.example', ["a@x.example", "b@y.example"]),
        ("<a@x.example> <b@y.example>", ["a@x.example", "b@y.example"]),
        ('"Ann \\" , <c@z.example>" <a@x.example>', ["a@x.example"]),
        ("a@x.example (Ann, (of all) people)", ["a@x.example"]),
        ("(first) a (in) @ (the) x . example", ["a@x.example"]),
        ("friends: a@x.example, B <b@y.example>; c@z.example", ["a@x.example", "b@y.example", "c@z.example"]),
        ("undisclosed-recipients:;", []),
        ("<@relay.example:a@x.example>", ["@relay.example:a@x.example"]),
        ('"q r"@z.example, w', ['"q r"@z.example', "w"]),
        ("a@[192.0.2.1], b@[IPv6:2001:db8::1]", ["a@[192.0.2.1]", "b@[IPv6:2001:db8::1]"]),
        ("a b@c.example", ["a", "b@c.example"]),
        ("<>", [""]),
        ("", []),
        (" , ,", []),
        ("Ann <a@x.example", ["a@x.example"]),
        ("a@x.example (never closed", ["a@x.example"]),
        ("äöü@x.example", ["äöü@x.example"]),
    ],
)
def test_addresses(text: str, found: list[str]) -> None:
    assert addresses(text) == found


@given(st.text(st.sampled_from('ab@.<>,;:()[]"\\ \t\0é'), max_size=40))
def test_anything_is_read(text: str) -> None:
    for address in addresses(text):
        assert isinstance(address, str)


@given(st.lists(st.from_regex(r"[a-z]{1,8}@[a-z]{1,8}\.example", fullmatch=True), max_size=6))
def test_lists_come_back(wanted: list[str]) -> None:
    assert addresses(", ".join(f'"x, y" <{address}> (z)' for address in wanted)) == wanted
