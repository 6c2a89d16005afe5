"""What TLS a target must have: who meets the demand gets the mail, and nobody else, whatever is wrong with them."""

import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from postroad.model.dns import TlsaRecord
from postroad.model.outcome import Deferred, Delivered
from postroad.model.security import (
    BY_DANE,
    BY_DEFAULT,
    BY_REQUIRETLS,
    BY_RULE,
    BY_STS,
    DANE,
    FINGERPRINT,
    NONE,
    OPPORTUNISTIC,
    REQUIRED,
    UNSAID,
    VERIFIED,
    Secured,
    Security,
    TlsOutcome,
)
from postroad.net.tls.client import SESSION_SECONDS
from postroad.net.tls.danewords import Mismatch
from postroad.net.tls.peerchain import digests_of
from tests.support.certified import HOST, STARTTLS, Place, at, place_in, send, server
from tests.support.clock import ManualClock
from tests.support.delivering import Sender
from tests.support.peer import Peer, Raw


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return place_in(tmp_path_factory.mktemp("ca"))


def demand(level: str, place: Place | None = None, **fields: Any) -> Security:
    ca = str(place.authority.file) if place is not None else ""
    return Security(level, BY_RULE, "tls_out.destinations[0]", ca=ca, **fields)


async def test_who_meets_the_demand_gets_the_mail(place: Place) -> None:
    certificate = ssl.PEM_cert_to_DER_cert(place.good.certificate.read_text())
    prints = digests_of(certificate)
    demands = [
        (demand(REQUIRED), False),
        (demand(VERIFIED, place), True),
        (demand(VERIFIED, place, names=("a.pool.example.net",)), True),
        (demand(VERIFIED, place, names=("nobody.example.net", HOST)), True),
        (demand(VERIFIED, place, crl=str(place.revoked)), True),
        *((demand(FINGERPRINT, fingerprints=("00" * 32, one)), True) for one in prints),
        (demand(OPPORTUNISTIC), False),
    ]
    async with Peer(extensions=STARTTLS, tls=server(place.good)) as peer, Sender(tls="off") as sender:
        for security, is_verified in demands:
            outcome = await send(sender, at(peer, security))
            assert isinstance(outcome, Delivered), (security, outcome)
            assert outcome.tls.startswith("TLSv1.3 with cipher"), security
            assert outcome.secured == Secured(security.level, BY_RULE, security.reason, verified=is_verified)
        outcome = await send(sender, at(peer, demand(NONE)))
        assert isinstance(outcome, Delivered)
        assert outcome.tls == ""
    assert len(peer.taken) == len(demands) + 1
    # Connections of different demands are never mixed.
    assert len(peer.raw) == len(demands) + 1


async def test_who_does_not_gets_nothing_and_the_next_host_is_tried(place: Place) -> None:
    words = {
        "expired": "the certificate has expired",
        "wrong name": "the certificate is for another name",
        "common name alone": "the certificate is for another name",
        "another authority": "the certificate leads to no authority that we trust",
        "self-signed": "the certificate is signed by itself and by nobody we trust",
        "revoked": "the certificate is revoked",
    }
    async with Peer(extensions=STARTTLS, tls=server(place.good)) as good, Sender(tls="off") as sender:
        for kind, issued in place.by_kind.items():
            security = demand(VERIFIED, place, crl=str(place.revoked) if kind == "revoked" else "")
            async with Peer(extensions=STARTTLS, tls=server(issued)) as bad:
                alone = await send(sender, at(bad, security))
                assert isinstance(alone, Deferred), kind
                assert alone.reply.enhanced == "4.7.5", kind
                assert f"{HOST}[127.0.0.1]: {words[kind]}" in alone.reply.text, alone.reply.text
                assert "verified TLS is required (tls_out.destinations[0])" in alone.reply.text
                several = await send(sender, at(bad, demand(VERIFIED, place, names=("a.example", HOST))))
                assert isinstance(several, Delivered) == (kind == "revoked"), kind
                both = await send(sender, at(bad, security), at(good, security))
                assert isinstance(both, Delivered), kind
            assert len(bad.taken) == int(kind == "revoked")
            assert not any(b"MAIL FROM" in bytes(octets) for octets in bad.raw) or kind == "revoked"
    assert len(good.taken) == len(place.by_kind)


