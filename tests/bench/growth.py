"""Queue growth: mail keeps coming while the next hop is down, the relay is restarted, and the next hop returns.

Fills the queue in batches of 10,000 over reused connections, nobody listening at the next hop, and compares the last
batch's accept rate with the first's; samples memory all the while; restarts the relay with the next hop back, and
waits until the sink has every message exactly once.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.load import Sink, Source
from tests.bench.measure import Sampler
from tests.bench.relays import Relay, make_relay
from tests.bench.scenarios import KIB, Scenario
from tests.support.ports import free_port

BATCH = 10_000
BATCH_SECONDS = 600.0
PATIENCE = 120.0
SETTLE = 2.0
MIB = KIB * KIB


@dataclass(frozen=True)
class Growth:
    """What one growth measurement gave. Rates in messages/s, times in seconds, memory (PSS peak) in octets."""

    relay: str
    messages: int
    delivered: int
    first_rate: float
    last_rate: float
    slowest_rate: float
    memory_filling: int
    memory_draining: int
    restart: float
    first_delivery: float
    drain_rate: float

    def promises(self) -> list[tuple[str, bool]]:
        """Each promise in words with its number, and whether it was kept."""
        kept = self.last_rate / self.first_rate
        memory = max(self.memory_filling, self.memory_draining) / MIB
        return [
            (f"accept rate of the last batch {kept:.0%} of the first's (at least 80 %)", kept >= 0.8),
            (f"memory at most {memory:.0f} MiB (under 300 MiB)", memory < 300),
            (f"restart to first delivery {self.first_delivery:.1f} s (under 10 s)", self.first_delivery < 10),
            (f"delivered {self.delivered} of {self.messages}", self.delivered == self.messages),
        ]


def grow(relay_name: str, messages: int, size: int, parent: Path) -> Growth:
    """Run the measurement with a new relay in a folder below `parent`; `size` is octets a message."""
    port = free_port()
    relay = make_relay(relay_name, port, parent)
    try:
        relay.start()
        rates, filling = _fill(relay, messages, size)
        relay.stop()
        with Sink(port) as sink:
            begin = time.monotonic()
            relay.start()
            restart = time.monotonic() - begin
            with Sampler(relay.pid, interval=1.0) as draining:
                first = sink.wait(1, patience=PATIENCE) - begin
                last = sink.wait(messages, patience=PATIENCE) - begin
            time.sleep(SETTLE)
            return Growth(
                relay=relay_name,
                messages=messages,
                delivered=sink.count,
                first_rate=rates[0],
                last_rate=rates[-1],
                slowest_rate=min(rates),
                memory_filling=filling,
                memory_draining=draining.peak,
                restart=restart,
                first_delivery=first,
                drain_rate=sink.count / max(last - first, 0.001),
            )
    finally:
        relay.remove()


def _fill(relay: Relay, messages: int, size: int) -> tuple[list[float], int]:
    """Accept rate of every batch, and the peak of memory meanwhile."""
    rates: list[float] = []
    done = 0
    batch = min(BATCH, -(-messages // 2))
    with Sampler(relay.pid, interval=1.0) as sampler:
        while done < messages:
            count = min(batch, messages - done)
            scenario = Scenario("growth", "queue growth", count, size=size, reuse=True)
            source = Source(scenario, relay.port, count)
            rates.append(count / (source.wait(BATCH_SECONDS) - source.started))
            done += count
            print(f"growth {relay.name}: {done}/{messages} accepted, {rates[-1]:.0f}/s", file=sys.stderr)
    return rates, sampler.peak
