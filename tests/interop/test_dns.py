"""Routing by a real DNS server: Knot with test zones, alone and behind a validating Unbound.

Null MX, CNAMEs, dangling and lame zones, truncation, IPv6 and silence, each through the real resolver and
router; and every answer compared with what dnspython makes of the same server.
"""

import random
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import dns.message
import dns.name
import dns.query
import dns.rdatatype
import pytest

from postroad.model.dns import DnsStatus, MxRecord, SrvRecord, TlsaRecord
from postroad.model.outcome import Deferred, Failed
from postroad.model.route import Route
from postroad.net.clock import SystemClock
from postroad.net.dns.resolver import Resolver
from postroad.net.dns.system import HostsFile
from postroad.net.settings import ResolverSettings
from postroad.routing.router import Router
from postroad.routing.rules import compile_rules
from tests.support.dnsserver import DnsServer
from tests.support.ports import free_dual_port

ZONES = {
    "example.com": """
@      MX 10 mx1
@      MX 10 mx2
@      MX 20 backup.example.net.
@      TXT "v=spf1 mx " "-all"
mx1    A 192.0.2.1
mx1    AAAA 2001:db8::1
mx2    A 192.0.2.2
null   MX 0 .
plain  A 192.0.2.3
six    AAAA 2001:db8::6
text   TXT "only this"
alias  CNAME plain
tomx   CNAME example.com.
viacname MX 10 alias
dangling MX 10 nowhere
dangling MX 20 text
half   MX 10 host.broken.test.
half   MX 20 plain
hidden MX 10 host.broken.test.
ours   MX 10 relay.example.net.
behind MX 10 mx1
behind MX 20 relay.example.net.
behind MX 30 mx2
gone   CNAME nowhere.example.net.
*.wild MX 10 mx1
_25._tcp.mx1 TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
_submission._tcp SRV 0 5 587 plain
_smtp._tcp SRV 10 3 2525 mx1
_smtp._tcp SRV 10 0 2526 mx2
_smtp._tcp SRV 20 0 25 backup.example.net.
_smtp._tcp.short 60 SRV 0 0 25 plain
_smtp._tcp.away SRV 0 0 0 .
_smtp._tcp.ours SRV 10 0 25 relay.example.net.
_smtp._tcp.behind SRV 10 0 2525 plain
_smtp._tcp.behind SRV 20 0 25 relay.example.net.
_smtp._tcp.behind SRV 30 0 25 mx2
_smtp._tcp.gone SRV 0 0 25 nowhere
_smtp._tcp.hidden SRV 0 0 25 host.broken.test.
_smtp._tcp.viacname CNAME _smtp._tcp.behind
"""
    + "\n".join(f"many MX {at} host-with-a-rather-long-name-{at}.example.net." for at in range(40)),
    "example.net": "backup A 192.0.2.20\nrelay A 192.0.2.99\n",
    "signed.test": "@ MX 10 mx\nmx A 192.0.2.30\n",
}


@pytest.fixture(scope="module", params=["knot", "unbound"])
def server(request: pytest.FixtureRequest) -> Iterator[DnsServer]:
    recursive = request.param == "unbound"
    with DnsServer(ZONES, broken=["broken.test"], signed=["signed.test"], recursive=recursive) as running:
        yield running


@asynccontextmanager
async def resolving(*nameservers: str, timeout: str = "5s") -> AsyncIterator[Resolver]:
    settings = ResolverSettings.model_validate({"nameservers": nameservers, "timeout": timeout})
    resolver = Resolver(settings, SystemClock(), HostsFile(Path("/nonexistent/hosts")))
    try:
        yield resolver
    finally:
        resolver.close()


def router(resolver: Resolver) -> Router:
    return Router(
        compile_rules(()),
        resolver,
        own_names=("relay.example.net",),
        own_addresses=(("192.0.2.99", 25),),
        shuffle=random.Random(1).shuffle,
    )


async def test_preferences_and_both_families(server: DnsServer) -> None:
    async with resolving(server.nameserver) as resolver:
        orders = set()
        for _ in range(30):
            route = await router(resolver).plan("mx:example.com")
            assert isinstance(route, Route)
            orders.add(tuple(target.address for target in route.targets))
        assert orders <= {
            ("2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.20"),
            ("192.0.2.2", "2001:db8::1", "192.0.2.1", "192.0.2.20"),
        }


