"""Slow clients: how much of its rate normal mail keeps while thousands of sessions idle or send an octet a second.

Each run measures the same load twice on a fresh relay each, without and with the slow sessions, in alternating order.
They come from a process of their own, which shares the machine with everything else.
"""

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Self

from tests.bench.load import Sink, Source
from tests.bench.measure import Sampler, cpu_seconds
from tests.bench.relays import PostroadRelay
from tests.bench.scenarios import Scenario
from tests.support.ports import free_port

OPEN_SECONDS = 120.0
PATIENCE = 30.0
SOURCE_SECONDS = 300.0
SETTLE = 2.0
SPARE_SESSIONS = 1000


@dataclass(frozen=True)
class Mail:
    """Normal mail in one measurement: messages/s, CPU seconds in all, the peak of memory, and its count at the sink."""

    rate: float
    cpu: float
    memory: int
    delivered: int
    expected: int
    left: int = 0


@dataclass(frozen=True)
class Loris:
    """What a measurement gave: a `Mail` a run, without and with `sessions` slow ones."""

    scenario: str
    sessions: int
    alone: tuple[Mail, ...]
    beside: tuple[Mail, ...]

    @property
    def kept(self) -> float:
        """The share of its rate that normal mail keeps: the medians' ratio."""
        return median(one.rate for one in self.beside) / median(one.rate for one in self.alone)

    def is_exact(self) -> bool:
        """True when everything arrived once and every slow session was still there in the end."""
        every = self.alone + self.beside
        return all(one.delivered == one.expected for one in every) and all(
            one.left == self.sessions for one in self.beside
        )


class SlowSessions:
    """`count` slow sessions at a port, in a process of their own, between `with` and `end`."""

    def __init__(self, port: int, count: int) -> None:
        self.left = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.slow", str(port), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        if not self._process.stdout.readline().startswith("open"):
            self.__exit__()
            raise RuntimeError("the slow sessions could not be opened")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def end(self) -> int:
        """End them; how many were still open."""
        said, _ = self._process.communicate(timeout=OPEN_SECONDS)
        return int(said.split()[-1])


def loris(scenario: Scenario, sessions: int, runs: int, parent: Path) -> Loris:
    """Measure `runs` times in folders below `parent`."""
    alone: list[Mail] = []
    beside: list[Mail] = []
    for number in range(runs):
        for count in (0, sessions) if number % 2 == 0 else (sessions, 0):
            found = _measure(scenario, count, sessions, parent)
            (beside if count else alone).append(found)
            print(
                f"{scenario.name} beside {count} slow sessions: {found.rate:.0f}/s, "
                f"{found.memory >> 20} MiB, {found.delivered} of {found.expected}",
                file=sys.stderr,
                flush=True,
            )
    return Loris(scenario.name, sessions, tuple(alone), tuple(beside))


def _measure(scenario: Scenario, count: int, sessions: int, parent: Path) -> Mail:
    port = free_port()
    relay = PostroadRelay(f"smtp://127.0.0.1:{port}", parent, sessions=sessions + SPARE_SESSIONS)
    try:
        relay.start()
        with Sink(port) as sink:
            if not count:
                return _mail(scenario, relay, sink)
            with SlowSessions(relay.port, count) as slow:
                found = _mail(scenario, relay, sink)
                return Mail(found.rate, found.cpu, found.memory, found.delivered, found.expected, slow.end())
    finally:
        relay.remove()


def _mail(scenario: Scenario, relay: PostroadRelay, sink: Sink) -> Mail:
    Source(scenario, relay.port, scenario.warm_up).wait(SOURCE_SECONDS)
    sink.wait(scenario.warm_up, patience=PATIENCE)
    time.sleep(SETTLE)
    before, cpu = sink.count, cpu_seconds(relay.pid)
    with Sampler(relay.pid) as sampler:
        source = Source(scenario, relay.port, scenario.messages)
        accepted = source.wait(SOURCE_SECONDS)
        last = sink.wait(before + scenario.messages, patience=PATIENCE)
    return Mail(
        rate=scenario.messages / (max(last, accepted) - source.started),
        cpu=cpu_seconds(relay.pid) - cpu,
        memory=sampler.peak,
        delivered=sink.count - before,
        expected=scenario.messages,
    )
