"""Gives the targets of a plan what TLS they must have: asks the rules, then what DNS says, for each host once.

Without rules, finders or a message that asks for TLS nobody comes here. A host that may not be used is left out, with
the reason in the plan; when none is left, the reason is the outcome, a deferral before a failure.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Protocol

from msgspec.structs import replace

from postroad.model.outcome import Deferred, Failed
from postroad.model.route import CAPTURE, MX, SMTP_SRV, TLS_REQUIRETLS, NextHop, Target
from postroad.model.security import BY_DEFAULT, BY_REQUIRETLS, DANE_REQUIRED, UNSAID, Security, TlsObserver, TlsOutcome
from postroad.routing.mx import Plan
from postroad.routing.tlspolicy import Found, TlsRules, decide

_LOOKED_UP: Final = (MX, SMTP_SRV)  # DNS says which hosts these are, and has to prove it


class Validates(Protocol):
    """Whether what DNS calls authentic is."""

    async def __call__(self) -> bool:
        """False when it is proved that the resolver does not validate, or not proved that it does."""


class Find(Protocol):
    """What the world says about a host: DANE, MTA-STS."""

    async def __call__(self, domain: str, host: str, port: int, *, authentic: bool) -> Found:
        """The demand on `host`, to which mail for `domain` goes; `authentic`: DNS, or we, proved that it does."""


class Securing:
    """Knows the rules, and whom to ask beside them."""

    def __init__(
        self,
        rules: TlsRules,
        finders: Sequence[Find] = (),
        *,
        proven: Sequence[Find] = (),
        observe: TlsObserver | None = None,
        proves: Validates | None = None,
    ) -> None:
        """The first answer counts: of `proven`, if DNS proves which hosts these are, then of `finders`.

        Where `proves` says that the resolver validates, DNSSEC is enough to know whose host it is (RFC 8689 4.2.1).
        With `observe`, which is for TLS reports (RFC 8460 4.4), targets without a demand say whose mail goes there all
        the same, and it is told of hosts without the DANE that a rule makes a duty.
        """
        self._rules = rules
        self._observe = observe
        self._proves = proves
        self._finders = tuple(finders)
        self._proven = (*proven, *finders)

    @property
    def is_idle(self) -> bool:
        """True when only a message can ask for something."""
        return not self._rules and not self._proven and self._observe is None

    async def secure(self, hop: NextHop, plan: Plan, asked: str) -> Plan | Deferred | Failed:
        """`plan`, which is for `hop`, with the security of its targets; `asked` is the lane's word."""
        authentic = plan.authentic or hop.scheme not in _LOOKED_UP
        finders = self._proven if authentic else self._finders
        if not finders and not self._rules and asked != TLS_REQUIRETLS and self._observe is None:
            return plan
        targets = [target for target in plan.targets if target.port]
        if not targets or hop.scheme == CAPTURE:
            return plan
        domain = hop.host if hop.scheme == MX else ""
        pairs = list(dict.fromkeys((target.host, target.port, target.address) for target in targets))
        found = await _found(finders, domain or hop.host, targets, authentic=authentic)
        is_proven = asked == TLS_REQUIRETLS and plan.authentic and self._proves is not None and await self._proves()
        decided: dict[tuple[str, int, str], Found | Failed] = {}
        for host, port, address in pairs:
            rule = self._rules.find(domain, host, address)
            demand = decide(
                rule, found.get((host, port)), asked, host=host, is_named=hop.scheme != MX, is_proven=is_proven
            )
            is_counted = self._observe is not None and domain and rule is None
            decided[host, port, address] = _counted(demand, domain) if is_counted else demand
        if self._observe is not None and domain:
            _tell_lacking(self._observe, domain, decided, found.values())
        return _with(plan, decided)


def _counted(demand: Found | Failed, domain: str) -> Found | Failed:
    """`demand` with whose mail it is, so that TLS reports count connections without a policy of the domain's, too."""
    if demand is None:
        return Security(UNSAID, BY_DEFAULT, "", domain=domain)
    if isinstance(demand, Security) and demand.source == BY_REQUIRETLS and not demand.domain:
        return replace(demand, domain=domain)
    return demand


def _tell_lacking(
    observe: TlsObserver, domain: str, decided: Mapping[tuple[str, int, str], Found | Failed], said: Collection[Found]
) -> None:
    """Who is put off by a rule that makes DANE a duty; what DNS itself has `said` is told by those who asked."""
    lacking = {host: one for (host, _, _), one in decided.items() if isinstance(one, Deferred) and one not in said}
    for host, one in lacking.items():
        observe(TlsOutcome(domain, host, "tlsa", (), DANE_REQUIRED, words=one.reply.text))


async def _found(
    finders: Sequence[Find], domain: str, targets: Sequence[Target], *, authentic: bool
) -> dict[tuple[str, int], Found]:
    if not finders:
        return {}
    hosts = list(dict.fromkeys((target.host, target.port) for target in targets))
    answers = await asyncio.gather(*(_ask(finders, domain, host, port, authentic=authentic) for host, port in hosts))
    return dict(zip(hosts, answers, strict=True))


async def _ask(finders: Sequence[Find], domain: str, host: str, port: int, *, authentic: bool) -> Found:
    for find in finders:
        found = await find(domain, host, port, authentic=authentic)
        if found is not None:
            return found
    return None


def _with(plan: Plan, decided: dict[tuple[str, int, str], Found | Failed]) -> Plan | Deferred | Failed:
    kept: list[Target] = []
    refused: dict[str, Deferred | Failed] = {}
    for target in plan.targets:
        security = decided.get((target.host, target.port, target.address))
        if isinstance(security, Deferred | Failed):
            refused.setdefault(target.host, security)
        else:
            kept.append(target if security is None else _secured(target, security))
    if not kept:
        return next((one for one in refused.values() if isinstance(one, Deferred)), next(iter(refused.values())))
    if not refused:
        return plan if kept == list(plan.targets) else replace(plan, targets=tuple(kept))
    reasons = (plan.reason, *(f"{host} left out: {one.reply.text}" for host, one in refused.items()))
    return replace(plan, targets=tuple(kept), reason="; ".join(reasons), partial=True)


def _secured(target: Target, security: Security) -> Target:
    return replace(target, security=security)
