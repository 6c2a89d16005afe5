"""Who is banned, for how long and why: decided from how peers behave (*pure*; `now` in seconds since 1970).

Each instance of a kind of conduct adds its share to the score of the peer's address (IPv6: of its /64) and a smaller
one to that of the network around it; a score of one bans. Scores lose half their value every `half_life`. A ban takes
twice as long as the one before, up to `longest`, until the network has kept clear of bans for that long. Whoever is
in a network of `never` is not scored, and a ban around it does not concern it.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from ipaddress import ip_address
from math import exp2
from typing import Final

from msgspec import Struct

from postroad.policy.shield.bantable import (
    FOREVER,
    MAPPED,
    BanTable,
    Network,
    Standing,
    address_of,
    key_of,
    key_of_network,
    network_of,
)

KINDS: Final = ("order", "auth_failed", "unknown_recipient", "refused", "talked_first")  # in the table: their place
_HOST: Final = (128, 64)  # bits of what counts as one address: IPv4, IPv6
_TIMES: Final = 31  # doublings that are counted
_REMEMBERED: Final = 4096  # addresses of which it is known whether they may ever be banned


class BanRules(Struct, frozen=True, kw_only=True):
    """The configuration: `shares` has what one instance of a kind adds, times in seconds.

    `prefixes` are the lengths of networks around an address, IPv4 and IPv6; an instance adds to theirs a
    `prefix_factor`th.
    """

    shares: Mapping[str, float]
    half_life: float
    ban_time: float
    longest: float
    prefixes: tuple[int, int]
    prefix_factor: float
    never: tuple[Network, ...] = ()


class Ban(Struct, frozen=True):
    """One network is banned until an instant, for the `times`th time in a row; for the last instance of `kind`."""

    network: Network
    until: int
    times: int
    kind: str

    @property
    def is_endless(self) -> bool:
        """True when it ends by an order alone."""
        return self.until == FOREVER


class Bans:
    """Decides over one table."""

    def __init__(self, table: BanTable, rules: BanRules) -> None:
        """Go on with what the table has."""
        self._table = table
        self.rules = rules
        self._is_exempt = lru_cache(_REMEMBERED)(self._look_exempt)

    def learn(self, kind: str, ip: str, count: int, now: int) -> list[Ban]:
        """Take note of `count` instances; the bans that begin with it."""
        share = self.rules.shares.get(kind, 0.0)
        address = address_of(ip)
        if not share or not count or address is None or self._is_exempt(ip):
            return []
        is_6 = ":" in ip
        prefix = self.rules.prefixes[is_6] + (0 if is_6 else MAPPED)
        begun = [
            self._add(key_of(address, _HOST[is_6]), kind, share, count, now),
            self._add(key_of(address, prefix), kind, share / self.rules.prefix_factor, count, now),
        ]
        return [ban for ban in begun if ban is not None]

    def judge(self, ip: str, now: int) -> Ban | None:
        """The ban that concerns an address; the one that lasts longest when there are several."""
        address = address_of(ip)
        if address is None:
            return None
        found: tuple[bytes, Standing] | None = None
        for key, standing in self._table.covering(address):
            if standing.until > now and (found is None or standing.until > found[1].until):
                found = key, standing
        return None if found is None or self._is_exempt(ip) else _ban(*found)

    def nearness(self, ip: str, now: int) -> float:
        """How near to a ban an address is by what it did: its score, or 1 when it is banned."""
        address = address_of(ip)
        standing = None if address is None else self._table.get(key_of(address, _HOST[":" in ip]))
        if standing is None:
            return 0.0
        return 1.0 if standing.until > now else self._faded(standing, now)

    def add(self, network: Network, until: int, now: int) -> Ban:
        """Ban `network` by an order; `FOREVER` ends by another order alone."""
        key = key_of_network(network)
        before = self._table.get(key)
        standing = Standing(0.0, now, until, 1 if before is None else before.times, KINDS.index("order"))
        self._table.put(key, standing, now)
        return _ban(key, standing)

    def lift(self, ban: Ban) -> None:
        """End a ban, and forget what led to it."""
        self._table.remove(key_of_network(ban.network))

    def buckets(self) -> range:
        """The parts that all bans are in; see `in_bucket`."""
        return self._table.buckets()

    def in_bucket(self, bucket: int, now: int) -> Iterator[Ban]:
        """Every ban in force of one part: whoever wants all can do something else in between."""
        for key, standing in self._table.entries(bucket):
            if standing.until > now:
                yield _ban(key, standing)

    def _add(self, key: bytes, kind: str, share: float, count: int, now: int) -> Ban | None:
        rules = self.rules
        before = self._table.get(key) or Standing(0.0, now)
        if before.until > now:
            return None  # it pays for what it did already
        score = share * count + self._faded(before, now)
        times = 0 if now - before.until > rules.longest else before.times
        if score + share / 2 < 1.0:  # what faded in between makes nobody wait for one instance more than was said
            self._table.put(key, Standing(score, now, before.until, times, before.kind), now)
            return None
        seconds = min(rules.ban_time * 2.0**times, rules.longest)
        standing = Standing(0.0, now, min(now + int(seconds), FOREVER - 1), min(times + 1, _TIMES), KINDS.index(kind))
        self._table.put(key, standing, now)
        return _ban(key, standing)

    def _faded(self, standing: Standing, now: int) -> float:
        return standing.score * exp2(-max(now - standing.seen, 0) / self.rules.half_life)

    def _look_exempt(self, ip: str) -> bool:
        address = ip_address(ip.partition("%")[0])
        return any(address in network for network in self.rules.never)


def _ban(key: bytes, standing: Standing) -> Ban:
    return Ban(network_of(key), standing.until, standing.times, KINDS[standing.kind])
