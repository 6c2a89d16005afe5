"""Rules across options: what each option alone cannot know.

A rule yields problems (nothing starts) or warnings (it starts, but probably not as meant). All rules
are pure functions of the configuration; what needs this host to be looked at is in `config.host`.
Those about routes are in `config.routes`. RFC 5321 4.5.4.1 (retry and give-up times).
"""

from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from postroad.config.checks.acme import check_acme
from postroad.config.checks.aliases import check_aliases
from postroad.config.checks.api import check_api
from postroad.config.checks.auth import check_auth
from postroad.config.checks.desk import check_desk, overlap
from postroad.config.checks.directories import check_directories
from postroad.config.checks.oauth import check_oauth
from postroad.config.checks.queue import QUEUE_RULES
from postroad.config.checks.rates import check_rates
from postroad.config.checks.recipients import check_recipients
from postroad.config.checks.reports import check_reports
from postroad.config.checks.returns import check_returns
from postroad.config.checks.routes import ROUTE_RULES
from postroad.config.checks.rules import check_rules
from postroad.config.checks.shield import check_shield
from postroad.config.checks.signing import check_signing
from postroad.config.checks.sinks import check_sinks
from postroad.config.checks.tls import tls_rules
from postroad.config.checks.tlsout import tls_out_rules
from postroad.config.describe import duration_text, size_text, value_text
from postroad.config.egress import egress_rules
from postroad.config.problem import Problem, Warned, path_text
from postroad.config.schema import Config
from postroad.model.option import NEVER, parse_endpoint
from postroad.policy.networks import is_vast
from postroad.routing.rules import hop_text

_LEAST_EXPIRY: Final = 4 * 86400.0  # RFC 5321 4.5.4.1: at least 4-5 days


class Checked(Struct, frozen=True):
    """What the rules found."""

    problems: list[Problem]
    warnings: list[Problem]


def check(config: Config) -> Checked:
    """Every rule over `config`."""
    found = [problem for rule in RULES for problem in rule(config)]
    return Checked(
        [problem for problem in found if not isinstance(problem, Warned)],
        [problem for problem in found if isinstance(problem, Warned)],
    )


def _hostname(config: Config) -> Iterator[Problem]:
    """A name nobody outside can know, on mail that leaves (RFC 5321 2.3.5 asks for a fully qualified one)."""
    hops = [hop for route in config.routes for hop in (*route.next_hops, *route.fallback)]
    if any(hop_text(hop) != "capture:" for hop in hops) and "." not in config.hostname:
        yield Warned(
            ("hostname",), f'"{config.hostname}": has no domain; many servers refuse mail from a relay with such a name'
        )


def _addresses(config: Config) -> Iterator[Problem]:
    """Two listeners on one address; a wildcard address takes in every other of its port."""
    seen: list[tuple[str, int, str]] = []
    for name, listener in config.listeners.items():
        for at, bind in enumerate(listener.bind):
            address, port = parse_endpoint(bind)
            path = ("listeners", name, "bind", at)
            for other, other_port, where in seen:
                if port and port == other_port and overlap(address, other):
                    yield Problem(path, f"{value_text(bind)}: {where} listens there already")
                    break
            seen.append((address, port, path_text(path)))


def _large_networks(config: Config) -> Iterator[Problem]:
    """A network that can hardly be one's own; that of everybody is refused by the option itself."""
    for at, network in enumerate(config.access.relay_networks):
        if is_vast(network):
            yield Warned(
                ("access", "relay_networks", at),
                f'"{network}": a very large part of the Internet may relay to anywhere',
            )


def _queue_times(config: Config) -> Iterator[Problem]:
    """Retry, warning and expiry in their natural order."""
    queue = config.queue
    expire = duration_text(queue.expire_after)
    if queue.expire_after < queue.retry[0]:
        first = duration_text(queue.retry[0])
        yield Problem(
            ("queue", "expire_after"),
            f'"{expire}": mail would expire before its first retry (queue.retry[0] is "{first}")',
        )
    elif queue.expire_after < _LEAST_EXPIRY:
        yield Warned(
            ("queue", "expire_after"), f'"{expire}": RFC 5321 4.5.4.1 asks for at least 4 to 5 days before giving up'
        )
    if queue.warn_after != NEVER and queue.warn_after >= queue.expire_after:
        warn = duration_text(queue.warn_after)
        yield Problem(
            ("queue", "warn_after"),
            f'"{warn}": the delay warning would come after the mail has expired '
            f'(queue.expire_after is "{expire}"); make it shorter, or "never"',
        )


def _sizes(config: Config) -> Iterator[Problem]:
    """Bounds that contradict one another."""
    limits, spool = config.limits, config.spool
    message = size_text(limits.message_size)
    if limits.header_size > limits.message_size:
        yield Problem(
            ("limits", "header_size"),
            f'"{size_text(limits.header_size)}": more than a whole message (limits.message_size is "{message}")',
        )
    if spool.free_space < limits.message_size:
        yield Warned(
            ("spool", "free_space"),
            f'"{size_text(spool.free_space)}": one message (limits.message_size is "{message}") could fill the disk',
        )
    if limits.sessions_per_ip > limits.sessions:
        yield Warned(
            ("limits", "sessions_per_ip"),
            f"{limits.sessions_per_ip}: has no effect: limits.sessions is {limits.sessions}",
        )


RULES: Final[tuple[Callable[[Config], Iterator[Problem]], ...]] = (
    _hostname,
    _addresses,
    _large_networks,
    *ROUTE_RULES,
    _queue_times,
    *QUEUE_RULES,
    _sizes,
    egress_rules,
    check_aliases,
    check_recipients,
    check_reports,
    check_api,
    check_auth,
    check_oauth,
    check_desk,
    check_rates,
    check_returns,
    check_signing,
    check_directories,
    check_shield,
    check_sinks,
    check_rules,
    tls_rules,
    tls_out_rules,
    check_acme,
)
