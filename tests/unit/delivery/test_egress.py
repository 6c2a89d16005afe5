"""Sources and pools: whose turn it is, which address and family, and what becomes of one that cannot be sent from."""

from collections import Counter

import pytest

from postroad.delivery.balance import IPV4, IPV6, PREFER_IPV6
from postroad.delivery.egress import Egress, Source
from postroad.delivery.health import PAUSES
from postroad.model.route import SMTP, Target

ONE, TWO, SIX = Source("one", ipv4="192.0.2.1"), Source("two", ipv4="192.0.2.2"), Source("six", ipv6="2001:db8::6")
EGRESS_POOLS = {"both": {"one": 3, "two": 1}}


def egress() -> Egress:
    return Egress({"one": ONE, "two": TWO}, EGRESS_POOLS)


def test_a_source_is_itself() -> None:
    assert egress().order("one", 1.0) == [ONE]
    assert egress().order("nobody", 1.0) == []


def test_a_pool_goes_by_weight() -> None:
    pool = egress()
    firsts = [pool.order("both", 1.0)[0].name for _ in range(8)]
    assert firsts == ["one", "one", "two", "one"] * 2
    assert sorted(source.name for source in pool.order("both", 1.0)) == ["one", "two"]


def test_a_source_that_fails_makes_way_and_is_tried_again_by_one_message() -> None:
    pool = egress()
    pool.health.fail("one", 100.0, fatal=True)
    assert {tuple(pool.order("both", 101.0)) for _ in range(5)} == {(TWO,)}
    later = 100.0 + PAUSES[0]
    assert pool.order("both", later) == [ONE, TWO]  # the probe, with the other behind it
    assert pool.order("both", later) == [TWO]
    pool.health.end_probe("one")
    assert pool.order("both", later) == [ONE, TWO]
    pool.health.succeed("one", later)
    counted = Counter(pool.order("both", later)[0].name for _ in range(110))
    assert counted["one"] == pytest.approx(30, abs=1)  # slow start: 3/8 beside 1


def test_when_all_fail_the_first_to_come_back_is_tried() -> None:
    pool = egress()
    pool.health.fail("two", 100.0, fatal=True)
    pool.health.fail("one", 101.0, fatal=True)
    assert pool.order("both", 102.0) == [TWO]


def test_address_and_family() -> None:
    v4, v6 = Target(SMTP, "a", "192.0.2.9", 25), Target(SMTP, "a", "2001:db8::9", 25)
    both = Source("b", ipv4="192.0.2.1", ipv6="2001:db8::1", ip=PREFER_IPV6)
    assert both.address_for(v4) == "192.0.2.1"
    assert both.address_for(v6) == "2001:db8::1"
    assert both.preference.lacks == ""
    assert both.preference.ip == PREFER_IPV6
    assert ONE.preference.lacks == IPV6
    assert SIX.preference.lacks == IPV4
    assert Source("s").preference.is_plain
