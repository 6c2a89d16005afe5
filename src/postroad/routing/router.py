"""The router: from a recipient to its lane, and from a lane to a route.

Places recipients by the rules, looks the hosts of a lane's next hops up and strings their targets together
as its balance says. A next hop that DNS cannot tell about now is passed over while another one is there.
A route holds for as long as the DNS answers it came from, within bounds. A lane that is no next hop but a
decision (fail, discard, hold) has its outcome at once. RFC 5321 5.1.
"""

import asyncio
from collections.abc import Collection
from ipaddress import ip_address
from typing import Final

from postroad.model.dns import DnsStatus, Lookup
from postroad.model.outcome import Decided, Deferred, Delivered, Failed, Held, Scope
from postroad.model.reply import Reply
from postroad.model.route import (
    CAPTURE,
    DISCARD,
    FAIL,
    FAILOVER,
    HOLD,
    MX,
    SMTP_SRV,
    TLS_REQUIRED,
    TLS_REQUIRETLS,
    NextHop,
    Route,
    Target,
    Terms,
)
from postroad.net.clock import Clock, SystemClock
from postroad.routing.lanes import LaneSpec, parse_failure, parse_lane
from postroad.routing.mx import (
    Located,
    Plan,
    Shuffle,
    choose_exchanges,
    locate,
    plan_domain,
    plan_literal,
    targets_of,
)
from postroad.routing.rules import Rules
from postroad.routing.securing import Securing
from postroad.routing.sites import Sites
from postroad.routing.srv import choose_services, plan_services, question_of
from postroad.routing.tiers import HopPlan, string_together
from postroad.routing.tlspolicy import TlsRules

_SHORTEST: Final = 5.0  # even a record with TTL 0 may serve the messages that are there now
_LONGEST: Final = 300.0  # equal MX hosts get their share: a new plan shuffles them anew
_PARTIAL: Final = 30.0  # a host that could not be looked up is asked for again soon
_KEPT: Final = 20_000  # routes


