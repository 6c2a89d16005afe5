"""Targets of several next hops: who stands beside whom, and with what share."""

from fractions import Fraction
from math import gcd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.model.route import NextHop, Target
from postroad.routing.tiers import SHARES_LIMIT, HopPlan, string_together


def plan(host: str, *addresses: str, weight: int = 1, tier: int = 0, share: int = 1) -> HopPlan:
    return HopPlan(NextHop("smtp", host, 25, weight=weight), targets(host, *addresses, tier=tier, share=share))


def targets(host: str, *addresses: str, tier: int = 0, share: int = 1) -> tuple[Target, ...]:
    return tuple(Target("smtp", host, address, 25, share, tier) for address in addresses)


def shown(found: tuple[Target, ...]) -> list[tuple[str, int, int]]:
    return [(target.address, target.tier, target.weight) for target in found]


def test_failover_is_one_tier_after_the_other() -> None:
    mx = HopPlan(NextHop("mx", "example.com"), targets("m1", "1", "2") + targets("m2", "3", tier=1))
    found = string_together([plan("a", "4", "5", weight=7), mx, plan("b", "6")], "failover")
    assert shown(found) == [("4", 0, 1), ("5", 0, 1), ("1", 1, 1), ("2", 1, 1), ("3", 2, 1), ("6", 3, 1)]


@pytest.mark.parametrize("balance", ["round-robin", "least-busy"])
def test_beside_each_other_every_next_hop_has_the_same_share(balance: str) -> None:
    found = string_together([plan("a", "1", "2", weight=9), plan("b", "3")], balance)
    assert shown(found) == [("1", 0, 1), ("2", 0, 1), ("3", 0, 1)]


def test_weights_are_those_of_next_hops_not_of_addresses() -> None:
    found = string_together([plan("a", "1", "2", weight=3), plan("b", "3")], "weighted")
    assert shown(found) == [("1", 0, 3), ("2", 0, 3), ("3", 0, 1)]
    assert shown(string_together([plan("a", "1", weight=10), plan("b", "2", weight=20)], "weighted")) == [
        ("1", 0, 1),
        ("2", 0, 2),
    ]


def test_levels_of_an_mx_stay_in_order_beside_others() -> None:
    mx = HopPlan(NextHop("mx", "example.com"), targets("m1", "1") + targets("m2", "2") + targets("m3", "3", tier=1))
    found = string_together([mx, plan("a", "4")], "weighted")
    assert shown(found) == [("1", 0, 1), ("2", 0, 1), ("4", 0, 2), ("3", 1, 1)]


def test_weights_within_a_next_hop_divide_its_share() -> None:
    srv = HopPlan(NextHop("smtp+srv", "x", weight=2), targets("s1", "1", share=3) + targets("s2", "2", share=1))
    found = string_together([srv, plan("a", "4")], "weighted")
    assert shown(found) == [("1", 0, 3), ("2", 0, 1), ("4", 0, 2)]


def test_each_address_of_a_host_comes_once() -> None:
    for balance in ("failover", "weighted"):
        found = string_together([plan("a", "1"), plan("b", "2"), plan("a", "1")], balance)
        assert [target.address for target in found] == ["1", "2"]


def test_weights_are_bounded() -> None:
    uneven = HopPlan(
        NextHop("smtp+srv", "x", weight=1000), targets("s1", "1", share=6_553_500) + targets("s2", "2", share=1)
    )
    found = string_together([uneven, plan("a", "4", weight=999)], "weighted")
    assert max(target.weight for target in found) == SHARES_LIMIT
    assert min(target.weight for target in found) == 1


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 4)), min_size=1, max_size=5))
def test_shares_are_exact(hops: list[tuple[int, int]]) -> None:
    plans = [
        plan(f"h{at}", *(f"{at}.{number}" for number in range(count)), weight=weight)
        for at, (weight, count) in enumerate(hops)
    ]
    found = string_together(plans, "weighted")
    shares = {target.host: target.weight for target in found}
    for at, (weight, _) in enumerate(hops):
        assert {target.weight for target in found if target.host == f"h{at}"} == {shares[f"h{at}"]}
        assert Fraction(shares[f"h{at}"], sum(shares.values())) == Fraction(weight, sum(weight for weight, _ in hops))
    assert gcd(*(target.weight for target in found)) == 1