@pytest.mark.parametrize(
    ("domain", "targets"),
    [
        ("plain.example.com", ["plain.example.com[192.0.2.3]:25"]),
        ("six.example.com", ["six.example.com[2001:db8::6]:25"]),
        ("alias.example.com", ["alias.example.com[192.0.2.3]:25"]),
        ("viacname.example.com", ["alias.example.com[192.0.2.3]:25"]),
        ("half.example.com", ["plain.example.com[192.0.2.3]:25"]),
        ("behind.example.com", ["mx1.example.com[2001:db8::1]:25", "mx1.example.com[192.0.2.1]:25"]),
        ("any.wild.example.com", ["mx1.example.com[2001:db8::1]:25", "mx1.example.com[192.0.2.1]:25"]),
        ("signed.test", ["mx.signed.test[192.0.2.30]:25"]),
    ],
)
async def test_domains_with_targets(server: DnsServer, domain: str, targets: list[str]) -> None:
    async with resolving(server.nameserver) as resolver:
        route = await router(resolver).plan(f"mx:{domain}")
        assert isinstance(route, Route)
        assert [str(target) for target in route.targets] == targets


@pytest.mark.parametrize(
    ("domain", "kind", "code", "enhanced"),
    [
        ("null.example.com", Failed, 556, "5.1.10"),
        ("nowhere.example.com", Failed, 550, "5.1.2"),
        ("gone.example.com", Failed, 550, "5.1.2"),
        ("text.example.com", Failed, 550, "5.4.4"),
        ("dangling.example.com", Failed, 550, "5.4.4"),
        ("ours.example.com", Failed, 554, "5.4.6"),
        ("broken.test", Deferred, 451, "4.4.3"),
        ("hidden.example.com", Deferred, 451, "4.4.3"),
    ],
)
async def test_domains_without_targets(server: DnsServer, domain: str, kind: type, code: int, enhanced: str) -> None:
    async with resolving(server.nameserver) as resolver:
        outcome = await router(resolver).plan(f"mx:{domain}")
        assert isinstance(outcome, kind)
        assert isinstance(outcome, (Deferred, Failed))
        assert (outcome.reply.code, outcome.reply.enhanced) == (code, enhanced)


async def test_service_records_by_priority_and_weight(server: DnsServer) -> None:
    async with resolving(server.nameserver) as resolver:
        first = set()
        for _ in range(30):
            route = await router(resolver).plan("smtp+srv://example.com")
            assert isinstance(route, Route)
            assert sorted((target.address, target.port, target.weight, target.tier) for target in route.targets) == [
                ("192.0.2.1", 2525, 300, 0),
                ("192.0.2.2", 2526, 1, 0),
                ("192.0.2.20", 25, 1, 1),
                ("2001:db8::1", 2525, 300, 0),
            ]
            assert [target.tier for target in route.targets] == [0, 0, 0, 1]
            first.add(route.targets[0].host)
        assert "mx1.example.com" in first


@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("behind.example.com", ["plain.example.com[192.0.2.3]:2525"]),
        ("viacname.example.com", ["plain.example.com[192.0.2.3]:2525"]),
        ("_submission._tcp.example.com", ["plain.example.com[192.0.2.3]:587"]),
    ],
)
async def test_services_with_targets(server: DnsServer, name: str, targets: list[str]) -> None:
    async with resolving(server.nameserver) as resolver:
        route = await router(resolver).plan(f"smtp+srv://{name}")
        assert isinstance(route, Route)
        assert [str(target) for target in route.targets] == targets


@pytest.mark.parametrize(
    ("name", "enhanced"),
    [
        ("away.example.com", "4.4.4"),
        ("none.example.com", "4.4.4"),
        ("gone.example.com", "4.4.4"),
        ("ours.example.com", "4.4.6"),
        ("hidden.example.com", "4.4.3"),
        ("broken.test", "4.4.3"),
    ],
)
async def test_services_without_targets(server: DnsServer, name: str, enhanced: str) -> None:
    async with resolving(server.nameserver) as resolver:
        outcome = await router(resolver).plan(f"smtp+srv://{name}")
        assert isinstance(outcome, Deferred)
        assert (outcome.reply.code, outcome.reply.enhanced) == (451, enhanced)


async def test_a_route_holds_no_longer_than_its_service_record(server: DnsServer) -> None:
    async with resolving(server.nameserver) as resolver:
        route = await router(resolver).plan("smtp+srv://short.example.com")
        assert isinstance(route, Route)
        assert 5 < route.ttl <= 60


