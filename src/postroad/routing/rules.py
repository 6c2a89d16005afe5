"""Rules of routing: which lane a recipient waits in, and which route said so (*pure*).

Routes are tried in order and the first that matches wins. For each domain the rules that can match at
all are found once and remembered, so that placing a recipient is one dictionary look-up unless a rule
asks for more than its domain. A route that rewrites places nothing: it has had its say when the message was
accepted (`routing.rewrite`).
"""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from postroad.model.address import Mailbox
from postroad.model.envelope import Envelope, Recipient
from postroad.model.route import (
    CAPTURE,
    FAIL,
    HOLD,
    MX,
    TLS_OPTIONAL,
    TLS_REQUIRED,
    TLS_REQUIRETLS,
    Fallback,
    NextHop,
    Placement,
)
from postroad.routing.lanes import LaneSpec, format_lane, held_lane, parse_next_hop, with_tls
from postroad.routing.patterns import Conditions, compile_patterns
from postroad.routing.settings import EgressSettings, HopSettings, RouteSettings, ThenSettings

_TLS_WORDS: Final = MappingProxyType(
    {
        TLS_REQUIRED: "by TLS alone, by policy",
        TLS_REQUIRETLS: "by verified TLS alone, as the sender requires (REQUIRETLS)",
        TLS_OPTIONAL: "TLS is not insisted on, as the sender asks (TLS-Required: No)",
    }
)
_REMEMBERED: Final = 10_000  # domains; forgotten all at once, they are quickly found again


class Rule(Struct, frozen=True):
    """One route, compiled: `spec` is its lane as far as it is the same for all, `rewrite` a pattern or ""."""

    conditions: Conditions
    spec: LaneSpec
    reason: str
    fallback: Fallback | None = None
    fallback_hops: tuple[NextHop, ...] = ()
    rewrite: str = ""
    name: str = ""

    def is_plain(self, domain: str) -> bool:
        """True when every recipient at `domain` matches, whatever the message."""
        return self.conditions.about_recipients and self.conditions.recipients.covers(domain)

    def placement(self, domain: str, source: str = "", why: str = "") -> Placement:
        """Where recipients at `domain` wait; `source` is where their mail leaves from unless the route names one."""
        spec = self.spec
        if spec.action:
            return Placement(format_lane(spec), self.reason)
        source = spec.source or source
        fallback = self.fallback
        if fallback is not None:
            lane = format_lane(LaneSpec(filled(self.fallback_hops, domain), spec.balance, source))
            fallback = Fallback(lane, fallback.after, fallback.on)
        lane = format_lane(LaneSpec(filled(spec.hops, domain), spec.balance, source, fallback))
        return Placement(lane, f"{self.reason}{why}")


class Egress(Struct, frozen=True):
    """One egress rule, compiled."""

    conditions: Conditions
    source: str
    why: str


class Rules:
    """The routes, compiled; made by `compile_rules`."""

    def __init__(self, rules: Sequence[Rule], egress: Sequence[Egress] = ()) -> None:
        """Take `rules` and `egress` in the order they are to be tried."""
        self._rules = tuple(rule for rule in rules if not rule.rewrite)
        self._egress = tuple(egress)
        self._named = {rule.name: rule for rule in self._rules if rule.name}
        self._by_domain: dict[str, Placement | tuple[tuple[Rule, Placement], ...]] = {}
        self._sourced: dict[tuple[str, str, str], Placement] = {}

    def place(self, envelope: Envelope, recipient: Recipient) -> Placement | None:
        """The lane for `recipient` and why, or None when no route matches.

        A recipient without a domain (the bare postmaster) matches none: whoever accepts it fills the domain in.
        """
        if envelope.held or envelope.route or envelope.tls:
            return self._decided(envelope, recipient)
        domain = recipient.address.domain
        found = self._by_domain.get(domain)
        if found is None:
            found = self._remember(domain)
        if isinstance(found, Placement):
            return found
        for rule, placement in found:
            if rule.conditions.hold(envelope, recipient.address):
                return self._with_source(rule, placement, envelope, recipient.address) if self._egress else placement
        return None

    def place_released(self, envelope: Envelope, recipient: Recipient) -> Placement | None:
        """As `place`, for a recipient that somebody released: routes and policies that hold are passed over."""
        if envelope.route or envelope.tls:
            return self._decided(envelope, recipient, released=True)
        domain = recipient.address.domain
        for rule in self._rules if domain else ():
            if rule.spec.action != HOLD and rule.conditions.hold(envelope, recipient.address):
                return self._with_source(rule, rule.placement(domain), envelope, recipient.address)
        return None

    def _decided(self, envelope: Envelope, recipient: Recipient, *, released: bool = False) -> Placement | None:
        """As `place`, for a message of which a policy has decided something; the reason tells what.

        A route that is no longer there holds the message: it was chosen for a reason that nobody can know here.
        """
        if envelope.held and not released:
            return Placement(held_lane(envelope.held), f"held by policy: {envelope.held}")
        rule = self._named.get(envelope.route)
        if envelope.route and rule is None and not released:
            why = f'a policy chose the route "{envelope.route}", which is not there any more'
            return Placement(held_lane(why), why)
        if rule is None or not recipient.address.domain or (released and rule.spec.action == HOLD):
            place = self.place_released if released else self.place
            placement = place(replace(envelope, held="", route="", tls=""), recipient)
        else:
            placement = rule.placement(recipient.address.domain)
            placement = self._with_source(rule, placement, envelope, recipient.address)
            placement = Placement(placement.lane, f"{placement.reason}, chosen by policy")
        if placement is None or not envelope.tls:
            return placement
        lane = with_tls(placement.lane, envelope.tls)
        why = _TLS_WORDS.get(envelope.tls, "")
        return placement if lane == placement.lane else Placement(lane, f"{placement.reason}; {why}")

    def _remember(self, domain: str) -> Placement | tuple[tuple[Rule, Placement], ...]:
        if len(self._by_domain) >= _REMEMBERED:
            self._by_domain.clear()
        candidates = []
        for rule in self._rules if domain else ():
            if rule.conditions.concern(domain):
                candidates.append((rule, rule.placement(domain)))
                if rule.is_plain(domain):
                    break  # no later one can win
        plain = len(candidates) == 1 and candidates[0][0].is_plain(domain)
        if plain and self._egress and _leaves(candidates[0][0].spec):
            plain = False
        found = candidates[0][1] if plain else tuple(candidates)
        self._by_domain[domain] = found
        return found

    def _with_source(self, rule: Rule, placement: Placement, envelope: Envelope, recipient: Mailbox) -> Placement:
        """`placement`, from the source that the egress rules choose where the route does not."""
        if not _leaves(rule.spec):
            return placement
        egress = next((one for one in self._egress if one.conditions.hold(envelope, recipient)), None)
        if egress is None:
            return placement
        key = (recipient.domain, rule.reason, egress.why)
        found = self._sourced.get(key)
        if found is None:
            if len(self._sourced) >= _REMEMBERED:
                self._sourced.clear()
            found = self._sourced[key] = rule.placement(recipient.domain, egress.source, egress.why)
        return found


