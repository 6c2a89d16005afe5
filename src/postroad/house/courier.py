"""What the courier is built of, from one configuration: resolver, router, deliverer, schedules, the regime.

`courier_of` builds it; for a reload it takes over from the one before it whatever the new configuration leaves
as it is: kept connections, what is known of hosts, answers of DNS, accounts of limits. It changes nothing of what
runs; a file or secret that cannot be read is a ConfigError.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Final

from msgspec import Struct

from postroad.config.egress import egress_of
from postroad.config.schema import Config
from postroad.config.templates import read_languages
from postroad.delivery.cargo import Convert
from postroad.delivery.deliver import Deliverer
from postroad.delivery.verp import Verp, one_by_one
from postroad.house.dane import dane_of
from postroad.house.mtasts import Sts, sts_of
from postroad.house.returns import has_files, paths_of
from postroad.listener.intake import Rewrite
from postroad.model.address import parse_mailbox
from postroad.model.dns import Lookup
from postroad.model.envelope import Envelope
from postroad.model.option import parse_endpoint
from postroad.model.records import CertificateRefused, Emit
from postroad.model.route import Route
from postroad.model.security import TlsObserver
from postroad.net.addresses import own_endpoints
from postroad.net.clock import Clock
from postroad.net.dns.resolver import Resolver
from postroad.net.stream import open_stream
from postroad.net.tls.client import ClientContexts
from postroad.net.tls.danecheck import TlsaCheck
from postroad.net.turn import Turn
from postroad.queue.books import Reporting
from postroad.queue.operator import watched
from postroad.queue.planning import ShapedPlans
from postroad.queue.regime import Regime
from postroad.queue.retryrules import retries_of
from postroad.queue.shaping import Shaping
from postroad.queue.spooling import Deliver
from postroad.queue.suspensions import Suspensions
from postroad.routing.lanes import fallback_of
from postroad.routing.rewrite import compile_rewriter
from postroad.routing.router import Router
from postroad.routing.rules import compile_rules
from postroad.routing.securing import Find, Securing
from postroad.routing.sites import Sites
from postroad.routing.tlspolicy import TlsRules

QUESTIONS_SECONDS: Final = 120.0  # plans that began with a resolver may go on asking it for so long


class Tools(Struct, frozen=True):
    """What every courier of the process has in common."""

    clock: Clock
    emit: Emit
    turn: Turn
    suspensions: Suspensions
    convert: Convert
    delivering: Callable[[Deliver], Deliver] | None = None  # lets the watch over accounts hear of outcomes
    observe_tls: TlsObserver | None = None  # counts for TLS reports
    sign_own: Callable[[Envelope, bytes], Awaitable[Envelope]] | None = None  # mail that we make


class Courier(Struct, frozen=True, kw_only=True):
    """The parts of one configuration."""

    config: Config
    resolver: Resolver
    router: Router
    rewrite: Rewrite | None
    deliverer: Deliverer
    regime: Regime
    sts: Sts | None = None


def courier_of(config: Config, tools: Tools, old: Courier | None = None) -> Courier:
    """The courier that `config` describes, after `old`."""
    resolver = _resolver(config, tools, old)
    keeps_router = old is not None and old.resolver is resolver and _routing_of(old.config) == _routing_of(config)
    if old is not None and keeps_router:
        router, sts = old.router, old.sts
    else:
        sts = sts_of(config, resolver, tools.clock, tools.emit, tools.observe_tls)
        router = router_of(config, resolver, tools.clock, tools.emit, sts, observe=tools.observe_tls)
    deliverer = _deliverer(config, tools, old)
    shaping = _shaping(config, old)
    plan, cached_plan = router.plan, router.cached_plan
    if shaping is not None:
        plans = ShapedPlans(router.plan, router.cached_plan, shaping)
        plan, cached_plan = plans.plan, plans.cached_plan
    # Lanes tell their fallback themselves; once there were any, mail of such lanes may wait in the queue.
    has_fallbacks = any(route.fallback for route in config.routes)
    had_fallbacks = old is not None and old.regime.fallback_of is not None
    regime = Regime(
        settings=config.queue,
        plan=watched(plan, tools.suspensions, tools.clock.now),
        cached_plan=cached_plan,
        deliver=_deliver(config, tools, deliverer),
        retries=retries_of(config.queue, config.retry),
        reporting=reporting_of(config, tools.sign_own),
        shaping=shaping,
        fallback_of=fallback_of if has_fallbacks or had_fallbacks else None,
    )
    return Courier(
        config=config,
        resolver=resolver,
        router=router,
        rewrite=compile_rewriter(config.routes),
        deliverer=deliverer,
        regime=regime,
        sts=sts,
    )


def _deliver(config: Config, tools: Tools, deliverer: Deliverer) -> Deliver:
    deliver = deliverer.deliver if config.verp is None else one_by_one(deliverer.deliver, Verp(config.verp))
    return deliver if config.breaker is None or tools.delivering is None else tools.delivering(deliver)


async def retire(old: Courier, new: Courier, clock: Clock) -> None:
    """Close what `old` had and `new` has not; deliveries that run have their connections until they end."""
    if old.deliverer is not new.deliverer:
        await old.deliverer.close()
    if old.resolver is not new.resolver or old.sts is not new.sts:
        try:
            await clock.sleep(QUESTIONS_SECONDS)
        except asyncio.CancelledError:
            pass  # the process ends
        finally:
            if old.sts is not None and old.sts is not new.sts:
                await old.sts.close()
            if old.resolver is not new.resolver:
                old.resolver.close()


def _resolver(config: Config, tools: Tools, old: Courier | None) -> Resolver:
    if old is not None and old.config.resolver == config.resolver:
        return old.resolver
    return Resolver(config.resolver, tools.clock)


def router_of(
    config: Config,
    resolver: Lookup,
    clock: Clock,
    emit: Emit | None = None,
    sts: Sts | None = None,
    *,
    observe: TlsObserver | None = None,
) -> Router:
    """The router that `config` describes; what it finds out about the resolver is told by `emit`.

    Without `sts` it knows of no MTA-STS policies; `observe` counts for TLS reports.
    """
    return Router(
        compile_rules(config.routes, config.egress),
        resolver,
        own_names=frozenset((config.hostname, "localhost")),
        own_addresses=own_endpoints(bound_to(config)),
        shuffle=random.shuffle,
        sites=Sites(config.sites),
        securing=securing_of(config, resolver, clock, emit, sts, observe=observe),
    )


async def plain_targets(courier: Courier, lane: str) -> tuple[str, ...]:
    """The targets of `lane` that get plain text for a while, because opportunistic TLS failed with them.

    What is remembered of a target outlives the plan, and may have been found out by mail of another lane.
    """
    route = courier.router.last_plan(lane) or await courier.router.plan(lane)
    targets = route.targets if isinstance(route, Route) else ()
    return tuple(str(target) for target in targets if courier.deliverer.is_plain(target))


def securing_of(
    config: Config,
    lookup: Lookup,
    clock: Clock,
    emit: Emit | None = None,
    sts: Sts | None = None,
    *,
    observe: TlsObserver | None = None,
) -> Securing:
    """Who must have which TLS, as `config`, DNS and, by `sts`, domains say."""
    finders: list[Find] = [] if sts is None else [sts.policies.find]
    rules = TlsRules(config.tls_out.destinations)
    proven, proves = dane_of(config, lookup, clock, emit, observe)
    return Securing(rules, finders, proven=proven, observe=observe, proves=proves)


def _routing_of(config: Config) -> tuple[object, ...]:
    return config.routes, config.egress, config.sites, config.hostname, config.tls_out, list(bound_to(config))


def _deliverer(config: Config, tools: Tools, old: Courier | None) -> Deliverer:
    if old is not None and _sends_alike(old.config, config):
        return old.deliverer

    def tell(reason: str) -> None:
        tools.emit(CertificateRefused(at=tools.clock.now(), certificate="tls_out", reason=reason))

    return Deliverer(
        settings=config.delivery,
        hostname=config.hostname,
        clock=tools.clock,
        open_stream=partial(open_stream, at_turn_end=tools.turn.add),
        capture_folder=config.capture_folder,
        tls=ClientContexts(ca=config.tls_out.anchors, tell=tell),
        egress=egress_of(config, tell),
        emit=tools.emit,
        convert=tools.convert,
        match_tlsa=TlsaCheck(tools.clock),
        observe_tls=tools.observe_tls,
        paths=paths_of(config, tools.clock.now),
    )


def _sends_alike(old: Config, new: Config) -> bool:
    """Secrets in files may have changed though the options have not: sources with one are always made anew."""
    is_hidden = any(source.proxy.file or source.proxy.env for source in new.sources.values())
    return not is_hidden and not has_files(new) and _sending_of(old) == _sending_of(new)


def _sending_of(config: Config) -> tuple[object, ...]:
    signed = config.srs, config.batv, config.verp
    paths = *signed, None if signed == (None, None, None) else config.access
    return config.delivery, config.tls_out.ca, config.hostname, config.sources, config.pools, *paths


def _shaping(config: Config, old: Courier | None) -> Shaping | None:
    if not config.shaping:
        return None
    recipients = config.delivery.recipients_per_transaction
    before = None if old is None else old.regime.shaping
    if old is not None and before is not None:
        known = old.config
        if (known.shaping, known.delivery.recipients_per_transaction) == (config.shaping, recipients):
            return before
    return Shaping(config.shaping, recipients=recipients)


def reporting_of(config: Config, sign: Callable[[Envelope, bytes], Awaitable[Envelope]] | None = None) -> Reporting:
    """How reports to senders are made; with keys they are signed by `sign`."""
    return Reporting(
        hostname=config.hostname,
        return_size=config.queue.return_size,
        languages=read_languages(config.dsn).languages,
        postmaster=parse_mailbox(config.postmaster),
        copies=frozenset(config.dsn.postmaster_copies),
        sign=None if config.dkim is None else sign,
    )


def bound_to(config: Config) -> Iterator[tuple[str, int]]:
    """Every address and port that the configuration listens on."""
    for listener in config.listeners.values():
        yield from map(parse_endpoint, listener.bind)
