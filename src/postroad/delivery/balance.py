"""*pure*: the order in which one message tries the targets of its route.

Tiers come in order; within a tier the mail is shared among hosts as the route's balance says, and the addresses of
one host stay together, in order. Round robin and weights are the smooth weighted round robin (each host gains its
weight with every message, the one with most gets it and pays the sum back); least-busy takes the host with fewest
deliveries under way for its weight. A host that lets several connections wait to be opened is passed over while
another one does not, so that one that hangs cannot hold all. Hosts that are out are left out; when all are, those
whose probe is due are tried, or else the one whose probe comes first, so that the lane learns of it. State is
bounded in number.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from msgspec import Struct

from postroad.delivery.health import Health
from postroad.model.route import FAILOVER, LEAST_BUSY, WEIGHTED, Route, Target

ANY: Final = "any"
IPV4: Final = "ipv4"
IPV6: Final = "ipv6"
PREFER_IPV4: Final = "prefer-ipv4"
PREFER_IPV6: Final = "prefer-ipv6"
KEPT: Final = 1000  # routes with a state of their own
OPENING: Final = 3  # connections to one host that are being opened, from which on another host is preferred

Key = tuple[str, int, str]  # address, port, source


class Preference(Struct, frozen=True, gc=False):
    """Which targets a source can use, and in which order: `ip` is one of the words above.

    `lacks`: the address family, IPV4 or IPV6, that the source has no address of; "" when it has what it needs.
    """

    source: str = ""
    ip: str = ANY
    lacks: str = ""

    @property
    def is_plain(self) -> bool:
        """True when every route's targets stay as they are."""
        return self.ip == ANY and not self.lacks


class Host(Struct, gc=False):
    """One next-hop host of a tier, by name and port: its addresses in order and its credit in the round robin."""

    key: tuple[str, int]
    targets: tuple[Target, ...]
    weight: float
    credit: float = 0.0


class Rotation(Struct, gc=False):
    """The state of one route: what it was made from, its targets as the preference has them, tiers of hosts."""

    route: Route
    targets: tuple[Target, ...]
    tiers: list[list[Host]]


def key_of(target: Target, source: str) -> Key:
    """How the health of `target`, reached from `source`, is remembered."""
    return target.address, target.port, source


def arrange(targets: Iterable[Target], preference: Preference) -> tuple[Target, ...]:
    """`targets` without those of a family that cannot be used; the preferred family first within each host."""
    ip = preference.ip
    barred = {preference.lacks, {IPV4: IPV6, IPV6: IPV4}.get(ip, "")}
    found: list[Target] = []
    for _, group in groupby(targets, key=_host_of):
        usable = [target for target in group if family_of(target) not in barred]
        if ip in (PREFER_IPV4, PREFER_IPV6):
            first = ip.removeprefix("prefer-")
            usable.sort(key=lambda target: family_of(target) != first)
        found += usable
    return tuple(found)


def family_of(target: Target) -> str:
    """IPV4 or IPV6; for what has no IP address a word that is neither."""
    if not target.port:
        return "local"
    return IPV6 if ":" in target.address else IPV4


