"""Which demand DANE makes on a host: every way that RFC 7672 2 tells, and that nothing suppressed means plain text."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.model.dns import TlsaRecord
from postroad.model.outcome import Deferred, Scope
from postroad.model.route import Route
from postroad.model.security import BY_DANE, DANE, REQUIRED, Security, TlsOutcome
from postroad.routing.dane import Dane
from postroad.routing.router import Router
from postroad.routing.rules import compile_rules
from postroad.routing.securing import Securing
from postroad.routing.tlsa import LIMIT, is_usable, kinds_of, text_of, usable_of
from postroad.routing.tlspolicy import TlsRules
from tests.support.dns import FakeLookup, Question

EE = "3 1 1 " + "aa" * 32
TA = "2 0 1 " + "bb" * 32
WORLD = {
    ("example.com", "MX"): ["10 mx.example.com"],
    ("mx.example.com", "A"): ["192.0.2.1"],
    ("_25._tcp.mx.example.com", "TLSA"): [EE],
}
ALIASED = {
    ("example.com", "MX"): ["10 mx.example.com"],
    ("mx.example.com", "CNAME"): ["host.example.net"],
    ("host.example.net", "A"): ["192.0.2.1"],
}
SIGNED = ("example.com", "mx.example.com", "_25._tcp.mx.example.com")


async def validates() -> bool:
    return True


def find(
    lookup: FakeLookup, host: str = "mx.example.com", *, domain: str = "example.com", port: int = 25, mx: bool = True
) -> Security | Deferred | None:
    return asyncio.run(Dane(lookup, validates)(domain, host, port, authentic=mx))


def asked_for_tlsa(lookup: FakeLookup) -> list[str]:
    return [name for name, kind in lookup.asked if kind == "TLSA"]


def test_all_is_secure() -> None:
    found = find(FakeLookup(WORLD, authentic=SIGNED))
    record = TlsaRecord(3, 1, 1, b"\xaa" * 32)
    assert found == Security(
        DANE,
        BY_DANE,
        "TLSA 3 1 1 at _25._tcp.mx.example.com",
        names=("mx.example.com", "example.com"),
        tlsa=(record,),
        domain="example.com",
        policy=(EE,),
    )


@pytest.mark.parametrize("unsigned", ["mx.example.com", "_25._tcp.mx.example.com"])
def test_what_is_not_secure_makes_no_demand(unsigned: str) -> None:
    lookup = FakeLookup(WORLD, authentic=[name for name in SIGNED if name != unsigned])
    assert find(lookup) is None


def test_nothing_is_asked_where_the_mx_records_are_not_secure() -> None:
    lookup = FakeLookup(WORLD, authentic=SIGNED)
    assert find(lookup, mx=False) is None
    assert lookup.asked == []
    for host in ("192.0.2.1", "2001:db8::1", ""):
        assert find(lookup, host) is None
    assert lookup.asked == []


def test_tlsa_is_not_asked_for_where_addresses_are_not_secure() -> None:
    """RFC 7672 2.2.2: servers that fail at unknown types lose no mail."""
    lookup = FakeLookup(WORLD, authentic=["example.com"], failing=["_25._tcp.mx.example.com"])
    assert find(lookup) is None
    assert asked_for_tlsa(lookup) == []


@pytest.mark.parametrize("kind", ["failing", "silent"])
def test_records_that_cannot_be_looked_up_put_the_host_off(kind: str) -> None:
    gone: list[str | Question] = ["_25._tcp.mx.example.com"]
    lookup = (
        FakeLookup(WORLD, authentic=SIGNED, failing=gone)
        if kind == "failing"
        else FakeLookup(WORLD, authentic=SIGNED, silent=gone)
    )
    told: list[TlsOutcome] = []
    found = asyncio.run(Dane(lookup, validates, told.append)("example.com", "mx.example.com", 25, authentic=True))
    assert isinstance(found, Deferred)
    assert (found.reply.enhanced, found.scope) == ("4.4.3", Scope.HOST)
    assert "TLSA records _25._tcp.mx.example.com" in found.reply.text
    assert found == find(lookup)
    # A resolver that finds no valid answer is told in TLS reports; one that is silent says nothing about the domain.
    outcome = TlsOutcome("example.com", "mx.example.com", "tlsa", (), "dnssec-invalid", words=found.reply.text)
    assert told == ([outcome] if kind == "failing" else [])


def test_a_proven_absence_makes_no_demand() -> None:
    world = {question: values for question, values in WORLD.items() if question[1] != "TLSA"}
    assert find(FakeLookup(world, authentic=SIGNED)) is None


@pytest.mark.parametrize(
    "record", ["0 0 1 " + "aa" * 32, "1 1 1 " + "aa" * 32, "3 1 1 aa", "3 1 9 " + "aa" * 32, "4 1 1 aa"]
)
def test_records_that_cannot_be_acted_upon_demand_tls(record: str) -> None:
    world = {**WORLD, ("_25._tcp.mx.example.com", "TLSA"): [record]}
    found = find(FakeLookup(world, authentic=SIGNED))
    assert isinstance(found, Security)
    assert (found.level, found.source, found.tlsa) == (REQUIRED, BY_DANE, ())
    assert found.policy == (record,)
    assert "none can be acted upon" in found.reason
    both = find(FakeLookup({**WORLD, ("_25._tcp.mx.example.com", "TLSA"): [record, EE]}, authentic=SIGNED))
    assert isinstance(both, Security)
    assert (both.level, [text_of(one) for one in both.tlsa]) == (DANE, [EE])


def test_other_ports_and_hosts_of_routes() -> None:
    world = {("smart.example.com", "AAAA"): ["2001:db8::1"], ("_587._tcp.smart.example.com", "TLSA"): [TA]}
    lookup = FakeLookup(world, authentic=["smart.example.com", "_587._tcp.smart.example.com"])
    found = find(lookup, "smart.example.com", domain="smart.example.com", port=587)
    assert isinstance(found, Security)
    assert (found.names, found.level) == (("smart.example.com",), DANE)


EXPANDED = ("_25._tcp.host.example.net", "TLSA")
ORIGINAL = ("_25._tcp.mx.example.com", "TLSA")


@pytest.mark.parametrize(
    ("records", "base"),
    [
        ({EXPANDED: [EE]}, "host.example.net"),
        ({ORIGINAL: [EE]}, "mx.example.com"),
        ({EXPANDED: [EE], ORIGINAL: [TA]}, "host.example.net"),
        ({}, ""),
    ],
)
def test_the_name_behind_an_alias_comes_first(records: dict[Question, list[str]], base: str) -> None:
    signed = ["example.com", "mx.example.com", EXPANDED[0], ORIGINAL[0]]
    found = find(FakeLookup({**ALIASED, **records}, authentic=signed))
    if not base:
        assert found is None
        return
    assert isinstance(found, Security)
    assert found.reason == f"TLSA 3 1 1 at _25._tcp.{base}"
    assert found.names == tuple(dict.fromkeys((base, "mx.example.com", "example.com")))  # RFC 7672 3.2.2


class AliasOnly(FakeLookup):
    """The alias is signed, what it stands for is not."""

    async def __call__(self, name: str, kind: str) -> object:  # type: ignore[override]  # the same, less exactly
        answer = await super().__call__(name, kind)
        if kind in ("A", "AAAA"):
            return type(answer)(answer.status, answer.records, answer.ttl, False, answer.canonical)
        return answer


def test_an_alias_that_is_signed_alone() -> None:
    records = {**ALIASED, ORIGINAL: [EE], EXPANDED: [TA]}
    signed = ["example.com", "mx.example.com", ORIGINAL[0], EXPANDED[0]]
    lookup = AliasOnly(records, authentic=signed)
    found = find(lookup)
    assert isinstance(found, Security)
    assert found.reason == "TLSA 3 1 1 at _25._tcp.mx.example.com"
    assert asked_for_tlsa(lookup) == [ORIGINAL[0]]
    assert find(AliasOnly(records, authentic=["example.com"])) is None
    assert isinstance(find(AliasOnly(records, authentic=signed, failing=[("mx.example.com", "CNAME")])), Deferred)


def test_the_first_name_that_cannot_be_looked_up_is_not_passed_over() -> None:
    signed = ["example.com", "mx.example.com", ORIGINAL[0]]
    assert isinstance(find(FakeLookup({**ALIASED, ORIGINAL: [EE]}, authentic=signed, failing=[EXPANDED[0]])), Deferred)


def test_a_resolver_that_does_not_validate_is_not_believed() -> None:
    asked: list[str] = []

    async def refuted() -> bool:
        asked.append("")
        return False

    assert (
        asyncio.run(
            Dane(FakeLookup(WORLD, authentic=SIGNED), refuted)("example.com", "mx.example.com", 25, authentic=True)
        )
        is None
    )
    assert asked
    asked.clear()
    assert asyncio.run(Dane(FakeLookup(WORLD), refuted)("example.com", "mx.example.com", 25, authentic=False)) is None
    assert asked == []  # who has no use for the answer does not wait for it


SERVICES = {
    ("_smtp._tcp.example.com", "SRV"): ["0 0 25 mx.example.com"],
    ("example.com", "MX"): ["10 mx.example.com"],
    ("mx.example.com", "A"): ["192.0.2.1"],
    ("_25._tcp.mx.example.com", "TLSA"): [EE],
}


@pytest.mark.parametrize(
    ("lane", "unsigned", "level"),
    [
        ("mx:example.com", "", DANE),
        ("mx:example.com", "example.com", ""),
        ("smtp+srv://example.com", "", DANE),
        ("smtp+srv://example.com", "_smtp._tcp.example.com", ""),
        ("smtp://mx.example.com:25", "example.com", DANE),
        ("smtp://mx.example.com:25", "mx.example.com", ""),
        ("smtp://192.0.2.1:25", "", ""),
    ],
)
async def test_what_dns_says_about_hosts_has_to_be_proven(lane: str, unsigned: str, level: str) -> None:
    signed = {*SIGNED, "_smtp._tcp.example.com"} - {unsigned}
    lookup = FakeLookup(SERVICES, authentic=signed)
    securing = Securing(TlsRules(()), proven=[Dane(lookup, validates)])
    router = Router(
        compile_rules(()), lookup, own_names=(), own_addresses=(), shuffle=lambda _hosts: None, securing=securing
    )
    route = await router.plan(lane)
    assert isinstance(route, Route)
    (target,) = route.targets
    assert (target.security.level if target.security is not None else "") == level


async def test_a_host_that_cannot_be_asked_about_is_left_out_and_the_next_one_serves() -> None:
    world = {**WORLD, ("example.com", "MX"): ["10 mx.example.com", "20 plain.example.net"]}
    world["plain.example.net", "A"] = ["192.0.2.2"]
    lookup = FakeLookup(world, authentic=SIGNED, silent=["_25._tcp.mx.example.com"])
    securing = Securing(TlsRules(()), proven=[Dane(lookup, validates)])
    router = Router(
        compile_rules(()), lookup, own_names=(), own_addresses=(), shuffle=lambda _hosts: None, securing=securing
    )
    route = await router.plan("mx:example.com")
    assert isinstance(route, Route)
    assert [target.host for target in route.targets] == ["plain.example.net"]
    assert "mx.example.com left out: DNS look-up of the TLSA records" in route.reason
    lookup.silent.add("plain.example.net")
    assert isinstance(await router.plan("mx:example.com"), Deferred)


def sha(matching: int, octet: int, *, usage: int = 3, selector: int = 1) -> TlsaRecord:
    return TlsaRecord(usage, selector, matching, bytes((octet,)) * (32 * matching))


def test_of_digests_of_one_thing_the_strongest_counts() -> None:
    weak, strong, whole = sha(1, 1), sha(2, 2), TlsaRecord(3, 1, 0, b"\x30\0")
    other, authority = sha(1, 3, selector=0), sha(1, 4, usage=2)
    assert set(usable_of([weak, strong, whole, other, authority])) == {strong, whole, other, authority}
    broken = TlsaRecord(3, 1, 2, b"\2" * 63)
    assert usable_of([weak, broken]) == (weak,)  # what is no digest weakens nothing


def test_order_and_number_are_always_the_same() -> None:
    records = [sha(1, octet, usage=usage) for octet in range(100) for usage in (2, 3)]
    first = usable_of(records)
    assert len(first) == LIMIT
    for seed in range(5):
        random.Random(seed).shuffle(records)
        assert usable_of(records) == first
    assert first[0].usage == 3
    assert kinds_of([sha(1, 1), sha(1, 2), sha(2, 1, usage=2, selector=0)]) == "3 1 1, 2 0 2"


@given(
    st.lists(st.builds(TlsaRecord, *[st.integers(0, 255) | st.integers(0, 3)] * 3, st.binary(max_size=70)), max_size=9)
)
def test_whatever_is_published(records: list[TlsaRecord]) -> None:
    usable = usable_of(records)
    assert all(map(is_usable, usable))
    assert set(usable) <= set(records)
    assert bool(usable) == any(map(is_usable, records))
