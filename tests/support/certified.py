"""Certificates that an SMTP server may show, good and bad, and how mail is sent to one that shows them."""

import ssl
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from postroad.model.outcome import Outcome
from postroad.model.route import SMTP, Route, Target
from postroad.model.security import Security
from tests.support.authority import Authority, Issued, self_signed
from tests.support.delivering import Sender
from tests.support.peer import Peer

HOST = "mx.example.net"
STARTTLS = ("PIPELINING", "STARTTLS")


class Place(NamedTuple):
    """Certificates of a test."""

    authority: Authority
    good: Issued
    by_kind: dict[str, Issued]
    revoked: Path


def place_in(folder: Path) -> Place:
    """Certificates for HOST, good and bad."""
    authority, stranger = Authority(folder / "own"), Authority(folder / "other", "Stranger")
    good = authority.issue("good", [HOST, "*.pool.example.net"])
    bad = authority.issue("revoked", [HOST])
    kinds = {
        "expired": authority.issue("expired", [HOST], life=-timedelta(hours=2)),
        "wrong name": authority.issue("wrong", ["other.example.net"]),
        "common name alone": authority.issue("cn", common_name=HOST),
        "another authority": stranger.issue("stranger", [HOST]),
        "self-signed": self_signed(folder, HOST),
        "revoked": bad,
    }
    return Place(authority, good, kinds, authority.revoke("revoked.crl", bad))


def server(issued: Issued, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """The context of a server with a certificate, which has at most TLS `version`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    if version is not None:
        context.maximum_version = version
    return context


def at(peer: Peer, security: Security | None, host: str = HOST) -> Target:
    """`peer` as a target with that demand."""
    return Target(SMTP, host, peer.host, peer.port, security=security)


async def send(sender: Sender, *targets: Target) -> Outcome:
    """What becomes of a message."""
    (outcome,) = await sender.send(Route("lane", targets, "test"))
    return outcome
