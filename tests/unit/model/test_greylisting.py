"""Who waits and who passes: examples by the clock, and what must hold for any of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.model.greylisting import Ruling, Seen, Standing, Terms, key_of, parties_of, rule, steady

MINUTE = 60_000_000
TERMS = Terms(delay=5 * MINUTE, window=2880 * MINUTE, life=50_000 * MINUTE, proven_after=3)
NOW = 1_700_000_000_000_000


def test_a_first_try_waits_the_whole_delay() -> None:
    assert rule([None, None], [None, None], TERMS, NOW) == Ruling("waits", NOW, TERMS.delay)


def test_who_comes_too_early_waits_the_rest() -> None:
    seen = Seen(NOW - 2 * MINUTE, NOW - MINUTE, passed=False)
    assert rule([seen], [None], TERMS, NOW) == Ruling("waits", seen.first, 3 * MINUTE)


def test_who_comes_back_passes_and_counts_once() -> None:
    seen = Seen(NOW - 5 * MINUTE, NOW, passed=False)
    assert rule([seen], [None], TERMS, NOW) == Ruling("passed", seen.first, counts=True)
    later = Seen(seen.first, NOW, passed=True)
    assert rule([later], [None], TERMS, NOW + MINUTE) == Ruling("passed", seen.first)


def test_another_host_of_the_same_provider_need_not_wait_again() -> None:
    seen = Seen(NOW - 6 * MINUTE, NOW, passed=False)
    assert rule([None, seen], [None, None], TERMS, NOW).state == "passed"


def test_what_is_too_old_is_forgotten() -> None:
    late = Seen(NOW - TERMS.window - 1, NOW - MINUTE, passed=False)
    assert rule([late], [None], TERMS, NOW).state == "waits"
    old = Seen(NOW - 2 * TERMS.life, NOW - TERMS.life - 1, passed=True)
    assert rule([old], [None], TERMS, NOW).state == "waits"
    assert rule([Seen(0, NOW - TERMS.life, passed=True)], [None], TERMS, NOW).state == "passed"


def test_who_has_passed_often_is_proven_for_as_long_as_it_is_remembered() -> None:
    assert rule([None], [Standing(3, NOW - MINUTE)], TERMS, NOW).state == "proven"
    assert rule([None], [Standing(2, NOW - MINUTE)], TERMS, NOW).state == "waits"
    assert rule([None], [Standing(9, NOW - TERMS.life - 1)], TERMS, NOW).state == "waits"
    never = Terms(TERMS.delay, TERMS.window, TERMS.life, proven_after=0)
    assert rule([None], [Standing(9, NOW)], never, NOW).state == "waits"


@given(st.lists(st.none() | st.builds(Seen, st.integers(0, 10**7), st.integers(0, 10**7), st.booleans()), max_size=4))
def test_nobody_waits_longer_than_the_delay_or_passes_unknown(known: list[Seen | None]) -> None:
    terms = Terms(delay=1000, window=100_000, life=1_000_000, proven_after=0)
    ruling = rule(known, [None] * len(known), terms, 10**7)
    assert 0 <= ruling.left <= terms.delay
    assert (ruling.state == "waits") is (ruling.left > 0)
    if not any(known):
        assert ruling.state == "waits"


def test_parties_are_the_network_and_the_domains_of_names() -> None:
    def last_two(name: str) -> str:
        return ".".join(name.split(".")[-2:])

    assert parties_of("192.0.2.77", (), (24, 64), last_two) == ("192.0.2.0/24",)
    assert parties_of("::ffff:192.0.2.77", (), (24, 64), last_two) == ("192.0.2.0/24",)
    names = ("b.mail.example.org", "a.example.org", "x.example.net")
    assert parties_of("2001:db8::9:1", names, (24, 64), last_two) == ("2001:db8::/64", "example.net", "example.org")
    assert parties_of("192.0.2.77", (), (32, 64), last_two) == ("192.0.2.77/32",)


@given(st.ip_addresses(v=4), st.integers(8, 32))
def test_a_network_has_its_client(address: object, mask: int) -> None:
    (party,) = parties_of(str(address), (), (mask, 64), str)
    assert party.endswith(f"/{mask}")
    assert parties_of(party.partition("/")[0], (), (mask, 64), str) == (party,)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("list-bounces+bob=example.com@lists.example.org", "list-bounces+carol=example.com@lists.example.org"),
        ("prvs=0123abcdef=alice@example.org", "prvs=9876543210=alice@example.org"),
        ("SRS0=Ab3d=XY=example.net=alice@forward.example", "SRS0=Zz9k=QQ=example.net=alice@forward.example"),
        ("bounce-4711-99@news.example.org", "bounce-4712-3@news.example.org"),
        ("0100018c2b3d4e5f-6a7b8c9d@mail.example.org", "01000190aabbccdd-00112233@mail.example.org"),
    ],
)
def test_senders_that_differ_from_mail_to_mail_are_one(one: str, other: str) -> None:
    assert steady(one) == steady(other)
    assert key_of("p", (one, "b@example.com")) == key_of("p", (other, "b@example.com"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("alice@example.org", "carol@example.org"),
        ("alice@example.org", "alice@example.net"),
        ("prvs=1=alice@example.org", "prvs=1=carol@example.org"),
        ("srs0=a=b=example.net=alice@f.example", "srs0=a=b=example.com=alice@f.example"),
        ("a@1.example.org", "a@2.example.org"),
        ("", "alice@example.org"),
    ],
)
def test_other_senders_are_others(one: str, other: str) -> None:
    assert steady(one) != steady(other)


@given(st.text(max_size=80))
def test_what_is_steady_stays(sender: str) -> None:
    key_of("p", (sender, "b"))
    assert len(steady(sender)) <= 3 * len(sender)  # a capital letter may have a longer small one


def test_keys_differ_by_party_sender_and_recipient_but_not_by_case() -> None:
    one = key_of("192.0.2.0/24", ("a@example.org", "b@example.com"))
    assert one == key_of("192.0.2.0/24", ("A@example.org", "b@EXAMPLE.com"))
    others = [
        key_of("192.0.3.0/24", ("a@example.org", "b@example.com")),
        key_of("192.0.2.0/24", ("", "b@example.com")),
        key_of("192.0.2.0/24", ("b@example.com", "a@example.org")),
    ]
    assert len({one, *others}) == 4
