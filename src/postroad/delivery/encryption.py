"""TLS of one connection as its target demands it: what is asked of OpenSSL, what is looked at beside, and what was met.

The demand is the target's own, or what `[delivery] tls` says. OpenSSL verifies the chain, and the name where there is
one; several names, fingerprints and TLSA records (RFC 7672 3.1) are compared here, before anything is said under TLS. A
resumed session was looked at when it was agreed on, under the same demand to the same target.
"""

import ssl
from types import MappingProxyType
from typing import Final

from msgspec.structs import replace

from postroad.delivery.dialing import Dialing, MatchTlsa
from postroad.delivery.settings import DeliverySettings
from postroad.model.errors import DistrustError
from postroad.model.route import SMTPS, Target
from postroad.model.security import (
    BY_DANE,
    BY_DEFAULT,
    BY_RULE,
    BY_STS,
    DANE,
    FINGERPRINT,
    LEVELS,
    NONE,
    OPPORTUNISTIC,
    REQUIRED,
    UNSAID,
    VERIFIED,
    Secured,
    Security,
)
from postroad.net.stream import Stream
from postroad.net.tls.client import ClientContext, ClientContexts, Trust
from postroad.net.tls.contexts import MISMATCH, NOT_TRUSTED
from postroad.net.tls.danewords import INVALID
from postroad.net.tls.peerchain import chain_of, digests_of
from postroad.net.tls.peernames import carries, names_shown

_LEVELS: Final = MappingProxyType(
    {"off": NONE, "opportunistic": OPPORTUNISTIC, "required": REQUIRED, "verified": VERIFIED}
)
_OF_DESTINATIONS: Final = (BY_DANE, BY_STS)
_FROM_THE_FIRST_OCTET: Final = Security(REQUIRED, BY_RULE, "smtps:// is TLS from the first octet")
_DEFAULTS: Final = MappingProxyType(
    {word: Security(level, BY_DEFAULT, f'delivery.tls = "{word}"') for word, level in _LEVELS.items()}
)


def demand_of(target: Target, settings: DeliverySettings) -> Security:
    """What `target` must have; one that speaks TLS from the first octet never gets less (RFC 8314 3.3)."""
    demand = target.security
    if demand is None:
        demand = _DEFAULTS[settings.tls]
    elif demand.source in _OF_DESTINATIONS:
        demand = _raised(demand, _DEFAULTS[settings.tls])
    elif demand.level == UNSAID:
        default = _DEFAULTS[settings.tls]
        reason = f"{default.reason}; {demand.reason}" if demand.reason else default.reason
        demand = replace(default, domain=demand.domain, reason=reason)
    if target.scheme == SMTPS and not is_strict(demand):
        return _FROM_THE_FIRST_OCTET
    return demand


def _raised(demand: Security, default: Security) -> Security:
    """What a destination says about itself may ask for more than `delivery.tls` does, never for less."""
    if LEVELS.index(demand.level) < LEVELS.index(default.level):
        return replace(demand, level=default.level, names=(), reason=f"{default.reason}; {demand.reason}")
    if demand.testing and default.level == VERIFIED:
        return replace(demand, testing=False, reason=f"{default.reason}; {demand.reason}")
    return demand


def is_strict(demand: Security) -> bool:
    """True when mail does not go without TLS."""
    return demand.level not in (NONE, OPPORTUNISTIC)


def context_for(contexts: ClientContexts, demand: Security) -> ClientContext:
    """The context for a connection that meets `demand`; ConfigError when a file of it cannot be read."""
    if demand.level != VERIFIED:
        return contexts.of(None)
    return contexts.of(Trust(len(demand.names) < 2, demand.ca, demand.crl))


async def begin_tls(
    dialing: Dialing, stream: Stream, context: ClientContext, demand: Security, target: Target
) -> Secured:
    """Begin TLS; DistrustError when the server is not who it must be, PeerError when there is no TLS with it."""
    seconds = dialing.settings.command_timeout
    with context.asking(_asked_name(demand, target), target) as name:
        await stream.start_tls(context, name, seconds)
    connection = stream.tls_connection
    assert connection is not None
    if connection.session_reused:
        return Secured(demand.level, demand.source, demand.reason, _is_verified(demand), resumed=True)
    try:
        _look_at(connection, demand, target, dialing.match_tlsa)
    except DistrustError:
        stream.abort()
        raise
    return Secured(demand.level, demand.source, demand.reason, _is_verified(demand))


def keep_session(stream: Stream, context: ClientContext, target: Target) -> None:
    """Let the next connection to `target` resume what this one has agreed on; the server's ticket has come by now."""
    connection = stream.tls_connection
    if connection is not None:
        context.sessions.keep(target, connection)


def _is_verified(demand: Security) -> bool:
    return demand.level in (VERIFIED, FINGERPRINT, DANE)


def _names(demand: Security, target: Target) -> tuple[str, ...]:
    return demand.names or (target.host,)


def _asked_name(demand: Security, target: Target) -> str | None:
    """The name to ask for (SNI), and OpenSSL's to compare where it is the only one."""
    if demand.level == VERIFIED:
        names = _names(demand, target)
        return target.host if target.host in names else names[0]
    if demand.level == DANE and demand.names:
        return demand.names[0]  # RFC 7672 8.1: the name that the records stand at
    return server_name(target)


def server_name(target: Target) -> str | None:
    """The name of `target` for SNI, which takes names alone (RFC 6066 3)."""
    host = target.host
    return host if host and host != target.address and not host.startswith("[") and "/" not in host else None


def _look_at(connection: ssl.SSLObject, demand: Security, target: Target, match_tlsa: MatchTlsa | None) -> None:
    """DistrustError when the certificate is not what OpenSSL could not be told to ask for."""
    level = demand.level
    if level == VERIFIED:
        names = _names(demand, target)
        if len(names) > 1:
            certificate = connection.getpeercert() or {}
            if not carries(certificate, names):
                wanted, shown = ", ".join(names), names_shown(certificate)
                raise DistrustError(f"the certificate is for another name ({shown}; wanted {wanted})", MISMATCH)
    elif level == FINGERPRINT:
        octets = connection.getpeercert(binary_form=True)
        digests = digests_of(octets) if octets else ()
        if not set(digests) & set(demand.fingerprints):
            shown = digests[0] if digests else "none"
            raise DistrustError(f"the certificate has another fingerprint ({shown})", NOT_TRUSTED)
    elif level == DANE:
        if match_tlsa is None:
            raise DistrustError("TLSA records cannot be compared", INVALID)
        mismatch = match_tlsa(demand, chain_of(connection))
        if mismatch is not None:
            raise DistrustError(mismatch.words, mismatch.result)
