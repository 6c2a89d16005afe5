"""Rules across the options of routes, egress rules and sites (pure): what each option alone cannot know.

A route says either where to or what instead, its next hops can be read and do not lead back to us, what it refers to
is there, and it can be reached. RFC 5321 6.3 (loops).
"""

from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Final

from postroad.config.describe import value_text
from postroad.config.locate import KeyPath
from postroad.config.problem import Problem, Warned
from postroad.config.schema import Config
from postroad.model.errors import PostroadError
from postroad.model.option import NEVER, parse_endpoint
from postroad.model.route import FAILOVER, WEIGHTED, NextHop
from postroad.routing.lanes import parse_next_hop
from postroad.routing.rules import hop_text
from postroad.routing.settings import HopSettings, RouteSettings, ThenSettings

_LOCAL_NAMES: Final = ("localhost", "ip6-localhost")
_SENDING: Final = ("balance", "source", "fallback", "fallback_after", "fallback_on")  # options of mail that is sent


def _unknown_sources(config: Config) -> Iterator[Problem]:
    """Egress sources and pools that routes and egress rules name and that are not there."""
    for path, name in _named_sources(config):
        if name not in config.sources and name not in config.pools:
            there = ", ".join((*config.sources, *config.pools)) or "none"
            yield Problem(path, f"{value_text(name)}: no such egress source or pool; there are: {there}")


def _named_sources(config: Config) -> Iterator[tuple[KeyPath, str]]:
    for number, route in enumerate(config.routes):
        if route.source is not None:
            yield ("routes", number, "source"), route.source
    for number, rule in enumerate(config.egress):
        yield ("egress", number, "source"), rule.source


def _hops(route: RouteSettings) -> Iterator[tuple[str, int, str | HopSettings]]:
    for key, hops in (("next_hops", route.next_hops), ("fallback", route.fallback)):
        for at, hop in enumerate(hops):
            yield key, at, hop


def _one_of_both(config: Config) -> Iterator[Problem]:
    """A route sends or does something else, never both and never neither."""
    for number, route in enumerate(config.routes):
        path: KeyPath = ("routes", number)
        if route.then is None and not route.next_hops:
            path = (*path, "next_hops") if "next_hops" in route.model_fields_set else path
            yield Problem(path, 'says nothing: a route needs next_hops, as in ["mx"], or then, as in "hold"')
        if route.then is None:
            continue
        if route.next_hops:
            yield Problem((*path, "then"), "next_hops and then exclude each other: a route sends, or does this instead")
        for key in _SENDING:
            if key in route.model_fields_set:
                yield Problem((*path, key), f"has no meaning beside then: nothing is sent by routes[{number}]")


def _next_hops(config: Config) -> Iterator[Problem]:
    """Next hops that cannot be read, or lead back to ourselves."""
    own = [parse_endpoint(bind) for listener in config.listeners.values() for bind in listener.bind]
    for number, route in enumerate(config.routes):
        for key, at, written in _hops(route):
            text = hop_text(written)
            path = ("routes", number, key, at)
            try:
                hop = parse_next_hop(text)
            except (ValueError, PostroadError) as error:
                yield Problem(path, f"{value_text(text)}: {error}")
                continue
            if _is_own(hop, own, config.hostname):
                yield Problem(
                    path, f"{value_text(text)}: is our own listener: mail would go round in a loop (RFC 5321 6.3)"
                )


def _is_own(hop: NextHop, own: list[tuple[str, int]], hostname: str) -> bool:
    if not hop.host or not hop.port:
        return False
    host = hop.host.strip("[]").lower()
    if host == hostname or host in _LOCAL_NAMES:
        # By name we are reached on any address of ours.
        return any(port == hop.port for _, port in own)
    try:
        target = ip_address(host)
    except ValueError:
        return False
    return any(
        port == hop.port and _takes(ip, target.version, str(target), is_loopback=target.is_loopback) for ip, port in own
    )


def _takes(listening: str, version: int, target: str, *, is_loopback: bool) -> bool:
    address = ip_address(listening)
    return listening == target or (is_loopback and address.is_unspecified and address.version == version)


