"""Mail with REQUIRETLS goes to verified hosts that offer it, or back; reports of it go with the same care."""

import ssl
from pathlib import Path

import pytest

from postroad.model.outcome import Deferred, Delivered, Failed, Outcome
from postroad.model.route import SMTP, Route, Target
from postroad.model.security import BY_REQUIRETLS, VERIFIED, Security
from tests.support.authority import Authority
from tests.support.delivering import Sender, make_works
from tests.support.peer import Peer

HOST = "mx.example.net"
WITHOUT = ("PIPELINING", "STARTTLS")
OFFERED = (*WITHOUT, "REQUIRETLS")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def server(authority: Authority, name: str = HOST) -> ssl.SSLContext:
    issued = authority.issue(name, [name])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    return context


def demand(authority: Authority) -> Security:
    return Security(VERIFIED, BY_REQUIRETLS, "REQUIRETLS, by tls_out.destinations[0]", ca=str(authority.file))


def at(peer: Peer, authority: Authority) -> Target:
    return Target(SMTP, HOST, peer.host, peer.port, security=demand(authority))


async def send(sender: Sender, *targets: Target, sender_of: str = "alice@example.org") -> Outcome:
    works = make_works(sender=sender_of, tls="requiretls")
    (outcome,) = await sender.send(Route("lane", targets, "test"), works)
    return outcome


async def test_it_is_said_to_who_offers_it(authority: Authority) -> None:
    tls = server(authority)
    async with (
        Peer(extensions=WITHOUT, tls=tls) as first,
        Peer(extensions=OFFERED, tls=tls) as second,
        Sender(tls="off") as sender,
    ):
        for _ in range(2):  # and over kept connections
            outcome = await send(sender, at(first, authority), at(second, authority))
            assert isinstance(outcome, Delivered)
    assert first.taken == []
    assert [taken.mail.rpartition(" ")[2] for taken in second.taken] == ["REQUIRETLS"] * 2


async def test_nobody_offers_it(authority: Authority) -> None:
    async with Peer(extensions=WITHOUT, tls=server(authority)) as peer, Sender(tls="off") as sender:
        outcome = await send(sender, at(peer, authority))
        report = await send(sender, at(peer, authority), sender_of="")
    assert isinstance(outcome, Failed)
    assert str(outcome.reply).startswith("550 5.7.30 the sender requires TLS all the way")
    # A report is not thrown away for want of the extension (RFC 8689 5), and still goes under verified TLS.
    assert isinstance(report, Delivered)
    assert report.secured is not None
    assert report.secured.verified
    assert [taken.mail for taken in peer.taken] == ["MAIL FROM:<>"]


async def test_nobody_is_verified(authority: Authority) -> None:
    async with (
        Peer(extensions=OFFERED, tls=server(authority, "other.example.net")) as wrong,
        Peer() as plain,
        Sender(tls="off") as sender,
    ):
        outcome = await send(sender, at(wrong, authority), at(plain, authority))
        back = await send(sender, at(plain, authority), sender_of="")
    assert isinstance(outcome, Failed)
    assert outcome.reply.enhanced == "5.7.10"
    assert isinstance(back, Failed)
    assert wrong.taken == plain.taken == []


async def test_a_host_that_may_come_back_is_waited_for(authority: Authority, tmp_path: Path) -> None:
    gone = Target(SMTP, HOST, "127.0.0.1", 9, security=demand(authority))
    async with Peer(extensions=WITHOUT, tls=server(authority)) as peer, Sender(tmp_path, tls="off") as sender:
        outcome = await send(sender, gone, at(peer, authority))
        again = await send(sender, at(peer, authority), gone)  # which is known to be gone, and not tried
    assert isinstance(outcome, Deferred)
    assert outcome.reply.enhanced == "4.4.1"
    assert isinstance(again, Deferred)
    assert again.reply.enhanced == "4.7.30"


async def test_other_mail_may_go_without(authority: Authority) -> None:
    async with Peer(extensions=WITHOUT, tls=server(authority)) as peer, Sender(tls="off") as sender:
        (outcome,) = await sender.send(Route("lane", (at(peer, authority),), "test"))
    assert isinstance(outcome, Delivered)
