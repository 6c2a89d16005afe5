"""DANE from a signed zone to a delivery: Knot, a validating Unbound, the real resolver and router, servers with TLS.

All MX hosts have the address 127.0.0.1; what the router says is done at the port of the test's server.
"""

import asyncio
import hashlib
import json
import smtplib
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec.structs import replace

from postroad.model.dns import DnsStatus, TlsaRecord
from postroad.model.outcome import Deferred, Delivered, Outcome
from postroad.model.route import Route
from postroad.model.security import BY_DANE, DANE, REQUIRED, Secured, Security
from postroad.net.clock import SystemClock
from postroad.net.dns.resolver import Resolver
from postroad.net.dns.system import HostsFile
from postroad.net.dns.validation import Validation, prove_all
from postroad.net.settings import ResolverSettings
from postroad.net.tls.danecheck import TlsaCheck
from postroad.routing.dane import Dane
from postroad.routing.router import Router
from postroad.routing.rules import compile_rules
from postroad.routing.securing import Securing
from postroad.routing.tlspolicy import TlsRules
from postroad.routing.tlssettings import DestinationSettings
from tests.support.authority import Authority
from tests.support.command import run_command
from tests.support.delivering import Sender
from tests.support.dnsserver import DnsServer
from tests.support.peer import EXTENSIONS, Peer
from tests.support.relay import CAPTURE, QUICK_RETRY, Relay, route, wait_until
from tests.support.tlssite import s_client
from tests.support.zonesigning import Forger

STARTTLS = (*EXTENSIONS, "STARTTLS")
NAMES = ["*.dane.test", "attacked.test"]


class World(NamedTuple):
    """DNS, the forger in it, a server's files, and the records that are right about that server."""

    server: DnsServer
    forger: Forger
    certificate: Path
    key: Path
    records: dict[str, str]
    far: Relay

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def rdata(usage: int, selector: int, matching: int, file: Path) -> str:
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    octets = certificate.public_bytes(Encoding.DER)
    if selector:
        octets = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    data = (octets, hashlib.sha256(octets).digest(), hashlib.sha512(octets).digest())[matching]
    return f"{usage} {selector} {matching} {data.hex()}"


