"""The groups of somebody in a directory, those in groups included.

Three ways: what the entry itself says (memberOf), Active Directory's rule that follows membership on its side, and a
walk from group to group on ours, a search for each level, for all other servers. Invariant: a walk is bounded, and one
that would have to stop early gives no answer, because a group that is missed may be the one that forbids.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from postroad.model.errors import DirectoryError
from postroad.net.ldap.directory import Search
from postroad.net.ldap.filters import IN_CHAIN, escape_filter

DEPTH_LIMIT: Final = 16  # levels of groups in groups
GROUPS_LIMIT: Final = 1000
AT_ONCE: Final = 50  # names in one filter
_FIRST_VALUE: Final = re.compile(r"[^=,+]+=((?:\\.|[^,+\\])*)")
_ESCAPED: Final = re.compile(r"((?:\\[0-9A-Fa-f]{2})+)|\\(.)")


async def in_chain(search: Search, base: str, member: str, dn: str) -> list[str]:
    """The names of the groups below `base` that `dn` is in, directly or not, as Active Directory follows them."""
    found = await search(base, f"({member}:{IN_CHAIN}:={escape_filter(dn)})", limit=GROUPS_LIMIT + 1)
    return _bounded([entry.dn for entry in found])


async def walk(search: Search, base: str, member: str, dn: str) -> list[str]:
    """The same, by searches for the groups that have `dn`, or a group found before, in their attribute `member`."""
    seen = {_key(dn)}
    found: list[str] = []
    level = [dn]
    for _ in range(DEPTH_LIMIT):
        above: list[str] = []
        for names in _chunks(level):
            some = "".join(f"({member}={escape_filter(name)})" for name in names)
            for entry in await search(base, f"(|{some})", limit=GROUPS_LIMIT + 1):
                if _key(entry.dn) not in seen:
                    seen.add(_key(entry.dn))
                    above.append(entry.dn)
        found = _bounded([*found, *above])
        if not above:
            return found
        level = above
    raise DirectoryError(f"groups of {dn}: more than {DEPTH_LIMIT} groups in one another")


def names_of(groups: Iterable[str], base: str) -> frozenset[str]:
    """The distinguished names of `groups`, and the plain names of those that lie below `base`."""
    names: set[str] = set()
    below = f",{_key(base)}" if base else ""
    for group in groups:
        names.add(group)
        head, comma, _ = _key(group).rpartition(below) if below else (_key(group), "", "")
        if (comma or not below) and not head.endswith("\\") and (plain := first_value(group)):
            names.add(plain)
    return frozenset(names)


def first_value(dn: str) -> str:
    """The value of a name's first part: "Staff" of "CN=Staff,DC=example,DC=com" (RFC 4514 3)."""
    found = _FIRST_VALUE.match(dn)
    return _ESCAPED.sub(_unescaped, found[1]).strip() if found else ""


def _unescaped(found: re.Match[str]) -> str:
    if found[1]:
        return bytes.fromhex(found[1].replace("\\", "")).decode(errors="replace")
    return found[2]


def _bounded(groups: list[str]) -> list[str]:
    if len(groups) > GROUPS_LIMIT:
        raise DirectoryError(f"more than {GROUPS_LIMIT} groups of one account")
    return groups


def _chunks(names: list[str]) -> Iterator[list[str]]:
    for at in range(0, len(names), AT_ONCE):
        yield names[at : at + AT_ONCE]


def _key(dn: str) -> str:
    """For comparing names of one server, which writes each in one way but for case and spaces."""
    return re.sub(r"\s*,\s*", ",", dn.strip()).casefold()
