"""MX answers put in order: RFC 5321 5.1 sentence by sentence, and properties over any set of records."""

import random
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.model.dns import Answer, DnsStatus, MxRecord
from postroad.model.outcome import Deferred, Failed, Scope
from postroad.model.reply import Reply
from postroad.model.route import Target
from postroad.routing.mx import (
    ADDRESS_LIMIT,
    HOST_LIMIT,
    Exchange,
    Located,
    Plan,
    choose_exchanges,
    locate,
    plan_domain,
    plan_literal,
)

NO_DATA = Answer(DnsStatus.NO_DATA, (), 30)
NO_NAME = Answer(DnsStatus.NO_NAME, (), 30)
FAILED = Answer(DnsStatus.FAILED)
TIMED_OUT = Answer(DnsStatus.TIMED_OUT)


def mx(*records: tuple[int, str]) -> Answer:
    return Answer(DnsStatus.FOUND, tuple(MxRecord(number, host) for number, host in records), 300)


def found(*addresses: str, ttl: int = 300) -> Answer:
    return Answer(DnsStatus.FOUND, addresses, ttl)


def keep(hosts: list[str]) -> None:
    """No shuffling."""


def choose(answer: Answer, *own: str) -> list[tuple[int, str]] | Deferred | Failed:
    chosen = choose_exchanges("example.com", answer, own_names=own, shuffle=keep)
    return [(one.preference, one.host) for one in chosen] if isinstance(chosen, list) else chosen


def plan(*hosts: tuple[int, str, Answer, Answer], own: tuple[str, ...] = ()) -> Plan | Deferred | Failed:
    exchanges = [Exchange(number, host) for number, host, _, _ in hosts]
    located = [locate(host, ipv4, ipv6) for _, host, ipv4, ipv6 in hosts]
    return plan_domain("example.com", exchanges, located, is_own=lambda address, port: address in own and port == 25)


def codes(outcome: object) -> tuple[type, int, str, Scope]:
    assert isinstance(outcome, (Deferred, Failed))
    return type(outcome), outcome.reply.code, outcome.reply.enhanced, outcome.scope


def test_best_preference_first() -> None:
    assert choose(mx((20, "b.test"), (10, "c.test"), (30, "a.test"))) == [
        (10, "c.test"),
        (20, "b.test"),
        (30, "a.test"),
    ]


def test_implicit_mx() -> None:
    chosen = choose_exchanges("example.com", NO_DATA, own_names=(), shuffle=keep)
    assert chosen == [Exchange(0, "example.com", implicit=True)]


@pytest.mark.parametrize("records", [((0, ""),), ((10, ""),), ((0, ""), (5, ""))])
def test_null_mx(records: tuple[tuple[int, str], ...]) -> None:
    assert codes(choose(mx(*records))) == (Failed, 556, "5.1.10", Scope.NEXT_HOP)


def test_null_mx_beside_others_is_no_null_mx() -> None:
    assert choose(mx((0, ""), (10, "a.test"))) == [(10, "a.test")]


def test_no_such_domain() -> None:
    assert choose(NO_NAME) == Failed(Reply(550, "5.1.2", "domain not found: example.com"), Scope.NEXT_HOP)


@pytest.mark.parametrize("answer", [FAILED, TIMED_OUT])
def test_no_answer_is_a_deferral(answer: Answer) -> None:
    chosen = choose(answer)
    assert codes(chosen) == (Deferred, 451, "4.4.3", Scope.NEXT_HOP)
    assert isinstance(chosen, Deferred)
    assert answer.status.value in chosen.reply.text


def test_our_own_preference_and_all_worse_are_left_out() -> None:
    answer = mx((10, "a.test"), (20, "b.test"), (20, "us.test"), (30, "c.test"), (40, "us.test"))
    assert choose(answer, "us.test") == [(10, "a.test")]
    assert choose(answer, "elsewhere.test") == [(10, "a.test"), (20, "b.test"), (20, "us.test"), (30, "c.test")]


@pytest.mark.parametrize("answer", [mx((10, "us.test"), (20, "a.test")), mx((10, "us.test"), (10, "a.test"))])
def test_best_mx_is_us(answer: Answer) -> None:
    assert codes(choose(answer, "us.test")) == (Failed, 554, "5.4.6", Scope.NEXT_HOP)


def test_implicit_mx_is_us() -> None:
    assert codes(choose(NO_DATA, "example.com")) == (Failed, 554, "5.4.6", Scope.NEXT_HOP)