def compile_rules(routes: Sequence[RouteSettings], egress: Sequence[EgressSettings] = ()) -> Rules:
    """The rules of `routes` and `egress`; without routes everything goes by MX.

    ValueError for a malformed next hop or pattern.
    """
    return Rules(compile_routes(routes), [_compile_egress(one, number) for number, one in enumerate(egress, 1)])


def compile_routes(routes: Sequence[RouteSettings]) -> list[Rule]:
    """Each of `routes`, compiled, in order."""
    if not routes:
        return [_compile(RouteSettings(next_hops=(MX,)), 0)]
    return [_compile(route, number) for number, route in enumerate(routes, 1)]


def hop_text(hop: str | HopSettings) -> str:
    """A next hop as the configuration has it, without its weight."""
    return hop if isinstance(hop, str) else hop.hop


def filled(hops: Sequence[NextHop], domain: str) -> tuple[NextHop, ...]:
    """`hops` with the recipient's domain where "mx" stands for it."""
    return tuple(NextHop(MX, domain, weight=hop.weight) if hop.scheme == MX and not hop.host else hop for hop in hops)


def _leaves(spec: LaneSpec) -> bool:
    """True for mail that is sent, from a source that its route does not name."""
    return not spec.source and any(hop.scheme != CAPTURE for hop in spec.hops)


def _compile(route: RouteSettings, number: int) -> Rule:
    label, name = route.name or str(number), route.name or ""
    then = route.then
    if (then is None) == (not route.next_hops):
        raise ValueError(f"route {label}: next_hops or then, one of the two")
    conditions = Conditions(
        compile_patterns(route.recipients),
        compile_patterns(route.senders) if route.senders else None,
        frozenset(route.listeners) or None,
        frozenset(route.logins) or None,
        route.larger_than,
        route.smaller_than,
        frozenset(route.tags) or None,
    )
    reason = _words(route, label) if number else "default route"
    if isinstance(then, ThenSettings):
        spec = LaneSpec(action=FAIL, words=then.fail or "")
        return Rule(conditions, spec, reason, rewrite=then.rewrite or "", name=name)
    if then is not None:
        return Rule(conditions, LaneSpec(action=then, words=label), reason, name=name)
    spec = LaneSpec(_compile_hops(route.next_hops), route.balance, route.source or "")
    if not route.fallback:
        return Rule(conditions, spec, reason, name=name)
    fallback = Fallback("", route.fallback_after, route.fallback_on)
    return Rule(conditions, spec, reason, fallback, _compile_hops(route.fallback), name=name)


def _compile_hops(hops: Sequence[str | HopSettings]) -> tuple[NextHop, ...]:
    compiled = []
    for one in hops:
        hop = parse_next_hop(hop_text(one))
        weight = 1 if isinstance(one, str) else one.weight
        compiled.append(NextHop(hop.scheme, hop.host, hop.port, hop.path, weight))
    return tuple(compiled)


def _compile_egress(rule: EgressSettings, number: int) -> Egress:
    conditions = Conditions(
        compile_patterns(rule.recipients),
        compile_patterns(rule.senders) if rule.senders else None,
        tags=frozenset(rule.tags) or None,
    )
    return Egress(conditions, rule.source, f"; from {rule.source} by egress rule {number}")


def _words(route: RouteSettings, label: str) -> str:
    """The route in words: `route 2 (recipients = ["*"])`."""
    lists = (
        ("recipients", route.recipients),
        ("senders", route.senders),
        ("listeners", route.listeners),
        ("logins", route.logins),
        ("tags", route.tags),
    )
    parts = [f"{name} = {_listed(texts)}" for name, texts in lists if texts]
    parts += [f"larger_than = {route.larger_than}"] * bool(route.larger_than)
    parts += [f"smaller_than = {route.smaller_than}"] * bool(route.smaller_than)
    return f"route {label} ({', '.join(parts)})"


def _listed(texts: Sequence[str]) -> str:
    shown = [f'"{text}"' for text in texts[:3]]
    return f"[{', '.join(shown + ['...'] * (len(texts) > 3))}]"
