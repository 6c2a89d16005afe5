"""Bans: scores add up, fade and ban; bans grow and end; what is never banned; the table stays the size that it is."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.policy.shield.bans import BanRules, Bans
from postroad.policy.shield.bantable import (
    CAPACITY,
    FOREVER,
    BanTable,
    Standing,
    address_of,
    key_of,
    key_of_network,
    network_of,
    octets_for,
)

NOW = 1_800_000_000
RULES = BanRules(
    shares={"auth_failed": 0.1, "unknown_recipient": 0.05},
    half_life=600,
    ban_time=600,
    longest=86400,
    prefixes=(24, 48),
    prefix_factor=4,
    never=(ip_network("198.51.100.0/24"), ip_network("2001:db8:ffff::/48")),
)


def table() -> BanTable:
    return BanTable(bytearray(octets_for(100)), b"key")


@pytest.fixture
def bans() -> Bans:
    return Bans(table(), RULES)


def test_ten_failures_ban_an_address(bans: Bans) -> None:
    for _ in range(9):
        assert bans.learn("auth_failed", "192.0.2.1", 1, NOW) == []
    assert bans.judge("192.0.2.1", NOW) is None
    (ban,) = bans.learn("auth_failed", "192.0.2.1", 1, NOW)
    assert (str(ban.network), ban.until, ban.times, ban.kind) == ("192.0.2.1/32", NOW + 600, 1, "auth_failed")
    assert bans.judge("192.0.2.1", NOW + 599) == ban
    assert bans.judge("192.0.2.1", NOW + 600) is None
    assert bans.judge("192.0.2.2", NOW) is None


def test_kinds_add_up_and_others_count_nothing(bans: Bans) -> None:
    assert bans.learn("unknown_recipient", "192.0.2.1", 10, NOW) == []
    assert bans.learn("accepted", "192.0.2.1", 1000, NOW) == []
    assert len(bans.learn("auth_failed", "192.0.2.1", 5, NOW)) == 1


def test_scores_fade(bans: Bans) -> None:
    for step in range(100):
        assert bans.learn("auth_failed", "192.0.2.1", 4, NOW + step * 600) == []


def test_what_faded_meanwhile_makes_nobody_wait_for_one_more(bans: Bans) -> None:
    for step in range(9):
        assert bans.learn("auth_failed", "192.0.2.1", 1, NOW + step * 5) == []
    assert len(bans.learn("auth_failed", "192.0.2.1", 1, NOW + 45)) == 1


def test_bans_grow_to_a_ceiling_and_are_forgotten(bans: Bans) -> None:
    now, lengths = NOW, []
    for _ in range(10):
        (ban, *_) = bans.learn("auth_failed", "192.0.2.1", 10, now)
        lengths.append(ban.until - now)
        now = ban.until
    assert lengths == [600, 1200, 2400, 4800, 9600, 19200, 38400, 76800, 86400, 86400]
    (ban, *_) = bans.learn("auth_failed", "192.0.2.1", 10, now + 86401)
    assert ban.times == 1


def test_a_network_is_banned_for_its_addresses(bans: Bans) -> None:
    begun = [ban for host in range(1, 9) for ban in bans.learn("auth_failed", f"192.0.2.{host}", 5, NOW)]
    assert [str(ban.network) for ban in begun] == ["192.0.2.0/24"]
    assert bans.judge("192.0.2.200", NOW) == begun[0]
    assert bans.judge("192.0.3.1", NOW) is None


def test_an_address_of_ipv6_is_a_network_of_64_bits(bans: Bans) -> None:
    (ban,) = bans.learn("auth_failed", "2001:db8::1", 10, NOW)
    assert str(ban.network) == "2001:db8::/64"
    assert bans.judge("2001:db8::ffff:1", NOW) == ban
    assert bans.judge("2001:db8:0:1::1", NOW) is None


def test_some_are_never_banned(bans: Bans) -> None:
    assert bans.learn("auth_failed", "198.51.100.7", 1000, NOW) == []
    bans.add(ip_network("198.51.0.0/16"), FOREVER, NOW)
    assert bans.judge("198.51.100.7", NOW) is None
    assert bans.judge("198.51.101.7", NOW) is not None
    assert bans.learn("auth_failed", "2001:db8:ffff::1", 1000, NOW) == []


def test_orders(bans: Bans) -> None:
    endless = bans.add(ip_network("203.0.113.0/25"), FOREVER, NOW)
    assert endless.is_endless
    assert bans.judge("203.0.113.127", NOW * 2) == endless
    assert bans.judge("203.0.113.128", NOW) is None
    bans.add(ip_network("203.0.113.200/32"), NOW + 5, NOW)
    bans.add(ip_network("2001:db8::/32"), NOW + 5, NOW)
    assert len([ban for bucket in bans.buckets() for ban in bans.in_bucket(bucket, NOW)]) == 3
    assert [ban for bucket in bans.buckets() for ban in bans.in_bucket(bucket, NOW + 5)] == [endless]
    bans.lift(endless)
    assert bans.judge("203.0.113.1", NOW) is None
    assert bans.judge("2001:db8::1", NOW) is not None


def test_what_is_no_address_is_nobody(bans: Bans) -> None:
    assert bans.learn("auth_failed", "", 100, NOW) == []
    assert bans.judge("", NOW) is None


conducts = st.lists(st.tuples(st.sampled_from(["auth_failed", "unknown_recipient"]), st.integers(0, 3000)), max_size=60)


@given(conducts)
def test_ban_and_score_are_what_the_words_say(conducts: list[tuple[str, int]]) -> None:
    bans, score, seen, until, now = Bans(table(), RULES), 0.0, NOW, 0, NOW
    for kind, later in conducts:
        now += later
        begun = [ban for ban in bans.learn(kind, "192.0.2.1", 1, now) if ban.network.prefixlen == 32]
        if until <= now:
            score = score * 0.5 ** ((now - seen) / 600) + RULES.shares[kind]
            seen = now
        needed = 1.0 - RULES.shares[kind] / 2
        if abs(score - needed) < 1e-4:
            return  # too near to tell: the table keeps scores in four octets
        assert bool(begun) == (score >= needed and until <= now)
        if begun:
            score, until = 0.0, begun[0].until
            assert now + 600 <= until <= now + 86400
        assert bans.nearness("192.0.2.1", now) == (1.0 if until > now else pytest.approx(score, abs=1e-4))
        assert (bans.judge("192.0.2.1", now) is not None) == (until > now)


@given(st.ip_addresses(), st.integers(1, 128))
def test_keys_are_networks(address: object, length: int) -> None:
    octets = address_of(str(address))
    assert octets is not None
    text = str(address)
    network = ip_network((text, min(length, 32) if "." in text and ":" not in text else length), strict=False)
    key = key_of_network(network)
    assert network_of(key) == network or getattr(network.network_address, "ipv4_mapped", None) is not None
    assert key_of(key[:16], key[16]) == key


def test_what_matters_least_goes() -> None:
    """More than there is room for: those that are banned stay."""
    one_bucket = BanTable(bytearray(octets_for(1)), b"key")
    for number in range(64):
        one_bucket.put(key_of(number.to_bytes(16), 128), Standing(0.5, NOW, NOW + 100 if number < 60 else 0), NOW)
    for number in range(64, 70):
        one_bucket.put(key_of(number.to_bytes(16), 128), Standing(0.1, NOW + number), NOW)
    (entries,) = (one_bucket.entries(bucket) for bucket in one_bucket.buckets())
    assert {int.from_bytes(key[:16]) for key, _ in entries} == {*range(60), 66, 67, 68, 69}
    one_bucket.clear()
    assert [one_bucket.entries(bucket) for bucket in one_bucket.buckets()] == [[]]


def test_a_million_addresses() -> None:
    """All but a few are known, in at most 64 MB; what a look takes, `python -m tests.bench bans` tells."""
    memory = bytearray(octets_for(CAPACITY))
    assert len(memory) < 64e6
    full = BanTable(memory, b"key")
    standing = Standing(0.0, NOW, NOW + 3600, 1, 1)
    base = int.from_bytes(key_of_network(ip_network("11.0.0.0/32"))[:16])
    for number in range(CAPACITY):
        full.put((base + number * 7).to_bytes(16) + b"\x80", standing, NOW)
    bans = Bans(full, RULES)
    asked = [str(ip_address(0x0B000000 + number * 7)) for number in range(0, CAPACITY, 100)]
    assert sum(bans.judge(ip, NOW) is not None for ip in asked) > 0.999 * len(asked)