def _balance(config: Config) -> Iterator[Problem]:
    """Weights that nothing looks at."""
    for number, route in enumerate(config.routes):
        if route.balance == WEIGHTED:
            continue
        for key, at, hop in _hops(route):
            if not isinstance(hop, str) and hop.weight != 1:
                yield Warned(
                    ("routes", number, key, at),
                    f'weight = {hop.weight}: has no effect: routes[{number}].balance is "{route.balance}", '
                    f'not "{WEIGHTED}"',
                )
        if route.balance != FAILOVER and _is_alone(route):
            yield Warned(
                ("routes", number, "balance"), f'"{route.balance}": has no effect with one next hop of one host'
            )


def _is_alone(route: RouteSettings) -> bool:
    hops = [hop_text(hop) for hop in route.next_hops]
    return len(hops) == 1 and len(route.fallback) < 2 and hops[0].startswith(("lmtp:///", "capture:"))


def _fallback(config: Config) -> Iterator[Problem]:
    """A time or errors for a fallback that is not there, or one that is never used."""
    for number, route in enumerate(config.routes):
        given = [key for key in ("fallback_after", "fallback_on") if key in route.model_fields_set]
        if not route.fallback and route.then is None:
            for key in given:
                yield Problem(("routes", number, key), "there is no fallback for it; name next hops in fallback")
        if not route.fallback:
            continue
        if route.fallback_after == NEVER and not route.fallback_on:
            yield Problem(
                ("routes", number, "fallback_after"),
                '"never": the fallback would never be used; give a time, or errors in fallback_on',
            )
        if route.fallback_after != NEVER and route.fallback_after >= config.queue.expire_after:
            yield Warned(
                ("routes", number, "fallback_after"),
                "the fallback comes too late: mail has expired by then (queue.expire_after)",
            )


def _conditions(config: Config) -> Iterator[Problem]:
    """Conditions that cannot hold, and listeners that do not exist."""
    keys = () if config.api is None else config.api.keys.values()
    listeners = dict.fromkeys((*config.listeners, *(key.listener for key in keys)))
    for number, route in enumerate(config.routes):
        for at, name in enumerate(route.listeners):
            if name not in listeners:
                known = ", ".join(listeners)
                yield Problem(
                    ("routes", number, "listeners", at), f"{value_text(name)}: no such listener; there are: {known}"
                )
        if route.smaller_than and route.larger_than + 1 >= route.smaller_than:
            yield Problem(
                ("routes", number, "smaller_than"),
                f"no size is above larger_than ({route.larger_than}) and below {route.smaller_than}",
            )


def _names(config: Config) -> Iterator[Problem]:
    """Two routes of one name."""
    seen: dict[str, int] = {}
    for number, route in enumerate(config.routes):
        if route.name is None:
            continue
        if route.name in seen:
            yield Problem(
                ("routes", number, "name"), f"{value_text(route.name)}: routes[{seen[route.name]}] has this name"
            )
        seen.setdefault(route.name, number)


def _catch_all(config: Config) -> Iterator[Problem]:
    """Routes and egress rules that can never be reached, and mail that no route would take."""
    for number, rule in enumerate(config.egress[:-1]):
        if "*" in rule.recipients and (not rule.senders or "*" in rule.senders) and not rule.tags:
            yield Warned(("egress", number + 1), f"is never reached: egress[{number}] is for all mail")
            break
    for number, route in enumerate(config.routes):
        if takes_all(route):
            for later in range(number + 1, len(config.routes)):
                yield Warned(
                    ("routes", later), f'is never reached: routes[{number}] takes all mail before it (recipients "*")'
                )
            return
    yield Warned(
        ("routes",), 'no route takes all mail: what matches none waits until it expires; end with recipients = ["*"]'
    )


def takes_all(route: RouteSettings) -> bool:
    """True when no mail gets past `route`; one that rewrites lets all mail go on under its new address."""
    conditions = (route.listeners, route.logins, route.tags, route.larger_than, route.smaller_than)
    if any(conditions) or (isinstance(route.then, ThenSettings) and route.then.rewrite is not None):
        return False
    return "*" in route.recipients and (not route.senders or "*" in route.senders)


ROUTE_RULES: Final[tuple[Callable[[Config], Iterator[Problem]], ...]] = (
    _one_of_both,
    _next_hops,
    _balance,
    _fallback,
    _conditions,
    _names,
    _unknown_sources,
    _catch_all,
)