async def test_a_zone_nobody_serves_is_a_deferral(server: DnsServer) -> None:
    """Knot refuses, and Unbound has nobody to ask."""
    async with resolving(f"127.0.0.1:{server.authority_port}") as resolver:
        assert (await resolver("lame.test", "MX")).status is DnsStatus.FAILED
        assert isinstance(await router(resolver).plan("mx:lame.test"), Deferred)


async def test_large_answers_come_over_tcp(server: DnsServer) -> None:
    async with resolving(server.nameserver) as resolver:
        answer = await resolver("many.example.com", "MX")
        assert answer.status is DnsStatus.FOUND
        assert len(answer.records) == 40
        plain = dns.message.make_query("many.example.com", "MX", use_edns=0, payload=1232)
        udp = dns.query.udp(plain, "127.0.0.1", timeout=5, port=server.port)
        assert len(udp.answer) == 0 or len(udp.to_wire()) <= 1232


async def test_over_ipv6(server: DnsServer) -> None:
    async with resolving(f"[::1]:{server.port}") as resolver:
        assert (await resolver("plain.example.com", "A")).records == ("192.0.2.3",)


async def test_silence_is_a_deferral_and_the_next_server_helps(server: DnsServer) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as blackhole:
        blackhole.bind(("127.0.0.1", 0))
        silent = f"127.0.0.1:{blackhole.getsockname()[1]}"
        async with resolving(silent, timeout="100ms") as resolver:
            assert (await resolver("example.com", "MX")).status is DnsStatus.TIMED_OUT
            outcome = await router(resolver).plan("mx:example.com")
            assert isinstance(outcome, Deferred)
            assert "timed out" in outcome.reply.text
        async with resolving(silent, server.nameserver, timeout="500ms") as resolver:
            assert isinstance(await router(resolver).plan("mx:example.com"), Route)


async def test_nobody_listening_is_a_deferral() -> None:
    async with resolving(f"127.0.0.1:{free_dual_port()}") as resolver:
        assert isinstance(await router(resolver).plan("mx:example.com"), Deferred)


async def test_absence_is_kept_as_long_as_the_zone_says(server: DnsServer) -> None:
    async with resolving(server.nameserver) as resolver:
        for name, status in (("nowhere.example.com", DnsStatus.NO_NAME), ("plain.example.com", DnsStatus.NO_DATA)):
            answer = await resolver(name, "MX")
            assert answer.status is status
            assert 0 < answer.ttl <= 30  # the SOA's MINIMUM
            assert resolver.cached(name, "MX") is not None


async def test_answers_that_are_validated_are_authentic() -> None:
    with DnsServer(ZONES, signed=["signed.test"], recursive=True) as validating:
        async with resolving(validating.nameserver) as resolver:
            assert (await resolver("signed.test", "MX")).authentic
            assert (await resolver("none.signed.test", "MX")).authentic
            assert not (await resolver("example.com", "MX")).authentic


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("example.com", "MX"),
        ("example.com", "TXT"),
        ("example.com", "NS"),
        ("example.com", "SOA"),
        ("mx1.example.com", "A"),
        ("mx1.example.com", "AAAA"),
        ("alias.example.com", "CNAME"),
        ("tomx.example.com", "MX"),
        ("_25._tcp.mx1.example.com", "TLSA"),
        ("_submission._tcp.example.com", "SRV"),
        ("_smtp._tcp.example.com", "SRV"),
        ("many.example.com", "MX"),
    ],
)
async def test_dnspython_reads_the_same(server: DnsServer, name: str, kind: str) -> None:
    async with resolving(server.nameserver) as resolver:
        answer = await resolver(name, kind)
    query = dns.message.make_query(name, kind)
    response = dns.query.tcp(query, "127.0.0.1", timeout=5, port=server.port)
    records = [record for rrset in response.answer if rrset.rdtype == dns.rdatatype.from_text(kind) for record in rrset]
    expected = {_plain(record.to_text()) for record in records}
    assert expected
    assert {_shown(record) for record in answer.records} == expected


def _shown(record: str | MxRecord | SrvRecord | TlsaRecord) -> str:
    if isinstance(record, TlsaRecord):
        return f"{record.usage} {record.selector} {record.matching} {record.data.hex()}"
    if isinstance(record, SrvRecord):
        return f"{record.priority} {record.weight} {record.port} {record.target}"
    return f"{record.preference} {record.exchange}" if isinstance(record, MxRecord) else record


def _plain(text: str) -> str:
    """Dnspython's presentation form in ours: no trailing dots, TXT strings joined."""
    if text.startswith('"'):
        return text.strip('"').replace('" "', "")
    return " ".join(word.removesuffix(".") for word in text.split())
