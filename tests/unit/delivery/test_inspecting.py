"""What is told of the TLS of one target: demanded, met, shown, and what would hold; and that no mail is begun."""

import ssl
from datetime import timedelta

import pytest

from postroad.delivery.balance import Preference
from postroad.delivery.dialing import Dialing
from postroad.delivery.inspecting import Inspection, inspect
from postroad.delivery.settings import DeliverySettings
from postroad.model.route import SMTP, Target
from postroad.model.security import BY_REQUIRETLS, BY_RULE, FINGERPRINT, VERIFIED, Security
from postroad.net.clock import SystemClock
from postroad.net.stream import open_stream
from postroad.net.tls.client import ClientContexts
from tests.support.authority import Authority, Issued
from tests.support.peer import Drop, Peer, Step

HOST = "mx.example.net"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def server(issued: Issued) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    return context


async def look(
    peer: Peer, authority: Authority, security: Security | None = None, *, tls: str = "opportunistic"
) -> Inspection:
    settings = DeliverySettings.model_validate({"tls": tls, "greeting_timeout": "60s"})
    contexts = ClientContexts(ca=str(authority.file))
    clock = SystemClock().monotonic
    dialing = Dialing(settings, "relay.example.com", open_stream, contexts, clock, Preference("", "any"), is_plain=True)
    found = await inspect(Target(SMTP, HOST, peer.host, peer.port, security=security), dialing)
    assert not {"MAIL", "RCPT", "DATA"} & set(peer.verbs())
    return found


async def test_opportunistic(authority: Authority) -> None:
    good = authority.issue("good", [HOST])
    async with Peer(extensions=("STARTTLS", "REQUIRETLS"), tls=server(good)) as peer:
        found = await look(peer, authority)
    assert (found.is_met, found.level, found.requiretls) == (True, "opportunistic", True)
    assert found.tls.startswith("TLSv1.3 with cipher")
    assert found.verification == "not asked for; verified would do"
    assert [one.names for one in found.chain] == [(HOST,)]
    async with Peer(extensions=("STARTTLS",), tls=server(authority.issue("other", ["b.example.net"]))) as peer:
        found = await look(peer, authority)
    assert found.is_met
    assert found.verification.startswith("not asked for; verified would fail: the certificate is for another name")
    async with Peer() as peer:
        found = await look(peer, authority)
    assert (found.is_met, found.tls, found.verification) == (True, "", "there is no TLS")
    assert found.mend == "mail goes in plain text: it does not offer STARTTLS"


async def test_requiretls_is_for_hosts_that_offer_it(authority: Authority) -> None:
    """RFC 8689 4.2.1: a good certificate is not enough."""
    wanted = Security(VERIFIED, BY_REQUIRETLS, "REQUIRETLS, to a host that the route names", names=(HOST,))
    for extensions, is_met in ((("STARTTLS", "REQUIRETLS"), True), (("STARTTLS",), False)):
        async with Peer(extensions=extensions, tls=server(authority.issue("good", [HOST]))) as peer:
            found = await look(peer, authority, wanted)
        assert found.verification == "verified: verified"
        assert found.is_met == is_met
        assert ("5.7.30" in found.mend) == (not is_met)


async def test_a_demand_that_is_met(authority: Authority) -> None:
    good = authority.issue("good", [HOST])
    async with Peer(extensions=("STARTTLS",), tls=server(good)) as peer:
        found = await look(peer, authority, Security(VERIFIED, BY_RULE, "tls_out.destinations[0]"))
        again = await look(peer, authority, tls="verified")
        (shown,) = found.chain
        for digest in (shown.fingerprint, shown.key):
            pinned = await look(peer, authority, Security(FINGERPRINT, BY_RULE, "r", fingerprints=(digest,)))
            assert (pinned.is_met, pinned.verification) == (True, "verified: fingerprint")
    assert (found.is_met, found.verification, found.words, found.mend) == (True, "verified: verified", "", "")
    assert (again.is_met, again.source) == (True, "default")


async def test_a_demand_that_is_not_met(authority: Authority) -> None:
    expired = authority.issue("expired", [HOST], life=-timedelta(hours=2))
    async with Peer(extensions=("STARTTLS",), tls=server(expired)) as peer:
        found = await look(peer, authority, tls="verified")
        testing = await look(peer, authority, Security(VERIFIED, "mta-sts", "r", testing=True))
    assert (found.is_met, found.verification) == (False, "not verified")
    assert found.words.startswith("the certificate has expired")
    assert "has to renew the certificate" in found.mend
    assert [one.names for one in found.chain] == [(HOST,)]  # what it shows is told all the same
    assert testing.is_met
    assert "mail goes in plain text, or unverified, all the same" in testing.mend


async def test_a_revoked_certificate_is_not_to_be_trusted_by_hand(authority: Authority) -> None:
    revoked = authority.issue("revoked", [HOST])
    lists = authority.revoke("list.crl", revoked)
    security = Security(VERIFIED, BY_RULE, "r", ca=str(authority.file), crl=str(lists))
    async with Peer(extensions=("STARTTLS",), tls=server(revoked)) as peer:
        found = await look(peer, authority, security)
    assert (found.is_met, found.words) == (False, "the certificate is revoked")
    assert found.mend == "the operator of the host has to replace the certificate; trust it no more, and the mail waits"


async def test_trouble_that_is_not_of_tls(authority: Authority) -> None:
    script: dict[str, list[Step]] = {"connect": ["554 5.7.1 go away", Drop()]}
    async with Peer(script=script) as peer:
        refused = await look(peer, authority)
        dropped = await look(peer, authority)
    assert (refused.is_met, refused.words) == (False, "554 5.7.1 go away")
    assert (dropped.is_met, dropped.words) == (False, "lost connection")
