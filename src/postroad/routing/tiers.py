"""The targets of several next hops, strung together as the route's balance says (*pure*).

With failover each next hop comes after all of the one before it; otherwise all stand beside each other and share the
mail, level with level: the best MX of one beside the best of another. A share belongs to a next hop and is divided
among its hosts of one level. A target's weight is the share of its host, the same for all addresses of one host:
whoever delivers chooses among hosts, so that two addresses get no double share.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import gcd, lcm
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from postroad.model.route import FAILOVER, WEIGHTED, NextHop, Target

SHARES_LIMIT: Final = 1_000_000  # the greatest weight of a target


class HopPlan(Struct, frozen=True):
    """A next hop and its targets, tiers from 0; their weights are those of their hosts."""

    hop: NextHop
    targets: tuple[Target, ...]


def string_together(plans: Sequence[HopPlan], balance: str) -> tuple[Target, ...]:
    """The targets of all `plans`, in the order to try them; each host's address and port once."""
    targets = _one_after_another(plans) if balance == FAILOVER else _side_by_side(plans, by_weight=balance == WEIGHTED)
    seen: dict[tuple[str, str, str, int], Target] = {}
    for target in targets:
        seen.setdefault((target.scheme, target.host, target.address, target.port), target)
    return tuple(seen.values())


def _one_after_another(plans: Sequence[HopPlan]) -> Iterator[Target]:
    tier = 0
    for plan in plans:
        for target in plan.targets:
            yield _at(target, tier + target.tier, target.weight)
        tier += 1 + max(target.tier for target in plan.targets)


def _side_by_side(plans: Sequence[HopPlan], *, by_weight: bool) -> Iterator[Target]:
    for tier in sorted({target.tier for plan in plans for target in plan.targets}):
        shares: list[tuple[Target, Fraction]] = []
        for plan in plans:
            weight = plan.hop.weight if by_weight else 1
            shares += _shares(weight, [target for target in plan.targets if target.tier == tier])
        weights = _whole([share for _, share in shares])
        for (target, _), whole in zip(shares, weights, strict=True):
            yield _at(target, tier, whole)


def _shares(weight: int, targets: Sequence[Target]) -> list[tuple[Target, Fraction]]:
    """What the host of each of `targets`, all of one next hop and level, gets of the hop's `weight`."""
    hosts = {(target.host, target.port): target.weight for target in targets}
    total = sum(hosts.values())
    return [(target, Fraction(weight * target.weight, total)) for target in targets]


def _whole(shares: Sequence[Fraction]) -> list[int]:
    """`shares` as whole numbers in the same proportion, as small as can be."""
    common = lcm(*(share.denominator for share in shares))
    whole = [int(share * common) for share in shares]
    divisor = gcd(*whole)
    most = max(whole) // divisor
    if most <= SHARES_LIMIT:
        return [number // divisor for number in whole]
    return [max(1, number * SHARES_LIMIT // (most * divisor)) for number in whole]


def _at(target: Target, tier: int, weight: int) -> Target:
    return replace(target, weight=weight, tier=tier)
