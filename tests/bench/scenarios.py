"""What the bench runs: one frozen value a scenario, with the targets Postroad is to meet against Postfix.

A target is a ratio, Postroad to Postfix in the same run: messages/s at least `rate`, CPU seconds per 1,000 messages
at most `cpu`. Latency has one target alone: both percentiles below Postfix's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

KIB = 1024


@dataclass(frozen=True)
class Target:
    """Ratios to meet, Postroad to Postfix: `rate` at least (messages/s), `cpu` at most (CPU s per 1,000)."""

    rate: float
    cpu: float


@dataclass(frozen=True)
class Scenario:
    """One kind of load; `size` is the octets of the body, `warm_up` messages go before those measured.

    `tls`: on both sides of the relay, by resumed sessions; with a connection a message the rate is that of handshakes.
    """

    name: str
    title: str
    messages: int
    size: int = 4 * KIB
    sessions: int = 20
    recipients: int = 1
    reuse: bool = False
    warm_up: int = 400
    per_second: int = 0
    tls: bool = False
    target: Target | None = None


SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        scenario.name: scenario
        for scenario in (
            Scenario("single", "4 KiB, one message per connection", 5000, target=Target(2.5, 1 / 6)),
            Scenario("reused", "4 KiB, connections reused", 6000, reuse=True, target=Target(4, 1 / 8)),
            Scenario("large", "100 KiB, one message per connection", 1500, size=100 * KIB, target=Target(2, 1 / 3)),
            Scenario("fifty", "4 KiB, 50 recipients per message", 1000, recipients=50, target=Target(3, 1 / 6)),
            Scenario("tls", "4 KiB, TLS both sides, reused", 4000, reuse=True, tls=True, target=Target(2, 1 / 3)),
            Scenario("handshakes", "4 KiB, TLS both sides, one message each", 2000, tls=True, target=Target(1, 1 / 2)),
            Scenario("latency", "4 KiB, 40 messages/s, one connection each", 600, per_second=40, warm_up=80),
        )
    }
)
"""All scenarios by name, in the order in which they run."""
