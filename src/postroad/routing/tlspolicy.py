"""*pure*: what TLS one host must have before mail goes there: who may demand it, in which order, and why.

A configured destination wins. Else what DNS proves about the host does: DANE (RFC 7672 2.2), then MTA-STS (RFC 8461 2;
both have a Security or a deferral here). Else it is as `[delivery] tls` says, and there is nothing to tell. A message
may ask for more: TLS by a policy of ours, or verified TLS by REQUIRETLS (RFC 8689 4.2.1), never for less than the
configuration does; TLS-Required: No (RFC 8689 4.2.2) waives what the destination asks for itself, unless a configured
one makes DANE a duty (RFC 7672 6).
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from postroad.model.outcome import Deferred, Failed, Scope
from postroad.model.reply import Reply
from postroad.model.route import TLS_OPTIONAL, TLS_REQUIRED, TLS_REQUIRETLS
from postroad.model.security import (
    BY_DANE,
    BY_DEFAULT,
    BY_POLICY,
    BY_REQUIRETLS,
    BY_RULE,
    DANE,
    FINGERPRINT,
    NONE,
    OPPORTUNISTIC,
    REQUIRED,
    UNSAID,
    VERIFIED,
    Security,
)
from postroad.routing.patterns import Patterns, compile_patterns
from postroad.routing.tlssettings import DestinationSettings

_VERIFIED: Final = (VERIFIED, FINGERPRINT, DANE)
_UNSET: Final = "."  # what a file that is not given is called

Found = Security | Deferred | None


class Rule(Struct, frozen=True):
    """One configured destination: which domains and hosts it is for, and what they must have."""

    domains: Patterns
    hosts: Patterns
    addresses: frozenset[str]
    security: Security

    def concerns(self, domain: str, host: str, address: str) -> bool:
        """True when it is for `host` at `address`, to which mail for `domain` ("": none is looked up) goes."""
        if domain and self.domains.covers(domain):
            return True
        return self.hosts.covers(host) or address in self.addresses


class TlsRules:
    """The configured destinations, compiled."""

    __slots__ = ("_rules",)

    def __init__(self, destinations: Sequence[DestinationSettings]) -> None:
        """In the order they are to be tried."""
        self._rules = tuple(_compiled(number, one) for number, one in enumerate(destinations))

    def __bool__(self) -> bool:
        """True when there are any."""
        return bool(self._rules)

    def find(self, domain: str, host: str, address: str) -> Security | None:
        """What the first that matches demands."""
        for rule in self._rules:
            if rule.concerns(domain, host, address):
                return rule.security
        return None


def _compiled(number: int, settings: DestinationSettings) -> Rule:
    addresses = frozenset(host for host in settings.hosts if _is_address(host))
    security = Security(
        settings.level,
        BY_RULE,
        f"tls_out.destinations[{number}]",
        names=settings.names,
        fingerprints=settings.fingerprints,
        ca="" if str(settings.ca) == _UNSET else str(settings.ca),
        crl="" if str(settings.crl) == _UNSET else str(settings.crl),
    )
    hosts = compile_patterns([host for host in settings.hosts if host not in addresses])
    return Rule(compile_patterns(settings.domains), hosts, addresses, security)


def _is_address(host: str) -> bool:
    return ":" in host or host.rpartition(".")[2].isdigit()


def decide(
    rule: Security | None, found: Found, asked: str, *, host: str, is_named: bool, is_proven: bool = False
) -> Found | Failed:
    """The demand on `host`; None: as `[delivery] tls` says. Deferred and Failed: no mail goes there.

    `rule` is the configured one, `found` what DNS says about it, `asked` what the message asks for (model/route.py),
    `is_named` that the configuration names the host, so that nobody but us chose it, `is_proven` that DNSSEC proves it.
    """
    chosen: Found = rule
    if rule is not None and rule.level == DANE:
        chosen = _by_dane(rule, found, host)
    elif rule is None and asked != TLS_OPTIONAL:
        chosen = found
    if isinstance(chosen, Deferred):
        return chosen
    if asked == TLS_REQUIRETLS:
        return _for_requiretls(chosen, host, is_named=is_named, is_proven=is_proven)
    if asked == TLS_OPTIONAL and chosen is None and found is not None:
        return Security(UNSAID, BY_DEFAULT, "TLS-Required: No waives what the destination asks for")
    if asked == TLS_REQUIRED and rule is not None and rule.level in (NONE, OPPORTUNISTIC):
        return Security(REQUIRED, BY_POLICY, f"a policy asks for TLS, more than {rule.reason}")
    return chosen


def _by_dane(rule: Security, found: Found, host: str) -> Security | Deferred:
    """What the host says of itself, which `rule` makes a duty (RFC 7672 6): without it mail waits."""
    if isinstance(found, Deferred):
        return found
    if found is not None and found.level == DANE:
        return replace(found, reason=f"{found.reason}, which {rule.reason} asks for")
    lack = "no TLSA record that DNSSEC proves" if found is None or found.source != BY_DANE else found.reason
    return Deferred(Reply(451, "4.7.5", f"{rule.reason} asks for DANE, and {host} has {lack}"), Scope.HOST)


def _for_requiretls(chosen: Security | None, host: str, *, is_named: bool, is_proven: bool) -> Security | Failed:
    if chosen is not None and chosen.level in _VERIFIED and not chosen.testing:
        return replace(chosen, source=BY_REQUIRETLS, reason=f"REQUIRETLS, by {chosen.reason}")
    if chosen is None and is_named:
        return Security(VERIFIED, BY_REQUIRETLS, "REQUIRETLS, to a host that the route names", names=(host,))
    if chosen is None and is_proven:
        return Security(VERIFIED, BY_REQUIRETLS, "REQUIRETLS, to a host that DNSSEC proves", names=(host,))
    if chosen is None:
        why = "nothing verifies whose server it is"
    elif chosen.testing:
        why = f"{chosen.reason}, is only being tried out"
    else:
        why = f"{chosen.reason} asks for {chosen.level} TLS alone"
    return Failed(
        Reply(550, "5.7.30", f"the sender requires verified TLS (REQUIRETLS), and of {host} {why}"), Scope.HOST
    )