class Balance:
    """Orders targets; `due` are those among the last route's that should be probed now."""

    __slots__ = ("_busy", "_health", "_opening", "_rotations", "due")

    def __init__(self, health: Health[Key]) -> None:
        """Leave out what is out in `health`."""
        self._health = health
        self._rotations: dict[tuple[str, Preference], Rotation] = {}
        self._busy: dict[tuple[str, int], int] = {}
        self._opening: dict[tuple[str, int], int] = {}
        self.due: list[Target] = []

    def order(self, route: Route, preference: Preference, now: float) -> Sequence[Target]:
        """The targets of `route` in the order to try them; empty when none can be used."""
        if route.balance == FAILOVER:
            targets = route.targets if preference.is_plain else self._rotation(route, preference).targets
            return targets if not self._health.entries else self._in_turn(targets, preference.source, now)
        rotation = self._rotation(route, preference)
        ordered: list[Target] = []
        is_chosen = False
        for tier in rotation.tiers:
            if not is_chosen and (first := self._choose(tier, route.balance, preference.source, now)) is not None:
                is_chosen = True
                ordered += [target for host in (*tier[first:], *tier[:first]) for target in host.targets]
            else:
                ordered += [target for host in tier for target in host.targets]
        return ordered if not self._health.entries else self._without_out(ordered, preference.source, now)

    def hold(self, target: Target) -> None:
        """A delivery to the host of `target` begins; `free` ends it. For routes that go by least-busy."""
        _add(self._busy, target)

    def free(self, target: Target) -> None:
        """A delivery that `hold` began has ended."""
        _take(self._busy, target)

    def begin_opening(self, target: Target) -> None:
        """A connection to `target` is being opened; `end_opening` when it is ready or failed."""
        _add(self._opening, target)

    def end_opening(self, target: Target) -> None:
        """The connection that `begin_opening` told of is ready, or failed."""
        _take(self._opening, target)

    def _rotation(self, route: Route, preference: Preference) -> Rotation:
        key = route.lane, preference
        rotation = self._rotations.get(key)
        if rotation is not None and rotation.route is route:
            return rotation
        if rotation is None:
            while len(self._rotations) >= KEPT:
                del self._rotations[next(iter(self._rotations))]
        targets = arrange(route.targets, preference)
        made = self._rotations[key] = Rotation(route, targets, _tiers(route, targets))
        if rotation is not None:  # the route was planned anew: nobody's turn is lost
            kept = {host.key: host.credit for tier in rotation.tiers for host in tier}
            for tier in made.tiers:
                for host in tier:
                    host.credit = kept.get(host.key, 0.0)
        return made

    def _choose(self, tier: list[Host], balance: str, source: str, now: float) -> int | None:
        """Which host of `tier` is first for this message; None when all are out."""
        if len(tier) == 1 and not self._health.entries:
            return 0
        rated: list[tuple[int, Host, float]] = []
        for index, host in enumerate(tier):
            weight = host.weight * self._share(host, source, now)
            if weight > 0:
                rated.append((index, host, weight))
            else:
                host.credit = 0.0
        if not rated:
            return None
        if self._opening:
            rated = [one for one in rated if self._opening.get(one[1].key, 0) < OPENING] or rated
        if balance == LEAST_BUSY and len(rated) > 1:
            loads = [self._busy.get(host.key, 0) / weight for _, host, weight in rated]
            least = min(loads)
            rated = [one for one, load in zip(rated, loads, strict=True) if load == least]
        total = 0.0
        best = rated[0]
        for one in rated:
            _, host, weight = one
            host.credit += weight
            total += weight
            if host.credit > best[1].credit + 1e-9:
                best = one
        best[1].credit -= total
        return best[0]

    def _share(self, host: Host, source: str, now: float) -> float:
        """A host is as healthy as the healthiest of its addresses."""
        if not self._health.entries:
            return 1.0
        return max(self._health.share(key_of(target, source), now) for target in host.targets)

    def _in_turn(self, targets: Sequence[Target], source: str, now: float) -> Sequence[Target]:
        """Failover: as given, but what is out not at all, and what comes back first for its share alone."""
        health = self._health
        if not any(key_of(target, source) in health.entries for target in targets):
            return targets
        usable = self._without_out(targets, source, now)
        if len(usable) < 2:
            return usable
        return sorted(usable, key=lambda target: not health.has_turn(key_of(target, source), now))

    def _without_out(self, targets: Sequence[Target], source: str, now: float) -> Sequence[Target]:
        health = self._health
        out: list[tuple[float, int]] = []
        usable: list[Target] = []
        for index, target in enumerate(targets):
            until = health.until(key_of(target, source))
            if until:
                out.append((until, index))
            else:
                usable.append(target)
        if not out:
            return targets
        if usable:
            self.due += [targets[index] for until, index in out if until <= now]
            return usable
        out.sort()
        return [targets[index] for until, index in out if until <= now] or [targets[out[0][1]]]


def _tiers(route: Route, targets: tuple[Target, ...]) -> list[list[Host]]:
    """The hosts of each tier in the order of the route."""
    is_weighted = route.balance in (WEIGHTED, LEAST_BUSY)
    tiers: dict[int, dict[tuple[str, int], list[Target]]] = {}
    for target in targets:
        tiers.setdefault(target.tier, {}).setdefault((target.host, target.port), []).append(target)
    made = []
    for tier in sorted(tiers):
        hosts = []
        for key, group in tiers[tier].items():
            weight = float(max(group[0].weight, 1)) if is_weighted else 1.0
            hosts.append(Host(key, tuple(group), weight))
        made.append(hosts)
    return made


def _add(counts: dict[tuple[str, int], int], target: Target) -> None:
    key = target.host, target.port
    counts[key] = counts.get(key, 0) + 1


def _take(counts: dict[tuple[str, int], int], target: Target) -> None:
    key = target.host, target.port
    left = counts[key] - 1
    if left:
        counts[key] = left
    else:
        del counts[key]


def _host_of(target: Target) -> tuple[int, str, int]:
    return target.tier, target.host, target.port
