"""One measurement: one scenario, one relay, fresh. The result says what came out at the far end, exactly.

The clock runs from the start of smtp-source to the sink's last message; CPU from then until the relay has tidied up
(SETTLE seconds later). A warm-up of the same load goes first, so that processes and caches are there.
"""

import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.latency import latencies
from tests.bench.load import Sink, Source
from tests.bench.measure import Sampler, cpu_seconds, percentile, pss_bytes
from tests.bench.relays import Relay, make_relay
from tests.bench.scenarios import Scenario
from tests.support.ports import free_port

PATIENCE = 30.0
SETTLE = 0.5
SOURCE_SECONDS = 300.0


@dataclass(frozen=True)
class Result:
    """Numbers of one measurement. Times in seconds, memory in octets; latency is 0 where it was not measured.

    `rate` counts to the sink's last message, `accept_rate` to the last 250 of the relay. `delivered` is the sink's
    count without the warm-up: anything but `expected` is a loss or a duplicate.
    """

    scenario: str
    relay: str
    expected: int
    delivered: int
    rate: float
    accept_rate: float
    cpu_per_1000: float
    memory: int
    latency_p50: float = 0.0
    latency_p99: float = 0.0


def measure(scenario: Scenario, relay_name: str, parent: Path, profile: Path | None = None) -> Result:
    """Start the relay in a new folder below `parent`, run the scenario on it, remove it. `profile`: see `_profiler`."""
    port = free_port()
    relay = make_relay(relay_name, port, parent)
    try:
        relay.start()
        if scenario.per_second:
            return _latency(scenario, relay, port)
        with Sink(port) as sink:
            return _throughput(scenario, relay, sink, profile)
    finally:
        relay.remove()


def _throughput(scenario: Scenario, relay: Relay, sink: Sink, profile: Path | None) -> Result:
    Source(scenario, relay.port, scenario.warm_up).wait(SOURCE_SECONDS)
    sink.wait(scenario.warm_up, patience=PATIENCE)
    time.sleep(SETTLE)
    profiler = _profiler(relay.pid, profile) if profile else None
    before, cpu = sink.count, cpu_seconds(relay.pid)
    with Sampler(relay.pid) as sampler:
        source = Source(scenario, relay.port, scenario.messages)
        accepted = source.wait(SOURCE_SECONDS)
        last = sink.wait(before + scenario.messages, patience=PATIENCE)
    time.sleep(SETTLE)
    cpu = cpu_seconds(relay.pid) - cpu
    if profiler:
        profiler.send_signal(signal.SIGINT)
        profiler.wait(PATIENCE)
    return Result(
        scenario=scenario.name,
        relay=relay.name,
        expected=scenario.messages,
        delivered=sink.count - before,
        rate=scenario.messages / (max(last, accepted) - source.started),
        accept_rate=scenario.messages / (accepted - source.started),
        cpu_per_1000=cpu * 1000 / scenario.messages,
        memory=sampler.peak,
    )


def _latency(scenario: Scenario, relay: Relay, port: int) -> Result:
    start: list[tuple[float, float]] = []
    run = latencies(scenario, relay.port, port, lambda: start.append((cpu_seconds(relay.pid), time.monotonic())))
    cpu = cpu_seconds(relay.pid) - start[0][0]
    rate = scenario.messages / (max(run.arrived.values(), default=time.monotonic()) - start[0][1])
    return Result(
        scenario=scenario.name,
        relay=relay.name,
        expected=scenario.messages,
        delivered=run.delivered,
        rate=rate,
        accept_rate=rate,
        cpu_per_1000=cpu * 1000 / scenario.messages,
        memory=pss_bytes(relay.pid),  # once, after: a sampler beside the clients would show in their times
        latency_p50=percentile(run.seconds, 50),
        latency_p99=percentile(run.seconds, 99),
    )


def _profiler(pid: int, output: Path) -> "subprocess.Popen[bytes]":
    """py-spy on a running relay until interrupted; `output` gets collapsed stacks (flamegraph.pl, speedscope.app).

    Only threads that hold the interpreter are sampled: blocked workers would else look busy. It slows the relay.
    """
    beside = Path(sys.executable).with_name("py-spy")
    command = str(beside) if beside.exists() else shutil.which("py-spy")
    if command is None:
        raise FileNotFoundError("py-spy not found: pip install py-spy")
    arguments = ["record", "--pid", str(pid), "--format", "raw", "--rate", "200", "--gil", "--output", str(output)]
    return subprocess.Popen([command, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