class Router:
    """Plans routes; `plan` and `cached_plan` are what the queue asks.

    `own_names` and `own_addresses` (address, port) tell which hosts are ourselves; `shuffle` puts a list into
    random order; `sites` has the names of providers.
    """

    def __init__(  # noqa: PLR0913  the composition root passes the parts by name
        self,
        rules: Rules,
        lookup: Lookup,
        *,
        own_names: Collection[str],
        own_addresses: Collection[tuple[str, int]],
        shuffle: Shuffle,
        sites: Sites | None = None,
        securing: Securing | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Without `clock`, the machine's."""
        self._securing = securing or Securing(TlsRules(()))
        self.place = rules.place
        self.place_released = rules.place_released
        self._lookup = lookup
        self._own_names = frozenset(name.lower() for name in own_names)
        self._own_addresses = frozenset(own_addresses)
        self._own_ports = frozenset(port for _, port in own_addresses)
        self._shuffle = shuffle
        self._sites = sites or Sites({})
        self._clock = clock or SystemClock()
        self._routes: dict[str, tuple[float, Route]] = {}

    def cached_plan(self, lane: str) -> Route | None:
        """The route of `lane` while it still holds, without waiting."""
        kept = self._routes.get(lane)
        return None if kept is None or self._clock.monotonic() >= kept[0] else kept[1]

    def last_plan(self, lane: str) -> Route | None:
        """The route by which mail of `lane` went last, though it may hold no longer: for those who ask what became."""
        kept = self._routes.get(lane)
        return None if kept is None else kept[1]

    async def plan(self, lane: str) -> Route | Decided:
        """The route of `lane`, looked up anew; or why there is none now, or never; or what is done instead."""
        try:
            spec = parse_lane(lane)
        except ValueError as error:
            # Mail that an earlier configuration took: whoever changed it can still repair it.
            words = f"next hop {lane}: {error}" if lane else "no route matches the recipient"
            return Deferred(Reply(451, "4.3.5", words), Scope.NEXT_HOP)
        if spec.action:
            return _outcome(spec)
        plans = [await self._plan_hop(hop) for hop in spec.hops]
        if not self._securing.is_idle or spec.tls == TLS_REQUIRETLS:
            plans = [
                await self._securing.secure(hop, plan, spec.tls) if isinstance(plan, Plan) else plan
                for hop, plan in zip(spec.hops, plans, strict=True)
            ]
        usable = [plan for plan in plans if isinstance(plan, Plan)]
        if not usable:
            return _worst([plan for plan in plans if not isinstance(plan, Plan)])
        partial = any(plan.partial for plan in usable) or any(isinstance(plan, Deferred) for plan in plans)
        ttl = min(max(min(plan.ttl for plan in usable), _SHORTEST), _PARTIAL if partial else _LONGEST)
        reasons = (plan.reason if isinstance(plan, Plan) else f"passed over: {plan.reply.text}" for plan in plans)
        pairs = [(hop, plan) for hop, plan in zip(spec.hops, plans, strict=True) if isinstance(plan, Plan)]
        targets = string_together([HopPlan(hop, plan.targets) for hop, plan in pairs], spec.balance)
        site = self._sites.site_of([host for plan in usable for host in plan.hosts])
        joint = "; then " if spec.balance == FAILOVER else "; beside "
        terms = Terms(tls=spec.tls) if spec.tls == TLS_REQUIRED else None
        route = Route(lane, targets, joint.join(reasons), ttl, spec.balance, site, spec.source, terms)
        self._keep(route)
        return route

    def _keep(self, route: Route) -> None:
        if len(self._routes) >= _KEPT:
            self._routes.clear()
        self._routes[route.lane] = (self._clock.monotonic() + route.ttl, route)

    async def _plan_hop(self, hop: NextHop) -> Plan | Deferred | Failed:
        if hop.scheme == CAPTURE:
            return Plan((Target(CAPTURE, CAPTURE, "", 0),), "captured into a folder", 3600)
        if hop.scheme == MX:
            return await self._plan_domain(hop.host)
        if hop.scheme == SMTP_SRV:
            return await self._plan_service(question_of(hop.host))
        if hop.path:
            return Plan((Target(hop.scheme, hop.path, hop.path, 0),), str(hop), 3600)
        return await self._plan_host(hop)

    async def _plan_domain(self, domain: str) -> Plan | Deferred | Failed:
        """RFC 5321 5.1: MX, then the addresses of its hosts."""
        if domain.startswith("["):
            return plan_literal(domain, is_own=self._is_own)
        answer = await self._lookup(domain, "MX")
        chosen = choose_exchanges(domain, answer, own_names=self._own_names, shuffle=self._shuffle)
        if isinstance(chosen, (Deferred, Failed)):
            return chosen
        located = await asyncio.gather(*(self._locate(exchange.host) for exchange in chosen))
        plan = plan_domain(domain, chosen, located, is_own=self._is_own)
        if not isinstance(plan, Plan):
            return plan
        return Plan(
            plan.targets, plan.reason, min(plan.ttl, answer.ttl), plan.partial, plan.hosts, authentic=answer.authentic
        )

    async def _plan_service(self, name: str) -> Plan | Deferred:
        """RFC 2782: SRV, then the addresses of its hosts."""
        answer = await self._lookup(name, "SRV")
        chosen = choose_services(
            name, answer, own_names=self._own_names, own_ports=self._own_ports, shuffle=self._shuffle
        )
        if isinstance(chosen, Deferred):
            return chosen
        located = await asyncio.gather(*(self._locate(service.host) for service in chosen))
        plan = plan_services(name, chosen, located, is_own=self._is_own)
        if not isinstance(plan, Plan):
            return plan
        ttl = min(plan.ttl, answer.ttl)
        return Plan(plan.targets, plan.reason, ttl, plan.partial, plan.hosts, authentic=answer.authentic)

    async def _plan_host(self, hop: NextHop) -> Plan | Deferred:
        """A host that the configuration names: not to find it is never the recipient's fault, so never a failure."""
        located = await self._locate(hop.host)
        if not located.addresses:
            words = "no address" if located.status is DnsStatus.NO_DATA else located.status.value
            enhanced = "4.4.3" if located.status.is_temporary else "4.4.4"
            return Deferred(Reply(451, enhanced, f"next hop {hop}: {words}"), Scope.NEXT_HOP)
        targets = tuple(
            one for one in targets_of(hop.scheme, located, hop.port) if not self._is_own(one.address, one.port)
        )
        if not targets:
            return Deferred(Reply(451, "4.4.6", f"next hop {hop} is this server itself"), Scope.NEXT_HOP)
        return Plan(targets, str(hop), located.ttl, hosts=(hop.host,))

    async def _locate(self, host: str) -> Located:
        if _is_address(host):
            return Located(host, (host,), DnsStatus.FOUND, 3600)
        ipv4, ipv6 = await asyncio.gather(self._lookup(host, "A"), self._lookup(host, "AAAA"))
        return locate(host, ipv4, ipv6)

    def _is_own(self, address: str, port: int) -> bool:
        return (address, port) in self._own_addresses


def _outcome(spec: LaneSpec) -> Decided:
    """What becomes of recipients whose route sends nothing."""
    if spec.words.startswith("(") and spec.action == HOLD:
        return Held(spec.words[1:-1])
    route = f"route {spec.words}".rstrip()
    if spec.action == FAIL:
        return Failed(parse_failure(spec.words))
    if spec.action == DISCARD:
        # To report success is nobody's part: what was thrown away was not delivered.
        return Delivered(Reply(250, "2.0.0", f"discarded by {route}"), dsn_passed=True)
    return Held(f"held by {route}")


def _worst(plans: list[Deferred | Failed]) -> Deferred | Failed:
    """What stands for all of several next hops without targets: a deferral, if any may come back."""
    return next((plan for plan in plans if isinstance(plan, Deferred)), plans[0])


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
