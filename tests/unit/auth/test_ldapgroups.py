"""Groups in groups: a walk finds each once, ends in a ring, and has no answer when it would have to stop early."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.auth.ldapgroups import AT_ONCE, DEPTH_LIMIT, GROUPS_LIMIT, first_value, in_chain, names_of, walk
from postroad.model.errors import DirectoryError
from postroad.net.ldap.codec import SUBTREE, Entry
from postroad.net.ldap.filters import escape_dn, escape_filter


class Groups:
    """A directory of groups by what is in them; counts the searches."""

    def __init__(self, members: dict[str, set[str]]) -> None:
        self.members = members
        self.searches: list[str] = []

    async def __call__(
        self, base: str, filter_text: str, attributes: tuple[str, ...] = (), *, limit: int = 2, scope: int = SUBTREE
    ) -> list[Entry]:
        self.searches.append(filter_text)
        found = [
            Entry(group, {})
            for group, members in self.members.items()
            if any(f"(member={escape_filter(member)})" in filter_text for member in members)
        ]
        return found[:limit]


NUMBERS = st.integers(0, 12)


@given(st.dictionaries(NUMBERS, st.frozensets(NUMBERS, max_size=4), max_size=12))
async def test_a_walk_finds_what_is_reachable_and_nothing_else(members: dict[int, frozenset[int]]) -> None:
    names = {f"cn=g{group}": {f"cn=g{one}" for one in inside} for group, inside in members.items()}
    reachable: set[str] = set()
    fresh = {"cn=g0"}
    while fresh:
        fresh = {group for group, inside in names.items() if inside & fresh} - reachable - {"cn=g0"}
        reachable |= fresh
    found = await walk(Groups(names), "", "member", "cn=g0")
    assert sorted(found) == sorted(reachable)


async def test_one_search_a_level() -> None:
    wide = {f"cn=g{number}": {"cn=u"} for number in range(AT_ONCE)} | {"cn=top": {"cn=g3"}}
    groups = Groups(wide)
    assert len(await walk(groups, "", "member", "cn=u")) == AT_ONCE + 1
    assert len(groups.searches) == 3


async def test_a_walk_that_would_stop_early_has_no_answer() -> None:
    deep = {f"cn=g{number + 1}": {f"cn=g{number}"} for number in range(DEPTH_LIMIT + 1)}
    with pytest.raises(DirectoryError, match=f"more than {DEPTH_LIMIT} groups in one another"):
        await walk(Groups(deep), "", "member", "cn=g0")
    wide = {f"cn=g{number}": {"cn=u"} for number in range(GROUPS_LIMIT + 5)}
    with pytest.raises(DirectoryError, match=f"more than {GROUPS_LIMIT} groups"):
        await walk(Groups(wide), "", "member", "cn=u")


async def test_the_rule_of_active_directory_is_one_search() -> None:
    groups = Groups({})
    assert await in_chain(groups, "dc=x", "member", "cn=a(b),dc=x") == []
    assert groups.searches == ["(member:1.2.840.113556.1.4.1941:=cn=a\\28b\\29,dc=x)"]


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(lambda text: text == text.strip()))
def test_the_plain_name_of_a_group_is_what_was_escaped(name: str) -> None:
    assert first_value(f"CN={escape_dn(name)},DC=example,DC=com") == name


def test_plain_names_are_those_below_the_base_alone() -> None:
    groups = [
        "CN=Staff,OU=Groups,DC=example,DC=com",
        "CN=Staff2,OU=Other,DC=example,DC=com",
        "CN=x\\,ou=groups,dc=example,dc=com",
    ]
    assert names_of(groups, "ou=groups, dc=example,dc=com") == {*groups, "Staff"}
    assert names_of(groups[:2], "") == {*groups[:2], "Staff", "Staff2"}
