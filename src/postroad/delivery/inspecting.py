"""Looks at the TLS of one target as a delivery would meet it, and past it: what is demanded, shown, and would hold.

A connection is opened as for mail and left again without any. Where the demand is not met a second one, which verifies
nothing, sees what the server shows; where nothing was verified another one finds out whether it could be.
"""

import ssl
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from postroad.delivery.connection import WANTS, Connection, dial
from postroad.delivery.dialing import Dialing, Unopened
from postroad.delivery.encryption import demand_of, is_strict
from postroad.model.route import Target
from postroad.model.security import BY_REQUIRETLS, DANE, FINGERPRINT, NONE, OPPORTUNISTIC, REQUIRED, VERIFIED, Security
from postroad.net.tls.certfacts import CertificateFacts
from postroad.net.tls.contexts import REVOKED
from postroad.net.tls.keyfiles import READ_FACTS
from postroad.net.tls.peerchain import chain_of, digests_of

_VERIFYING: Final = (VERIFIED, FINGERPRINT, DANE)


class Shown(Struct):
    """One certificate that a server showed; `key` is the SHA-256 digest of its public key."""

    subject: str
    names: tuple[str, ...]
    expires: int
    fingerprint: str
    key: str


class Inspection(Struct):
    """What was found at one target.

    `is_met`: mail would go there, and `words` say why not. `tls` is version and cipher of the connection that mail
    would have, or of one without a demand; `verification` is in words, `mend` says what can be done.
    """

    target: str
    level: str
    source: str
    reason: str
    is_met: bool = False
    words: str = ""
    tls: str = ""
    verification: str = ""
    requiretls: bool = False
    chain: list[Shown] = []
    mend: str = ""


async def inspect(target: Target, dialing: Dialing) -> Inspection:
    """What there is at `target`."""
    demand = demand_of(target, dialing.settings)
    found = Inspection(str(target), demand.level, demand.source, demand.reason)
    opened = await dial(dialing, target, demand)
    if isinstance(opened, Connection):
        found.is_met = True
        _note(found, opened)
        opened.close()
        if not opened.tls:
            found.verification = "there is no TLS"
        elif demand.level in _VERIFYING:
            found.verification = f"verified: {demand.level}"
        else:
            found.verification = await _would_be_verified(target, dialing, demand)
        if demand.source == BY_REQUIRETLS and not found.requiretls:
            found.is_met = False
            found.mend = "the host does not offer REQUIRETLS: mail with it goes back (5.7.30)"
        elif demand.level in (NONE, OPPORTUNISTIC) and not opened.tls:
            found.mend = f"mail goes in {opened.secured.words}" if opened.secured and opened.secured.words else ""
        return found
    found.words = str(opened.refused) if opened.refused is not None else opened.words
    if not opened.tls_failed:
        return found
    found.is_met = not is_strict(demand) or demand.testing
    found.verification = "not verified" if opened.is_distrusted else "there is no TLS"
    found.mend = _mend(opened, found.is_met)
    if opened.is_distrusted:
        other = await dial(dialing, target, replace(demand, level=REQUIRED))
        if isinstance(other, Connection):
            _note(found, other)
            other.close()
    return found


def _note(found: Inspection, connection: Connection) -> None:
    found.tls = connection.tls
    found.requiretls = connection.session.extensions.requiretls
    below = connection.stream.tls_connection
    if below is not None:
        found.chain = [_shown(octets) for octets in chain_of(below)]


async def _would_be_verified(target: Target, dialing: Dialing, demand: Security) -> str:
    opened = await dial(dialing, target, replace(demand, level=VERIFIED, names=(target.host,)))
    if isinstance(opened, Connection):
        opened.close()
        return f"not asked for; {VERIFIED} would do"
    return f"not asked for; {VERIFIED} would fail: {opened.words}"


def _shown(octets: bytes) -> Shown:
    fingerprint, key = digests_of(octets)
    try:
        facts: CertificateFacts = READ_FACTS.load()(ssl.DER_cert_to_PEM_cert(octets).encode())
    except ValueError as error:
        return Shown(str(error), (), 0, fingerprint, key)
    return Shown(facts.subject, facts.names, facts.expires, fingerprint, key)


def _mend(opened: Unopened, is_met: bool) -> str:  # noqa: FBT001  # its only argument beside
    if is_met:
        return "mail goes in plain text, or unverified, all the same; ask the operator of the host to mend it"
    if REVOKED in opened.words:
        return "the operator of the host has to replace the certificate; trust it no more, and the mail waits"
    if WANTS in opened.words:
        return "give the egress source of its route a certificate; without one the mail waits"
    match opened.result:
        case "certificate-expired":
            return "the operator of the host has to renew the certificate; the mail waits"
        case "certificate-host-mismatch":
            return "if it is the right host, give the name it shows in names of the destination in tls_out"
        case "certificate-not-trusted":
            return "if it is the right host, give its authority as ca, or its digest in fingerprints, in tls_out"
        case "starttls-not-supported":
            return "the host offers no TLS, or somebody on the way took the offer out; the mail waits"
        case _:
            return "the operator of the host has to mend it; the mail waits"