def zone_of(hosts: dict[str, tuple[str, ...]], port: int) -> str:
    """A domain for each of `hosts`, whose MX host has these records; and all that is not so plain."""
    lines = [f"{name} MX 10 mx-{name}\nmx-{name} A 127.0.0.1" for name in hosts]
    lines += [f"_25._tcp.mx-{name} TLSA {record}" for name, records in hosts.items() for record in records]
    good = hosts["ee"][0]
    return (
        "\n".join(lines)
        + f"""
implicit A 127.0.0.1
_25._tcp.implicit TLSA {good}
aliased MX 10 mx-aliased
mx-aliased CNAME host-aliased
host-aliased A 127.0.0.1
_25._tcp.host-aliased TLSA {good}
_25._tcp.mx-aliased TLSA 3 1 1 {"00" * 32}
original MX 10 mx-original
mx-original CNAME host-original
host-original A 127.0.0.1
_25._tcp.mx-original TLSA {good}
outward MX 10 mx-outward
mx-outward CNAME mx.child
_25._tcp.mx-outward TLSA {good}
shared MX 10 mx-shared
mx-shared A 127.0.0.1
_25._tcp.mx-shared CNAME tlsa-shared
tlsa-shared TLSA {good}
child NS ns.child
ns.child A 127.0.0.1
tochild MX 10 mx.child
toexpired MX 10 mx.expired.test.
toplain MX 10 mx.plain.test.
mixed MX 10 mx.expired.test.
mixed MX 20 mx-ee
byname MX 10 mx-ee
far A 127.0.0.1
_{port}._tcp.far TLSA {good}
evil A 127.0.0.1
_{port}._tcp.evil TLSA 3 1 1 {"00" * 32}
"""
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("dane")
    authority = Authority(folder)
    issued = authority.issue("server", NAMES)
    chain = folder / "chain.pem"
    chain.write_bytes(issued.certificate.read_bytes() + authority.file.read_bytes())
    own, above = issued.certificate, authority.file
    wrong = f"3 1 1 {'00' * 32}"
    right = {
        f"{usage} {selector} {matching}": rdata(usage, selector, matching, file)
        for usage, file in ((3, own), (2, above))
        for selector in (0, 1)
        for matching in (0, 1, 2)
    }
    hosts = {
        "ee": (right["3 1 1"],),
        "whole": (right["3 0 0"],),
        "ta": (right["2 0 1"],),
        "takey": (right["2 1 1"],),
        "several": (wrong, rdata(3, 0, 1, above), right["2 0 1"], rdata(1, 0, 1, own)),
        "wrong": (wrong, rdata(2, 0, 1, own)),
        "weak": (right["3 1 1"], f"3 1 2 {'00' * 64}"),
        "strong": (wrong, right["3 1 2"]),
        "pkix": (rdata(0, 0, 1, above), rdata(1, 1, 1, own), f"3 1 1 {'00' * 20}", f"3 9 1 {'00' * 32}"),
        "none": (),
    }
    far = Relay(folder / "far", f'[tls]\ncertificate = "{chain}"\nkey = "{issued.key}"\n' + CAPTURE)
    zones = {
        "org": "",  # what doctor asks about
        "invalid": "",
        "dane.test": zone_of(hosts, far.port),
        "child.dane.test": f"mx A 127.0.0.1\n_25._tcp.mx TLSA {wrong}\n@ MX 10 mx",
        "expired.test": f"@ MX 10 mx\nmx A 127.0.0.1\n_25._tcp.mx TLSA {hosts['ee'][0]}",
        "attacked.test": "@ MX 10 mx\nmx A 127.0.0.1\n"
        + "\n".join(f"_{port}._tcp.mx TLSA {hosts['ee'][0]}" for port in (25, far.port)),
        "plain.test": f"@ MX 10 mx\nmx A 127.0.0.1\n_25._tcp.mx TLSA {wrong}\ntoee MX 10 mx-ee.dane.test.",
    }
    with Forger() as forger:
        server = DnsServer(
            zones,
            signed=["dane.test", "attacked.test"],
            expired=["expired.test"],
            by={"attacked.test": forger.port},
            recursive=True,
        )
        server.on_authority = forger.stand_before
        with server:
            yield World(server, forger, chain, issued.key, right, far)


def settings(world: World, **more: object) -> ResolverSettings:
    given = {"nameservers": (world.server.nameserver,), "timeout": "20s", "signed_name": "dane.test"}
    return ResolverSettings.model_validate({**given, "bogus_name": "expired.test", **more})


@asynccontextmanager
async def resolving(world: World) -> AsyncIterator[Resolver]:
    resolver = Resolver(settings(world), SystemClock(), HostsFile(Path("/nonexistent/hosts")))
    try:
        yield resolver
    finally:
        resolver.close()


async def plan(world: World, domain: str, *destinations: DestinationSettings) -> Route | Outcome:
    """What the router says, which asks as the server does."""
    async with resolving(world) as resolver:
        clock = SystemClock()
        validation = Validation(partial(prove_all, settings(world), clock), clock)
        router = Router(
            compile_rules(()),
            resolver,
            own_names=(),
            own_addresses=(),
            shuffle=lambda hosts: None,
            securing=Securing(TlsRules(destinations), proven=[Dane(resolver, validation)]),
        )
        planned = await router.plan(f"mx:{domain}")
        assert isinstance(planned, Route | Deferred)
        return planned


async def send(world: World, domain: str, peer: Peer) -> Outcome:
    """What becomes of a message for `domain`, whose MX hosts are all `peer`."""
    planned = await plan(world, domain)
    if not isinstance(planned, Route):
        return planned
    targets = tuple(replace(target, port=peer.port) for target in planned.targets)
    async with Sender(tls="opportunistic", match_tlsa=TlsaCheck(SystemClock())) as sender:
        (outcome,) = await sender.send(replace(planned, targets=targets))
    return outcome


@pytest.mark.parametrize(
    ("domain", "reason"),
    [
        ("ee", "3 1 1 at _25._tcp.mx-ee"),
        ("whole", "3 0 0 at _25._tcp.mx-whole"),
        ("ta", "2 0 1 at _25._tcp.mx-ta"),
        ("takey", "2 1 1 at _25._tcp.mx-takey"),
        ("several", "3 0 1, 3 1 1, 2 0 1 at _25._tcp.mx-several"),
        ("strong", "3 1 2 at _25._tcp.mx-strong"),
        ("implicit", "3 1 1 at _25._tcp.implicit"),
        ("aliased", "3 1 1 at _25._tcp.host-aliased"),
        ("original", "3 1 1 at _25._tcp.mx-original"),
        ("outward", "3 1 1 at _25._tcp.mx-outward"),
        ("shared", "3 1 1 at _25._tcp.mx-shared"),
        ("byname", "3 1 1 at _25._tcp.mx-ee"),
        ("mixed", "3 1 1 at _25._tcp.mx-ee"),
    ],
)
async def test_who_is_proven_gets_the_mail(world: World, domain: str, reason: str) -> None:
    async with Peer(extensions=STARTTLS, tls=world.context()) as peer:
        outcome = await send(world, f"{domain}.dane.test", peer)
    assert isinstance(outcome, Delivered)
    assert outcome.secured == Secured(DANE, BY_DANE, f"TLSA {reason}.dane.test", verified=True)
    assert outcome.tls
    assert len(peer.taken) == 1


@pytest.mark.parametrize(
    ("domain", "enhanced", "words"),
    [
        ("wrong.dane.test", "4.7.5", "none of its certificates is what 1 TLSA records say of its authority"),
        ("weak.dane.test", "4.7.5", "its certificate matches none of 1 TLSA records"),
        ("expired.test", "4.4.3", "MX of expired.test failed: SERVFAIL"),
        ("toexpired.dane.test", "4.4.3", "address of mx.expired.test failed: SERVFAIL"),
        ("attacked.test", "4.4.3", "TLSA records _25._tcp.mx.attacked.test failed: SERVFAIL"),
    ],
)
async def test_who_is_not_gets_nothing(world: World, domain: str, enhanced: str, words: str) -> None:
    async with Peer(extensions=STARTTLS, tls=world.context()) as peer:
        outcome = await send(world, domain, peer)
    assert isinstance(outcome, Deferred)
    assert outcome.reply.enhanced == enhanced
    assert words in outcome.reply.text
    assert peer.taken == []
    assert all(b"MAIL FROM" not in session for session in peer.raw)
    assert domain != "attacked.test" or world.forger.forged


@pytest.mark.parametrize("domain", ["ee.dane.test", "pkix.dane.test"])
async def test_starttls_that_somebody_takes_out_is_no_way_to_the_mail(world: World, domain: str) -> None:
    async with Peer(extensions=EXTENSIONS) as peer:
        outcome = await send(world, domain, peer)
    assert isinstance(outcome, Deferred)
    assert "does not offer STARTTLS" in outcome.reply.text
    assert peer.taken == []


async def test_records_that_cannot_be_acted_upon_demand_tls_with_whomever(world: World) -> None:
    async with Peer(extensions=STARTTLS, tls=world.context()) as peer:
        outcome = await send(world, "pkix.dane.test", peer)
    assert isinstance(outcome, Delivered)
    reason = "TLSA records _25._tcp.mx-pkix.dane.test, of which none can be acted upon"
    assert outcome.secured == Secured(REQUIRED, BY_DANE, reason)


@pytest.mark.parametrize(
    "domain",
    ["none.dane.test", "child.dane.test", "tochild.dane.test", "plain.test", "toplain.dane.test", "toee.plain.test"],
)
async def test_where_nothing_is_proven_all_is_as_without(world: World, domain: str) -> None:
    """No records by proof (NSEC), a zone without a signature, an MX record that anybody could have made."""
    planned = await plan(world, domain)
    assert isinstance(planned, Route)
    assert [target.security for target in planned.targets] == [None]
    async with Peer(extensions=EXTENSIONS) as peer:
        assert isinstance(await send(world, domain, peer), Delivered)


@pytest.mark.parametrize("domain", ["none.dane.test", "plain.test", "toee.plain.test", "pkix.dane.test"])
async def test_where_dane_is_a_duty_nothing_less_will_do(world: World, domain: str) -> None:
    duty = DestinationSettings(domains=("*.test",), level="dane")
    lacking = await plan(world, domain, duty)
    assert isinstance(lacking, Deferred)
    assert lacking.reply.enhanced == "4.7.5"
    assert "tls_out.destinations[0] asks for DANE" in lacking.reply.text
    met = await plan(world, "ee.dane.test", duty)
    assert isinstance(met, Route)
    assert [target.security and target.security.level for target in met.targets] == [DANE]


async def test_absence_says_whether_it_is_proven(world: World) -> None:
    async with resolving(world) as resolver:
        denied = await resolver("_25._tcp.mx-none.dane.test", "TLSA")
        assert (denied.status, denied.authentic) == (DnsStatus.NO_NAME, True)
        unproven = await resolver("_26._tcp.mx.plain.test", "TLSA")
        assert (unproven.status, unproven.authentic) == (DnsStatus.NO_NAME, False)
        kept = resolver.cached("_25._tcp.mx-none.dane.test", "TLSA")
        assert kept is not None
        assert kept.authentic


async def test_it_is_proven_that_the_resolver_validates(world: World) -> None:
    clock = SystemClock()
    assert (await prove_all(settings(world), clock)).validates is True
    unsigned = await prove_all(settings(world, signed_name="plain.test"), clock)
    assert (unsigned.validates, "does not call plain.test authentic" in unsigned.words) == (False, True)
    not_bogus = await prove_all(settings(world, bogus_name="plain.test"), clock)
    assert (not_bogus.validates, "answers for plain.test" in not_bogus.words) == (False, True)
    authority = f"127.0.0.1:{world.server.authority_port}"
    assert (await prove_all(settings(world, nameservers=(authority,)), clock)).validates is False


@pytest.mark.parametrize("usage", [3, 2])
async def test_openssl_says_the_same(world: World, usage: int) -> None:
    """Each form of a record, right and wrong, as `openssl s_client` judges it."""
    chain = world.certificate.read_text().split("-----BEGIN")[1:]
    ders = [ssl.PEM_cert_to_DER_cert(f"-----BEGIN{one}") for one in chain]
    check = TlsaCheck(SystemClock())
    async with Peer(extensions=STARTTLS, tls=world.context()) as peer:
        for kind, right in world.records.items():
            if int(kind[0]) != usage:
                continue
            wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
            for record, name in ((right, "a.dane.test"), (wrong, "a.dane.test"), (right, "b.other.test")):
                options = ["-dane_tlsa_domain", name, "-dane_tlsa_rrdata", record, "-dane_ee_no_namechecks"]
                status, said = await asyncio.to_thread(s_client, peer.port, *options, "-verify_return_error")
                is_verified = status == 0 and "Verification: OK" in said
                assert is_verified == (check(_demand(record, name), ders) is None), (record, name, said)
                # Of an authority that stands whole in the record its own signature, damaged here, is not asked.
                fits = record == right or kind == "2 0 0"
                assert is_verified == (fits and (usage == 3 or name == "a.dane.test")), (record, name, said)


def test_a_server_does_all_of_it(world: World, tmp_path: Path) -> None:
    """Two hosts that routes name, one server behind both: TLSA records are right about it at one of the names."""
    port = world.far.port
    routes = route(f"smtp://far.dane.test:{port}", recipients=["good.example"])
    routes += route(f"smtp://evil.dane.test:{port}", recipients=["evil.example"])
    routes += route(f"smtp://mx.attacked.test:{port}", recipients=["attacked.example"])
    near = Relay(tmp_path / "near", '[tls_reports]\nfrom = "tlsrpt@relay.example.com"\n' + routes + QUICK_RETRY)
    resolver = f'["{world.server.nameserver}"]\ntimeout = "30s"\nsigned_name = "dane.test"\nbogus_name = "expired.test"'
    near.config.write_text(near.config.read_text().replace('["127.0.0.1:9"]', resolver))
    with world.far, near:
        with smtplib.SMTP("127.0.0.1", near.port, timeout=60) as client:
            for domain in ("evil.example", "attacked.example", "good.example"):
                client.sendmail("a@relay.example.com", [f"b@{domain}"], f"Subject: to {domain}\r\n\r\nHello\r\n")
        (delivered,) = near.wait_for("RecipientDelivered", seconds=120)
        # A crowded machine may defer for other reasons first: DNS that is slow to answer.
        unmatched = "its certificate matches none of 1 TLSA records"
        forged = f"TLSA records _{port}._tcp.mx.attacked.test failed: SERVFAIL"
        for domain, words in (("evil", unmatched), ("attacked", forged)):
            one = {"recipient": f"b@{domain}.example"}
            wait_until(lambda: words in str(near.records("RecipientDeferred", **one)), words, 120)  # noqa: B023
        near.wait_for("ValidationProved", seconds=120)
        (mail,) = world.far.wait_captured(b"to good.example")
        assert b"with ESMTPS" in mail
        assert [b"to good.example" in one for one in world.far.captured()] == [True]
    reason = f"TLSA 3 1 1 at _{port}._tcp.far.dane.test"
    assert delivered["secured"] == {"level": "dane", "source": "dane", "reason": reason, "verified": True}
    reports = map(json.loads, run_command("tls", "reports", "-c", near.config, "--json").out.splitlines())
    counted = {one["policies"][0]["policy"]["policy-domain"]: one["policies"] for one in reports}
    assert counted["far.dane.test"][0]["summary"]["total-successful-session-count"] == 1
    for host, result in (("evil.dane.test", "validation-failure"), ("mx.attacked.test", "dnssec-invalid")):
        assert {one["policy"]["policy-type"] for one in counted[host]} == {"tlsa"}
        assert result in {one["result-type"] for policy in counted[host] for one in policy["failure-details"]}
    (proved,) = near.records("ValidationProved")
    assert proved["reason"] == f"{world.server.nameserver} validates"
    told = run_command("explain", "--to", "b@good.example", "-c", near.config).out.splitlines()
    assert f"target 1  far.dane.test[127.0.0.1]:{port}; TLS dane, by dane: {reason}" in told
    assert f"dnssec    {proved['reason']}" in told
    assert [line for line in told if line.startswith("dns       TLSA _")]
    with world.far:
        probed = run_command("tls", "probe", f"smtp://far.dane.test:{port}", "-c", near.config)
        refused = run_command("tls", "probe", f"smtp://evil.dane.test:{port}", "-c", near.config)
    assert (probed.code, f"demand    dane, by dane: {reason}" in probed.out) == (0, True)
    assert (refused.code, unmatched in refused.out) == (69, True)
    examined = run_command("doctor", "resolver", "--all", "-c", near.config).out
    assert f"{proved['reason']}: what DNSSEC protects can be relied on" in examined


def _demand(record: str, name: str) -> Security:
    usage, selector, matching, data = record.split()
    tlsa = TlsaRecord(int(usage), int(selector), int(matching), bytes.fromhex(data))
    return Security(DANE, BY_DANE, "", names=(name,), tlsa=(tlsa,))