async def test_no_tls_is_a_deferral_for_whom_it_is_required(place: Place) -> None:
    scripts: dict[str, dict[str, list[Any]]] = {"refuses STARTTLS": {"STARTTLS": ["454 4.7.0 no"] * 9}}
    scripts["does not offer STARTTLS"] = {}
    scripts["fails at it"] = {"STARTTLS": [Raw(b"220 go\r\nnonsense")] * 9}
    for words, script in scripts.items():
        offered = () if "offer" in words else STARTTLS
        async with Peer(extensions=offered, script=script, tls=server(place.good)) as peer, Sender(tls="off") as sender:
            for level in (REQUIRED, VERIFIED):
                outcome = await send(sender, at(peer, demand(level, place)))
                assert isinstance(outcome, Deferred)
                assert outcome.reply.enhanced == "4.7.4"
                assert words in outcome.reply.text
        assert peer.taken == []


@pytest.mark.parametrize("wrong", [demand(FINGERPRINT, fingerprints=("00" * 32,)), demand(DANE)])
async def test_a_certificate_that_is_not_pinned(place: Place, wrong: Security) -> None:
    async with Peer(extensions=STARTTLS, tls=server(place.good)) as peer, Sender(tls="off") as sender:
        outcome = await send(sender, at(peer, wrong))
    assert isinstance(outcome, Deferred)
    assert outcome.reply.enhanced == "4.7.5"
    assert peer.taken == []
    assert b"EHLO" not in bytes(peer.raw[0]).partition(b"STARTTLS")[2]  # nothing was said to it


async def test_dane_compares_the_chain_as_the_server_sent_it(place: Place) -> None:
    seen: list[tuple[Security, list[bytes]]] = []

    def match(security: Security, chain: Any) -> Mismatch | None:
        seen.append((security, list(chain)))
        return None if security.names == (HOST,) else Mismatch("no TLSA record matches")

    security = Security(DANE, BY_DANE, "DANE of mx.example.net", names=(HOST,))
    other = Security(DANE, BY_DANE, "DANE of mx.example.net", names=("b.example.net",))
    async with Peer(extensions=STARTTLS, tls=server(place.good)) as peer, Sender(match_tlsa=match) as sender:
        assert isinstance(await send(sender, at(peer, security)), Delivered)
        outcome = await send(sender, at(peer, other))
    assert isinstance(outcome, Deferred)
    assert "no TLSA record matches" in outcome.reply.text
    leaf = ssl.PEM_cert_to_DER_cert(place.good.certificate.read_text())
    assert seen == [(security, [leaf]), (other, [leaf])]


async def test_testing_goes_on_and_tells(place: Place) -> None:
    told: list[TlsOutcome] = []
    policy = ("version: STSv1", "mode: testing")
    security = Security(
        VERIFIED, BY_STS, "MTA-STS of example.net", testing=True, domain="example.net", policy=policy,
        ca=str(place.authority.file),
    )  # fmt: skip
    clock = ManualClock()
    kit = partial(Sender, clock=clock, tls="off", observe_tls=told.append, connection_idle="0s")
    async with Peer(extensions=STARTTLS, tls=server(place.by_kind["expired"])) as peer, kit() as sender:
        for _ in range(2):
            outcome = await send(sender, at(peer, security))
            assert isinstance(outcome, Delivered)
            assert outcome.tls
            assert outcome.secured is not None
            assert (outcome.secured.level, outcome.secured.verified) == (OPPORTUNISTIC, False)
        assert peer.verbs().count("STARTTLS") == 3  # the second message did not try again
        assert [(one.result, one.policy_type, one.policy) for one in told] == [("certificate-expired", "sts", policy)]
        clock.advance(601)
        await send(sender, at(peer, security))
    assert [one.result for one in told] == ["certificate-expired"] * 2
    assert told[0].receiving_ip == told[0].sending_ip == "127.0.0.1"
    assert (told[0].domain, told[0].mx_host) == ("example.net", HOST)
    async with Peer(tls=None) as peer, kit() as sender:
        assert isinstance(await send(sender, at(peer, security)), Delivered)
    assert told[-1].result == "starttls-not-supported"
    async with Peer(extensions=STARTTLS, tls=server(place.good)) as peer, kit() as sender:
        outcome = await send(sender, at(peer, security))
    assert isinstance(outcome, Delivered)
    assert outcome.secured is not None
    assert outcome.secured.verified
    assert told[-1].result == "success"


