"""Every balance: the order of targets with all well, with some out, and with some coming back."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.delivery.balance import (
    ANY,
    IPV4,
    IPV6,
    KEPT,
    OPENING,
    PREFER_IPV4,
    PREFER_IPV6,
    Balance,
    Key,
    Preference,
    arrange,
)
from postroad.delivery.balance import key_of as key
from postroad.delivery.health import Health
from postroad.model.route import FAILOVER, LEAST_BUSY, LMTP, ROUND_ROBIN, SMTP, WEIGHTED, Route, Target

PLAIN = Preference()
NOW = 1000.0


def target(name: str, *, weight: int = 1, tier: int = 0, address: str = "") -> Target:
    return Target(SMTP, f"{name}.example.net", address or f"192.0.2.{ord(name)}", 25, weight, tier)


A, B, C = target("a"), target("b"), target("c")


class Lane:
    """A route, its balance and the health of its hosts."""

    def __init__(self, balance: str, *targets: Target) -> None:
        self.health: Health[Key] = Health()
        self.balance = Balance(self.health)
        self.route = Route("lane", targets, "test", balance=balance)

    def order(self, now: float = NOW, preference: Preference = PLAIN) -> list[Target]:
        return list(self.balance.order(self.route, preference, now))

    def firsts(self, count: int, now: float = NOW) -> str:
        return "".join(self.order(now)[0].host[0] for _ in range(count))

    def lose(self, *targets: Target, now: float = NOW) -> None:
        for one in targets:
            self.health.fail(key(one, ""), now, fatal=True)


def test_failover_is_the_route_as_it_is() -> None:
    lane = Lane(FAILOVER, A, B, C)
    assert lane.balance.order(lane.route, PLAIN, NOW) is lane.route.targets
    lane.lose(target("x"))
    assert lane.balance.order(lane.route, PLAIN, NOW) is lane.route.targets


def test_failover_leaves_out_what_is_out() -> None:
    lane = Lane(FAILOVER, A, B, C)
    lane.lose(A)
    assert lane.order() == [B, C]
    assert lane.balance.due == []
    assert lane.order(NOW + 5) == [B, C]
    assert lane.balance.due == [A]


def test_failover_comes_back_by_and_by() -> None:
    lane = Lane(FAILOVER, A, B)
    lane.lose(A)
    lane.health.answer(key(A, ""), NOW)
    assert lane.firsts(16) == ("b" * 7 + "a") * 2
    assert lane.order() == [B, A]  # it still serves when B fails
    assert set(lane.firsts(50, NOW + 20)) == {"a"}


@pytest.mark.parametrize("balance", [FAILOVER, ROUND_ROBIN, WEIGHTED, LEAST_BUSY])
def test_when_all_are_out_the_first_to_be_probed_is_tried(balance: str) -> None:
    lane = Lane(balance, A, B, C)
    lane.lose(B, now=NOW - 2)
    lane.lose(A, now=NOW - 1)
    lane.lose(C)
    assert lane.order() == [B]
    assert lane.order(NOW + 4.5) == [B, A]  # those whose time has come
    assert lane.balance.due == []  # the message itself is the probe


def test_round_robin_takes_turns_and_goes_on_behind_the_first() -> None:
    lane = Lane(ROUND_ROBIN, A, B, C)
    assert lane.firsts(7) == "abcabca"
    assert lane.order() == [B, C, A]


def test_round_robin_does_not_look_at_weights() -> None:
    assert Lane(ROUND_ROBIN, target("a", weight=5), B).firsts(6) == "ababab"


def test_weights_are_kept_smoothly() -> None:
    lane = Lane(WEIGHTED, target("a", weight=5), B, C)
    assert lane.firsts(14) == "aabacaa" * 2


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_weights_are_exact_over_a_round(weights: list[int]) -> None:
    targets = [target(chr(97 + index), weight=weight) for index, weight in enumerate(weights)]
    lane = Lane(WEIGHTED, *targets)
    counted = Counter(lane.firsts(sum(weights) * 3))
    assert [counted[chr(97 + index)] for index in range(len(weights))] == [weight * 3 for weight in weights]


def test_addresses_of_one_host_stay_in_order_and_are_one_host() -> None:
    a6 = target("a", address="2001:db8::a")
    lane = Lane(ROUND_ROBIN, a6, A, B)
    assert lane.firsts(6) == "ababab"
    assert lane.order() == [a6, A, B]
    lane.lose(a6)
    assert lane.order() == [B, A]
    assert lane.order() == [A, B]


def test_tiers_come_in_order() -> None:
    spare, other = target("s", tier=1), target("t", tier=1)
    lane = Lane(ROUND_ROBIN, A, B, spare, other)
    assert [one.tier for one in lane.order()] == [0, 0, 1, 1]
    assert lane.firsts(4) == "baba"
    lane.lose(A)
    assert lane.firsts(3) == "bbb"
    lane.lose(B)
    assert lane.firsts(4) == "stst"
    assert lane.order(NOW + 10) == [spare, other]
    assert lane.balance.due == [A, B]


def test_a_host_that_comes_back_gets_its_share() -> None:
    lane = Lane(WEIGHTED, target("a", weight=2), target("b", weight=2))
    lane.lose(A)
    lane.firsts(50)  # nothing is saved up meanwhile
    lane.health.answer(key(A, ""), NOW)
    counted = Counter(lane.firsts(900, NOW))
    assert counted["a"] == pytest.approx(100, abs=2)
    counted = Counter(lane.firsts(150, NOW + 7.5))
    assert counted["a"] == pytest.approx(50, abs=2)
    assert Counter(lane.firsts(100, NOW + 30))["a"] == pytest.approx(50, abs=2)


def test_least_busy_by_deliveries_for_the_weight() -> None:
    lane = Lane(LEAST_BUSY, target("a", weight=3), B)
    got = []
    for _ in range(8):
        first = lane.order()[0]
        lane.balance.hold(first)
        got.append(first.host[0])
    assert Counter(got) == {"a": 6, "b": 2}
    for _ in range(3):
        lane.balance.free(A)
    assert lane.firsts(1) == "a"
    for _ in range(2):
        lane.balance.free(B)
    assert lane.firsts(4) == "bbbb"


def test_least_busy_takes_turns_among_equals() -> None:
    assert Lane(LEAST_BUSY, A, B, C).firsts(6) == "abcabc"


@pytest.mark.parametrize("balance", [ROUND_ROBIN, WEIGHTED, LEAST_BUSY])
def test_a_host_that_lets_connections_wait_is_passed_over(balance: str) -> None:
    lane = Lane(balance, A, B)
    for _ in range(OPENING):
        lane.balance.begin_opening(A)
    assert lane.firsts(5) == "bbbbb"
    for _ in range(OPENING):
        lane.balance.begin_opening(B)
    assert set(lane.firsts(4)) == {"a", "b"}  # all do: then nobody is passed over
    for _ in range(OPENING):
        lane.balance.end_opening(A)
        lane.balance.end_opening(B)
    assert not lane.balance._opening
    assert set(lane.firsts(4)) == {"a", "b"}


def test_a_route_planned_anew_goes_on() -> None:
    lane = Lane(WEIGHTED, target("a", weight=5), B, C)
    assert lane.firsts(3) == "aab"
    lane.route = Route("lane", lane.route.targets, "again", balance=WEIGHTED)
    assert lane.firsts(4) == "acaa"


def test_routes_are_apart_and_bounded() -> None:
    lane = Lane(ROUND_ROBIN, A, B)
    for number in range(KEPT + 10):
        lane.route = Route(f"lane{number}", (A, B), "test", balance=ROUND_ROBIN)
        assert lane.order() == [A, B]
    assert len(lane.balance._rotations) == KEPT


V4, V6 = target("a"), target("a", address="2001:db8::a")
B6 = target("b", address="2001:db8::b")
LOCAL = Target(LMTP, "localhost", "/run/lmtp", 0)


@pytest.mark.parametrize(
    ("ip", "lacks", "expected"),
    [
        (ANY, "", [V6, V4, B, B6, LOCAL]),
        (IPV4, "", [V4, B, LOCAL]),
        (IPV6, "", [V6, B6, LOCAL]),
        (PREFER_IPV4, "", [V4, V6, B, B6, LOCAL]),
        (PREFER_IPV6, "", [V6, V4, B6, B, LOCAL]),
        (ANY, IPV6, [V4, B, LOCAL]),
        (PREFER_IPV6, IPV6, [V4, B, LOCAL]),
        (IPV6, IPV6, [LOCAL]),
    ],
)
def test_families_inside_each_host(ip: str, lacks: str, expected: list[Target]) -> None:
    assert list(arrange([V6, V4, B, B6, LOCAL], Preference("s", ip, lacks))) == expected


@pytest.mark.parametrize("balance", [FAILOVER, ROUND_ROBIN])
def test_preference_holds_within_the_balance(balance: str) -> None:
    lane = Lane(balance, V6, V4, B, B6)
    prefer = Preference("s", PREFER_IPV4)
    assert lane.order(preference=prefer) == [V4, V6, B, B6]
    assert lane.order(preference=Preference("t", IPV6, IPV6)) == []


def test_health_is_kept_by_source() -> None:
    lane = Lane(FAILOVER, A, B)
    lane.health.fail(key(A, "one"), NOW, fatal=True)
    assert lane.order(preference=Preference("one")) == [B]
    assert lane.order(preference=Preference("two")) == [A, B]


@given(
    st.sampled_from([FAILOVER, ROUND_ROBIN, WEIGHTED, LEAST_BUSY]),
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 2), st.booleans()), min_size=1, max_size=7),
)
def test_every_healthy_target_is_in_the_order_once(balance: str, hosts: list[tuple[int, int, bool]]) -> None:
    hosts.sort(key=lambda host: host[1])
    targets = [target(chr(97 + index), weight=weight, tier=tier) for index, (weight, tier, _) in enumerate(hosts)]
    lane = Lane(balance, *targets)
    well = [one for one, (_, _, is_out) in zip(targets, hosts, strict=True) if not is_out]
    lane.lose(*(one for one in targets if one not in well))
    for _ in range(5):
        order = lane.order()
        if well:
            assert sorted(order, key=str) == sorted(well, key=str)
            assert all(one.tier <= two.tier for one, two in pairwise(order))
        else:
            assert len(order) == 1
