"""Opens connections as their targets demand TLS, for mail and for questions alike: the one place that falls back.

Opportunistic TLS that fails means plain text, at once and for a while, and that is remembered. A demand that is testing
(RFC 8461 5) is met if it can be; a failure is reported, and mail goes by whatever TLS `delivery.tls` asks for. Nothing
else ever falls back. Each try to meet a demand is told to the observer of TLS reports, when there is one.
"""

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from postroad.delivery.connection import Connection, dial
from postroad.delivery.dialing import Dialing, Unopened
from postroad.delivery.encryption import demand_of
from postroad.delivery.recent import Recent
from postroad.model.route import Target
from postroad.model.security import (
    BY_DANE,
    BY_STS,
    NO_STARTTLS,
    NONE,
    OPPORTUNISTIC,
    REQUIRED,
    SUCCESS,
    TLSA_INVALID,
    Secured,
    Security,
    TlsObserver,
    TlsOutcome,
)

REMEMBERED: Final = 600.0  # seconds


class Opener:
    """Opens connections; remembers the targets with which TLS fails."""

    def __init__(self, monotonic: Callable[[], float], observe: TlsObserver | None = None) -> None:
        """`observe` is told of every connection to the next hop of a domain with its outcome."""
        self._monotonic = monotonic
        self._observe = observe
        self._plain = Recent(REMEMBERED)
        self._unmet = Recent(REMEMBERED)

    def is_plain(self, target: Target) -> bool:
        """True while opportunistic TLS is not tried with `target`, because it failed a while ago."""
        return self._plain.has(target, self._monotonic())

    async def open(self, target: Target, dialing: Dialing) -> Connection | Unopened:
        """A new connection to `target`, or why there is none."""
        demand = demand_of(target, dialing.settings)
        if demand.testing:
            return await self._open_testing(target, dialing, demand)
        if demand.level == OPPORTUNISTIC:
            return await self._open_any(target, dialing, demand)
        return await self._dial(target, dialing, demand)

    async def _open_testing(self, target: Target, dialing: Dialing, demand: Security) -> Connection | Unopened:
        words = "a while ago it was not met"
        if not self._unmet.has(target, self._monotonic()):
            opened = await self._dial(target, dialing, demand)
            if isinstance(opened, Connection) or not opened.lacks_tls:
                return opened
            self._unmet.note(target, self._monotonic())
            words = opened.words
        lesser = replace(demand, level=OPPORTUNISTIC, testing=False)
        words = f"{demand.level} in testing: {words}"
        if dialing.settings.tls == REQUIRED:  # the policy of somebody else never takes that back
            return await self._dial(target, dialing, replace(lesser, level=REQUIRED), words)
        return await self._open_any(target, dialing, lesser, words)

    async def _open_any(
        self, target: Target, dialing: Dialing, demand: Security, why: str = ""
    ) -> Connection | Unopened:
        """TLS, or plain text where that fails."""
        plain = "plain text: TLS failed a while ago"
        if not self._plain.has(target, self._monotonic()):
            opened = await self._dial(target, dialing, demand, why)
            if isinstance(opened, Connection) or not opened.tls_failed:
                return opened
            self._plain.note(target, self._monotonic())
            plain = f"plain text: TLS failed: {opened.words.removeprefix('TLS failed: ')}"
        opened = await dial(dialing, target, replace(demand, level=NONE))
        if isinstance(opened, Connection) and target.port:
            words = f"{why}; {plain}" if why else plain
            opened.secured = Secured(OPPORTUNISTIC, demand.source, demand.reason, words=words)
        return opened

    async def _dial(self, target: Target, dialing: Dialing, demand: Security, why: str = "") -> Connection | Unopened:
        opened = await dial(dialing, target, demand)
        if why and isinstance(opened, Connection):
            opened.secured = Secured(demand.level, demand.source, demand.reason, words=why)
        elif self._observe is not None and demand.domain and demand.level != NONE:
            self._tell(self._observe, target, demand, opened)
        return opened

    def _tell(self, observe: TlsObserver, target: Target, demand: Security, opened: Connection | Unopened) -> None:
        if isinstance(opened, Connection):
            result, words, source_ip = SUCCESS, "", opened.stream.local.rpartition(":")[0].strip("[]")
            if not opened.tls:  # opportunistic, and the peer offers none
                result = NO_STARTTLS
            elif demand.source == BY_DANE and not demand.tlsa:  # TLS, but nothing that it could be held against
                result, words = TLSA_INVALID, demand.reason
        elif opened.tls_failed:
            result, words, source_ip = opened.result, opened.words, opened.source_ip
        else:
            return  # nothing was said about TLS
        policy_type = _policy_type(demand)
        observe(
            TlsOutcome(demand.domain, target.host, policy_type, demand.policy, result, target.address, source_ip, words)
        )


def _policy_type(demand: Security) -> str:
    """Whose policy it is in the terms of reports, also where REQUIRETLS asked for it to be met (RFC 8460 4.4)."""
    if demand.source == BY_DANE or demand.tlsa:
        return "tlsa"
    return "sts" if demand.source == BY_STS or demand.policy else "no-policy-found"