async def test_reports_name_the_policy_that_a_sender_insists_on(place: Place) -> None:
    told: list[TlsOutcome] = []
    demands = {
        "tlsa": Security(DANE, BY_REQUIRETLS, "r", domain="a.example", tlsa=(TlsaRecord(3, 1, 1, b"x"),)),
        "sts": Security(VERIFIED, BY_REQUIRETLS, "r", domain="b.example", policy=("version: STSv1",)),
        "no-policy-found": Security(REQUIRED, "default", "r", domain="c.example"),
    }
    async with Peer(extensions=STARTTLS, tls=server(place.good)) as peer, Sender(observe_tls=told.append) as sender:
        for security in (*demands.values(), demand(REQUIRED)):  # nothing is told of what is of no domain
            await send(sender, at(peer, security))
    assert [one.policy_type for one in told] == list(demands)


async def test_plain_text_has_its_reason_too(place: Place) -> None:
    cases = (
        ("opportunistic", None, OPPORTUNISTIC, BY_DEFAULT, "plain text: it does not offer STARTTLS"),
        ("off", None, NONE, BY_DEFAULT, ""),
        ("required", demand(NONE), NONE, BY_RULE, ""),
    )
    for tls, security, level, source, words in cases:
        async with Peer() as peer, Sender(tls=tls) as sender:
            outcome = await send(sender, at(peer, security))
        assert isinstance(outcome, Delivered)
        assert outcome.secured is not None
        assert (outcome.secured.level, outcome.secured.source, outcome.secured.words) == (level, source, words)
        assert outcome.secured.reason == ("tls_out.destinations[0]" if security else f'delivery.tls = "{tls}"')
    waived = Security(UNSAID, BY_DEFAULT, "TLS-Required: No")
    async with Peer(extensions=STARTTLS, tls=server(place.good)) as peer, Sender(tls="opportunistic") as sender:
        outcome = await send(sender, at(peer, waived))
    assert isinstance(outcome, Delivered)
    assert outcome.secured == Secured(OPPORTUNISTIC, BY_DEFAULT, 'delivery.tls = "opportunistic"; TLS-Required: No')


async def test_records_that_nothing_can_be_held_against_are_told(place: Place) -> None:
    told: list[TlsOutcome] = []
    lines = ("1 1 1 " + "aa" * 32,)
    security = Security(REQUIRED, BY_DANE, "TLSA records, of which none", domain="a.example", policy=lines)
    async with Peer(extensions=STARTTLS, tls=server(place.good)) as peer, Sender(observe_tls=told.append) as sender:
        assert isinstance(await send(sender, at(peer, security)), Delivered)
    async with Peer() as peer, Sender(observe_tls=told.append) as sender:
        assert isinstance(await send(sender, at(peer, security)), Deferred)
    assert [(one.policy_type, one.policy, one.result) for one in told] == [
        ("tlsa", lines, "tlsa-invalid"),
        ("tlsa", lines, "starttls-not-supported"),
    ]
    assert told[0].words == security.reason