def test_exchanges_that_are_no_hosts_are_left_out() -> None:
    answer = mx((5, "192.0.2.1"), (6, "a\\032b.test"), (7, "-x.test"), (10, "a.test"))
    assert choose(answer) == [(10, "a.test")]
    assert codes(choose(mx((5, "192.0.2.1")))) == (Failed, 550, "5.4.4", Scope.NEXT_HOP)


def test_a_host_counts_once_and_hosts_are_bounded() -> None:
    assert choose(mx((20, "a.test"), (10, "a.test"), (15, "b.test"))) == [(10, "a.test"), (15, "b.test")]
    chosen = choose(mx(*((at, f"h{at}.test") for at in range(50))))
    assert isinstance(chosen, list)
    assert len(chosen) == HOST_LIMIT


HOSTS = st.sampled_from([f"h{at}.test" for at in range(8)] + ["us.test", "us2.test"])
RECORDS = st.lists(st.tuples(st.integers(0, 4), HOSTS), min_size=1, max_size=10)


@given(RECORDS, st.randoms(use_true_random=False))
def test_never_a_worse_before_a_better_and_never_ourselves(records: list[tuple[int, str]], dice: random.Random) -> None:
    own = ("us.test", "us2.test")
    chosen = choose_exchanges("example.com", mx(*records), own_names=own, shuffle=dice.shuffle)
    best = {host: min(number for number, other in records if other == host) for _, host in records}
    ours = min((number for host, number in best.items() if host in own), default=99)
    expected = {(number, host) for host, number in best.items() if number < ours}
    if not expected:
        assert codes(chosen) == (Failed, 554, "5.4.6", Scope.NEXT_HOP)
        return
    assert isinstance(chosen, list)
    assert {(one.preference, one.host) for one in chosen} == expected
    assert [one.preference for one in chosen] == sorted(one.preference for one in chosen)


def test_every_order_of_equals_comes_up() -> None:
    dice = random.Random(1)
    answer = mx((10, "a.test"), (10, "b.test"), (10, "c.test"), (20, "d.test"))
    seen = set()
    for _ in range(300):
        chosen = choose_exchanges("example.com", answer, own_names=(), shuffle=dice.shuffle)
        assert isinstance(chosen, list)
        seen.add(tuple(one.host for one in chosen))
    assert seen == {(*order, "d.test") for order in permutations(("a.test", "b.test", "c.test"))}


def test_addresses_of_both_kinds_take_turns() -> None:
    place = locate("a.test", found("192.0.2.1", "192.0.2.2", "192.0.2.3"), found("2001:db8::1", ttl=60))
    assert place == Located("a.test", ("2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.3"), DnsStatus.FOUND, 60)
    many = locate("a.test", found(*(f"192.0.2.{at}" for at in range(1, 50))), NO_DATA)
    assert len(many.addresses) == ADDRESS_LIMIT
    assert many.ttl == 300


def test_addresses_that_lead_nowhere() -> None:
    place = locate("a.test", found("0.0.0.0", "224.0.0.1", "192.0.2.1"), found("::", "ff02::1"))
    assert place.addresses == ("192.0.2.1",)


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "status"),
    [
        (NO_DATA, NO_DATA, DnsStatus.NO_DATA),
        (NO_NAME, NO_NAME, DnsStatus.NO_NAME),
        (NO_DATA, FAILED, DnsStatus.FAILED),
        (TIMED_OUT, NO_DATA, DnsStatus.TIMED_OUT),
        (found("192.0.2.1"), TIMED_OUT, DnsStatus.FOUND),
        (FAILED, found("2001:db8::1"), DnsStatus.FOUND),
    ],
)
def test_what_is_known_about_a_host(ipv4: Answer, ipv6: Answer, status: DnsStatus) -> None:
    assert locate("a.test", ipv4, ipv6).status is status


def test_targets_in_order() -> None:
    result = plan(
        (10, "a.test", found("192.0.2.1", ttl=50), found("2001:db8::1")), (20, "b.test", found("192.0.2.2"), NO_DATA)
    )
    assert result == Plan(
        (
            Target("smtp", "a.test", "2001:db8::1", 25),
            Target("smtp", "a.test", "192.0.2.1", 25),
            Target("smtp", "b.test", "192.0.2.2", 25, tier=1),
        ),
        "MX of example.com: 10 a.test, 20 b.test",
        50,
        hosts=("a.test", "b.test"),
    )


