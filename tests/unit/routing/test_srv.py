"""SRV answers put in order: RFC 2782's priorities and weights, absence, and ourselves among the hosts."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.model.dns import Answer, DnsStatus, SrvRecord
from postroad.model.outcome import Deferred, Scope
from postroad.model.route import Target
from postroad.routing.mx import HOST_LIMIT, Located, Plan
from postroad.routing.srv import Service, choose_services, plan_services, question_of

NAME = "_smtp._tcp.example.com"


def srv(*records: tuple[int, int, int, str]) -> Answer:
    return Answer(DnsStatus.FOUND, tuple(SrvRecord(*record) for record in records), 300)


def keep(lots: list[str]) -> None:
    """No shuffling."""


def choose(answer: Answer, *own: str, ports: tuple[int, ...] = (25,)) -> list[str] | Deferred:
    chosen = choose_services(NAME, answer, own_names=own, own_ports=ports, shuffle=keep)
    return [f"{one.host}:{one.port}" for one in chosen] if isinstance(chosen, list) else chosen


def found(host: str, *addresses: str, ttl: int = 300, status: DnsStatus = DnsStatus.FOUND) -> Located:
    return Located(host, addresses, status, ttl)


def code(outcome: object) -> str:
    assert isinstance(outcome, Deferred)
    assert outcome.scope is Scope.NEXT_HOP
    assert outcome.reply.code == 451
    return outcome.reply.enhanced


def test_the_service_is_smtp_unless_the_name_says_another() -> None:
    assert question_of("example.com") == NAME
    assert question_of("_submission._tcp.example.com") == "_submission._tcp.example.com"


def test_best_priority_first() -> None:
    answer = srv((20, 0, 25, "b.test"), (10, 5, 2525, "c.test"), (30, 0, 25, "a.test"), (10, 5, 2526, "c.test"))
    assert choose(answer) == ["c.test:2525", "c.test:2526", "b.test:25", "a.test:25"]


@pytest.mark.parametrize(
    ("answer", "enhanced", "words"),
    [
        (Answer(DnsStatus.FAILED), "4.4.3", "SERVFAIL"),
        (Answer(DnsStatus.TIMED_OUT), "4.4.3", "timed out"),
        (Answer(DnsStatus.NO_NAME), "4.4.4", "no SRV record of _smtp._tcp.example.com: NXDOMAIN"),
        (Answer(DnsStatus.NO_DATA), "4.4.4", "no data"),
        (srv((0, 0, 0, "")), "4.4.4", "not available"),
        (srv((0, 0, 0, ""), (1, 0, 25, "")), "4.4.4", "not available"),
        (srv((0, 0, 25, "192.0.2.1")), "4.4.4", "valid host"),
        (srv((0, 0, 0, "a.test")), "4.4.4", "valid host"),
        (srv((10, 0, 25, "us.test"), (20, 0, 25, "a.test")), "4.4.6", "this server itself"),
    ],
)
def test_nothing_to_try_is_a_deferral(answer: Answer, enhanced: str, words: str) -> None:
    outcome = choose(answer, "us.test")
    assert code(outcome) == enhanced
    assert isinstance(outcome, Deferred)
    assert words in outcome.reply.text


def test_not_available_beside_others_is_passed_over() -> None:
    assert choose(srv((0, 0, 0, ""), (5, 0, 25, "a.test"))) == ["a.test:25"]


def test_our_own_priority_and_all_worse_are_left_out() -> None:
    answer = srv((10, 0, 25, "a.test"), (20, 0, 25, "b.test"), (20, 0, 25, "us.test"), (30, 0, 25, "c.test"))
    assert choose(answer, "us.test") == ["a.test:25"]
    assert choose(answer, "us.test", ports=(587,)) == ["a.test:25", "b.test:25", "us.test:25", "c.test:25"]


def test_hosts_are_bounded_and_come_once() -> None:
    many = choose(srv(*((at, 0, 25, f"h{at}.test") for at in range(50))))
    assert isinstance(many, list)
    assert len(many) == HOST_LIMIT
    assert choose(srv((20, 0, 25, "a.test"), (10, 0, 25, "a.test"))) == ["a.test:25"]


def draws(*records: tuple[int, str], times: int = 4000) -> Counter[str]:
    dice = random.Random(7)
    answer = srv(*((0, weight, 25, host) for weight, host in records))
    first: Counter[str] = Counter()
    for _ in range(times):
        chosen = choose_services(NAME, answer, own_names=(), own_ports=(), shuffle=dice.shuffle)
        assert isinstance(chosen, list)
        assert len(chosen) == len(records)
        first[chosen[0].host] += 1
    return first


def test_the_first_is_drawn_by_weight() -> None:
    first = draws((60, "a.test"), (20, "b.test"), (20, "c.test"))
    assert 0.56 < first["a.test"] / 4000 < 0.64
    assert 0.17 < first["b.test"] / 4000 < 0.23


def test_weight_zero_beside_others_has_a_very_small_chance() -> None:
    first = draws((0, "a.test"), (1, "b.test"))
    assert 0 < first["a.test"] < 120


def test_all_weights_zero_are_equal_chances() -> None:
    first = draws((0, "a.test"), (0, "b.test"))
    assert 0.45 < first["a.test"] / 4000 < 0.55


def test_targets_have_tiers_by_priority_and_weights_by_record() -> None:
    services = [Service(10, 3, 2525, "a.test"), Service(10, 1, 2525, "b.test"), Service(20, 0, 25, "c.test")]
    places = [
        found("a.test", "2001:db8::1", "192.0.2.1", ttl=50),
        found("b.test", "192.0.2.2"),
        found("c.test", "192.0.2.3"),
    ]
    plan = plan_services(NAME, services, places, is_own=lambda address, port: False)
    assert plan == Plan(
        (
            Target("smtp", "a.test", "2001:db8::1", 2525, 3, 0),
            Target("smtp", "a.test", "192.0.2.1", 2525, 3, 0),
            Target("smtp", "b.test", "192.0.2.2", 2525, 1, 0),
            Target("smtp", "c.test", "192.0.2.3", 25, 1, 1),
        ),
        f"SRV of {NAME}: 10 3 a.test:2525, 10 1 b.test:2525, 20 0 c.test:25",
        50,
        hosts=("a.test", "b.test", "c.test"),
    )


def test_weight_zero_is_next_to_nothing_for_the_balance_too() -> None:
    services = [Service(10, 0, 25, "a.test"), Service(10, 2, 25, "b.test")]
    places = [found("a.test", "192.0.2.1"), found("b.test", "192.0.2.2")]
    plan = plan_services(NAME, services, places, is_own=lambda address, port: False)
    assert isinstance(plan, Plan)
    assert [target.weight for target in plan.targets] == [1, 200]


def test_own_addresses_are_left_out_with_all_worse() -> None:
    services = [Service(10, 0, 25, "a.test"), Service(20, 0, 26, "b.test"), Service(30, 0, 25, "c.test")]
    places = [found("a.test", "192.0.2.1"), found("b.test", "192.0.2.9"), found("c.test", "192.0.2.3")]
    plan = plan_services(NAME, services, places, is_own=lambda address, port: (address, port) == ("192.0.2.9", 26))
    assert isinstance(plan, Plan)
    assert [target.address for target in plan.targets] == ["192.0.2.1"]
    assert "b.test left out: priority 20 is our own address" in plan.reason
    looped = plan_services(NAME, services, places, is_own=lambda address, port: (address, port) == ("192.0.2.1", 25))
    assert code(looped) == "4.4.6"


def test_hosts_without_address() -> None:
    services = [Service(10, 0, 25, "a.test"), Service(20, 0, 25, "b.test")]
    absent = found("a.test", status=DnsStatus.NO_NAME)
    unknown = found("b.test", status=DnsStatus.TIMED_OUT)

    def plan(*places: Located) -> Plan | Deferred:
        return plan_services(NAME, services, places, is_own=lambda address, port: False)

    assert code(plan(absent, unknown)) == "4.4.3"
    assert code(plan(absent, found("b.test", status=DnsStatus.NO_DATA))) == "4.4.4"
    partial = plan(unknown, found("b.test", "192.0.2.2"))
    assert isinstance(partial, Plan)
    assert partial.partial
    assert [target.tier for target in partial.targets] == [0]
    assert "a.test left out: timed out" in partial.reason


RECORDS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(0, 65535),
        st.sampled_from([25, 26]),
        st.sampled_from([*(f"h{at}.test" for at in range(6)), "us.test", ""]),
    ),
    min_size=1,
    max_size=9,
)


@given(RECORDS, st.randoms(use_true_random=False))
def test_never_a_worse_before_a_better_and_never_ourselves(
    records: list[tuple[int, int, int, str]], dice: random.Random
) -> None:
    chosen = choose_services(NAME, srv(*records), own_names=("us.test",), own_ports=(25,), shuffle=dice.shuffle)
    best: dict[tuple[str, int], int] = {}
    for priority, _, port, host in records:
        if host:
            best[host, port] = min(priority, best.get((host, port), priority))
    ours = best.get(("us.test", 25), 99)
    expected = {(priority, host, port) for (host, port), priority in best.items() if priority < ours}
    if not expected:
        assert code(chosen) in ("4.4.4", "4.4.6")
        return
    assert isinstance(chosen, list)
    assert {(one.priority, one.host, one.port) for one in chosen} == expected
    assert [one.priority for one in chosen] == sorted(one.priority for one in chosen)