async def test_mail_without_a_demand_is_told_of_where_its_domain_is_known(place: Place) -> None:
    told: list[TlsOutcome] = []
    unsaid = Security(UNSAID, BY_DEFAULT, "", domain="c.example")
    async with Peer(extensions=STARTTLS, tls=server(place.good)) as peer:
        for tls in ("opportunistic", "required", "off"):
            async with Sender(observe_tls=told.append, tls=tls) as sender:
                outcome = await send(sender, at(peer, unsaid))
                assert isinstance(outcome, Delivered)
                assert bool(outcome.tls) is (tls != "off")
    async with Peer() as peer, Sender(observe_tls=told.append, tls="required") as sender:
        assert not isinstance(await send(sender, at(peer, unsaid)), Delivered)  # it is no way around the default
    assert {(one.domain, one.policy_type) for one in told} == {("c.example", "no-policy-found")}
    assert [one.result for one in told] == [
        "success",
        "success",
        "starttls-not-supported",
    ]  # without TLS there is nothing to tell


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_sessions_are_resumed_for_the_same_demand_alone(place: Place, version: ssl.TLSVersion) -> None:
    context = server(place.good, version)
    verified, several = demand(VERIFIED, place), demand(VERIFIED, place, names=("a.example", HOST))
    clock = ManualClock()
    async with (
        Peer(extensions=STARTTLS, tls=context) as peer,
        Sender(tls="opportunistic", connection_idle="0s", clock=clock) as sender,
    ):

        async def is_resumed(security: Security | None, host: str = HOST) -> bool:
            outcome = await send(sender, at(peer, security, host))
            assert isinstance(outcome, Delivered)
            assert outcome.secured is not None
            return outcome.secured.resumed

        pinned = demand(FINGERPRINT, fingerprints=digests_of(leaf(place)))
        for security in (None, verified, several, demand(REQUIRED), pinned):
            assert [await is_resumed(security) for _ in range(3)] == [False, True, True], security
        assert not await is_resumed(None, "mx2.example.net")
        assert context.session_stats()["hits"] == 10
        clock.advance(SESSION_SECONDS + 1)
        assert not await is_resumed(verified)


def leaf(place: Place) -> bytes:
    return ssl.PEM_cert_to_DER_cert(place.good.certificate.read_text())


async def test_a_failed_demand_leaves_no_session_behind(place: Place) -> None:
    unwanted = demand(FINGERPRINT, fingerprints=("00" * 32,))
    context = server(place.good)
    async with Peer(extensions=STARTTLS, tls=context) as peer, Sender(tls="off") as sender:
        for _ in range(3):
            assert isinstance(await send(sender, at(peer, unwanted)), Deferred)
    assert context.session_stats()["hits"] == 0
    assert peer.taken == []


async def test_a_file_that_is_not_there_makes_mail_wait(place: Place, tmp_path: Path) -> None:
    missing = Security(VERIFIED, BY_RULE, "tls_out.destinations[0]", ca=str(tmp_path / "ca.pem"))
    async with Peer(extensions=STARTTLS, tls=server(place.good)) as peer, Sender(tls="off") as sender:
        outcome = await send(sender, at(peer, missing))
        assert isinstance(outcome, Deferred)
        assert outcome.reply.enhanced == "4.3.5"
        assert str(tmp_path / "ca.pem") in outcome.reply.text
        (tmp_path / "ca.pem").write_bytes(place.authority.file.read_bytes())
        assert isinstance(await send(sender, at(peer, missing)), Delivered)


async def test_verified_by_default_is_for_the_name_of_the_host(place: Place) -> None:
    kit: Callable[[], Sender] = partial(Sender, tls="verified", ca=str(place.authority.file))
    async with Peer(extensions=STARTTLS, tls=server(place.good)) as peer, kit() as sender:
        outcome = await send(sender, at(peer, None))
        other = await send(sender, at(peer, None, "elsewhere.example.net"))
    assert isinstance(outcome, Delivered)
    assert outcome.secured == Secured(VERIFIED, "default", 'delivery.tls = "verified"', verified=True)
    assert isinstance(other, Deferred)
    assert other.reply.enhanced == "4.7.5"


async def test_the_name_is_asked_for(place: Place) -> None:
    asked: list[str | None] = []
    context = server(place.good)
    context.sni_callback = lambda _connection, name, _context: asked.append(name)
    async with Peer(extensions=STARTTLS, tls=context) as peer, Sender(tls="opportunistic") as sender:
        await send(sender, at(peer, None))
        await send(sender, at(peer, None, "127.0.0.1"))
        await send(sender, at(peer, demand(VERIFIED, place, names=("a.pool.example.net",))))
    assert asked == [HOST, None, "a.pool.example.net"]