def test_what_can_be_looked_up_is_used() -> None:
    result = plan((10, "a.test", FAILED, NO_DATA), (20, "b.test", found("192.0.2.2"), TIMED_OUT))
    assert isinstance(result, Plan)
    assert [target.host for target in result.targets] == ["b.test"]
    assert result.partial
    assert "a.test left out: SERVFAIL" in result.reason
    dangling = plan((10, "a.test", NO_NAME, NO_NAME), (20, "b.test", found("192.0.2.2"), NO_DATA))
    assert isinstance(dangling, Plan)
    assert not dangling.partial
    assert "a.test left out: no address" in dangling.reason


def test_nothing_known_now_is_a_deferral_and_nothing_at_all_a_failure() -> None:
    unknown = plan((10, "a.test", NO_NAME, NO_NAME), (20, "b.test", TIMED_OUT, NO_DATA))
    assert codes(unknown) == (Deferred, 451, "4.4.3", Scope.NEXT_HOP)
    nothing = plan((10, "a.test", NO_NAME, NO_NAME), (20, "b.test", NO_DATA, NO_DATA))
    assert codes(nothing) == (Failed, 550, "5.4.4", Scope.NEXT_HOP)


def test_own_addresses_are_left_out_like_own_names() -> None:
    hosts = ((10, "a.test", found("192.0.2.1"), NO_DATA), (20, "b.test", found("192.0.2.9", "192.0.2.2"), NO_DATA))
    result = plan(*hosts, own=("192.0.2.9",))
    assert isinstance(result, Plan)
    assert [target.address for target in result.targets] == ["192.0.2.1"]
    assert "b.test left out: preference 20 is our own address" in result.reason
    assert codes(plan(*hosts, own=("192.0.2.1",))) == (Failed, 554, "5.4.6", Scope.NEXT_HOP)


def test_a_better_host_that_is_not_known_now_keeps_us_from_calling_it_a_loop() -> None:
    hosts = ((10, "a.test", TIMED_OUT, NO_DATA), (20, "us.test", found("192.0.2.9"), NO_DATA))
    assert codes(plan(*hosts, own=("192.0.2.9",))) == (Deferred, 451, "4.4.3", Scope.NEXT_HOP)


def test_implicit_mx_needs_an_address() -> None:
    exchanges = [Exchange(0, "example.com", implicit=True)]

    def result(ipv4: Answer) -> Plan | Deferred | Failed:
        return plan_domain(
            "example.com", exchanges, [locate("example.com", ipv4, NO_DATA)], is_own=lambda address, port: False
        )

    assert codes(result(NO_DATA)) == (Failed, 550, "5.4.4", Scope.NEXT_HOP)
    assert codes(result(FAILED)) == (Deferred, 451, "4.4.3", Scope.NEXT_HOP)
    used = result(found("192.0.2.1"))
    assert isinstance(used, Plan)
    assert used.reason == "no MX record, so the address of example.com itself (RFC 5321 5.1)"


def test_literals() -> None:
    for domain, address in (("[192.0.2.1]", "192.0.2.1"), ("[ipv6:2001:db8::1]", "2001:db8::1")):
        result = plan_literal(domain, is_own=lambda address, port: False)
        assert isinstance(result, Plan)
        assert result.targets == (Target("smtp", address, address, 25),)
        assert codes(plan_literal(domain, is_own=lambda address, port: True)) == (Failed, 554, "5.4.6", Scope.NEXT_HOP)


@pytest.mark.parametrize("domain", ["[ipv6:::ffff:192.0.2.1]", "[ipv6:::ffff:c000:201]", "[192.0.2.1]"])
def test_a_literal_that_means_us_in_any_form_is_a_loop(domain: str) -> None:
    plan = plan_literal(domain, is_own=lambda address, _: address == "192.0.2.1")
    assert isinstance(plan, Failed)
    assert plan.reply.enhanced == "5.4.6"


@pytest.mark.parametrize("domain", ["[0.0.0.0]", "[224.0.0.1]", "[ipv6:::]", "[ipv6:ff02::1]", "[ipv6:::ffff:0.0.0.0]"])
def test_a_literal_that_is_no_host_fails(domain: str) -> None:
    plan = plan_literal(domain, is_own=lambda _address, _port: False)
    assert isinstance(plan, Failed)
    assert plan.reply.enhanced == "5.1.2"


def test_an_address_mapped_into_ipv6_is_the_ipv4_address() -> None:
    place = locate("mx.example", found("192.0.2.1"), found("::ffff:192.0.2.1", "::ffff:192.0.2.2"))
    assert place.addresses == ("192.0.2.1", "192.0.2.2")
