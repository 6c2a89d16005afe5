"""The cache keeps answers for their time and no longer, and stays within its size."""

from postroad.model.dns import Answer, DnsStatus
from postroad.net.dns.cache import FAILURE_TTL, DnsCache


def found(ttl: int) -> Answer:
    return Answer(DnsStatus.FOUND, ("192.0.2.1",), ttl, authentic=True, canonical="a.example")


def test_keeps_for_the_ttl_and_tells_what_is_left() -> None:
    cache = DnsCache(10, 300)
    cache.put("a.example", "A", found(60), 100.0)
    assert cache.get("a.example", "AAAA", 100.0) is None
    answer = cache.get("a.example", "A", 130.5)
    assert answer == found(29)
    assert cache.get("a.example", "A", 160.0) is None
    assert len(cache) == 0


def test_ttl_zero_is_not_kept() -> None:
    cache = DnsCache(10, 300)
    cache.put("a.example", "A", found(0), 0.0)
    cache.put("b.example", "A", Answer(DnsStatus.NO_NAME), 0.0)
    assert len(cache) == 0


def test_absence_is_capped() -> None:
    cache = DnsCache(10, 300)
    cache.put("none.example", "A", Answer(DnsStatus.NO_NAME, (), 86_400), 0.0)
    assert cache.get("none.example", "A", 299.0) == Answer(DnsStatus.NO_NAME, (), 1)
    assert cache.get("none.example", "A", 300.0) is None


def test_failures_are_kept_for_a_moment() -> None:
    cache = DnsCache(10, 300)
    for status in (DnsStatus.FAILED, DnsStatus.TIMED_OUT):
        cache.put("a.example", "A", Answer(status), 0.0)
        assert cache.get("a.example", "A", FAILURE_TTL / 2) == Answer(status)
        assert cache.get("a.example", "A", FAILURE_TTL) is None


def test_the_oldest_makes_room() -> None:
    cache = DnsCache(2, 300)
    for name in ("a", "b", "a", "c"):
        cache.put(name, "A", found(60), 0.0)
    assert cache.get("b", "A", 1.0) is None
    assert cache.get("a", "A", 1.0) is not None
    assert len(cache) == 2
    nothing = DnsCache(0, 300)
    nothing.put("a", "A", found(60), 0.0)
    assert len(nothing) == 0
