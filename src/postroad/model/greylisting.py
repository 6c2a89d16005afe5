"""Greylisting as a decision (*pure*): who waits, who has waited long enough, who is proven (RFC 6647 4 and 5).

What is remembered is a pair of sender and recipient as it came from one client, or rather from one *party*: the
network around an address, and, so that a provider with many hosts waits but once, the domain of its confirmed names.
A try counts for all parties of its client, and passes when it may for any of them (RFC 6647 5).
"""

import re
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from types import MappingProxyType
from typing import Final, Protocol

from msgspec import Struct

from postroad.model.reverse import address_of

_KEY_OCTETS: Final = 16  # of a remembered pair; what it was made of cannot be read from it
_NUMBERS: Final = re.compile(r"[0-9a-f]*[0-9][0-9a-f]*")
_TAGS: Final = MappingProxyType({"prvs": 1, "btv1": 1, "srs0": 2, "srs1": 2})  # fields at the end that stay the same
_HOSTS: Final = 10  # names of one address that count


class Terms(Struct, frozen=True):
    """How long to wait and how long to remember, in microseconds; `proven_after` passes make a party proven."""

    delay: int
    window: int
    life: int
    proven_after: int


class Seen(Struct, frozen=True):
    """What is remembered of one pair from one party: its first and its latest try, and whether it has passed."""

    first: int
    latest: int
    passed: bool


class Standing(Struct, frozen=True):
    """A party: how often mail of it has passed, and when last."""

    passes: int
    latest: int


class Ruling(Struct, frozen=True):
    """`state` is proven, passed or waits (for `left` microseconds); `first` is since when the pair is known.

    `counts`: the pair passes for the first time, which its parties are credited with.
    """

    state: str
    first: int
    left: int = 0
    counts: bool = False


class Greylist(Protocol):
    """What is remembered, for as long as `Terms` say; TableError when it cannot be had."""

    async def judge(self, parties: Sequence[str], pair: tuple[str, str], terms: Terms) -> Ruling:
        """The ruling on a try now, which is remembered."""


def parties_of(
    ip: str, names: Iterable[str], masks: tuple[int, int], organisation: Callable[[str], str]
) -> tuple[str, ...]:
    """Who `ip` may be taken for: its network under `masks` (IPv4, IPv6), and the domains of its confirmed `names`."""
    address = address_of(ip)
    if address is None:
        return ("",)
    bits = 32 if address.version == 4 else 128
    mask = masks[address.version == 6]
    network = int(address) >> (bits - mask) << (bits - mask)
    found = [f"{type(address)(network)}/{mask}"]
    domains = sorted({organisation(name) for name in sorted(names)[:_HOSTS]} - {""})
    return (*found, *domains)


def steady(sender: str) -> str:
    """`sender` without what differs from mail to mail: extensions, tags of BATV and SRS, numbers and digests."""
    local, at, domain = sender.lower().rpartition("@")
    local = local.partition("+")[0]
    tag, *fields = local.split("=")
    if fields and tag in _TAGS:
        local = "=".join(fields[-_TAGS[tag] :])
    return f"{_NUMBERS.sub('#', local)}{at}{domain}"


def key_of(party: str, pair: tuple[str, str]) -> bytes:
    """The name under which a pair from a party is remembered."""
    text = "\n".join((party, steady(pair[0]), pair[1])).lower()
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=_KEY_OCTETS).digest()


def rule(known: Sequence[Seen | None], standings: Sequence[Standing | None], terms: Terms, now: int) -> Ruling:
    """What becomes of a try at `now` that the parties of a client make: what is `known` of each, and their standing."""
    for standing in standings:
        if standing is None or not terms.proven_after or now - standing.latest > terms.life:
            continue
        if standing.passes >= terms.proven_after:
            return Ruling("proven", now)
    valid = [seen for seen in known if seen is not None and _holds(seen, terms, now)]
    if not valid:
        return Ruling("waits", now, terms.delay)
    first = min(seen.first for seen in valid)
    if any(seen.passed for seen in valid):
        return Ruling("passed", first)
    left = first + terms.delay - now
    return Ruling("waits", first, left) if left > 0 else Ruling("passed", first, counts=True)


def _holds(seen: Seen, terms: Terms, now: int) -> bool:
    """False once it is forgotten: a pair that never passed after the window, one that did after its life."""
    if seen.passed:
        return now - seen.latest <= terms.life
    return now - seen.first <= terms.window
