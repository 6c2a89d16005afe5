"""The size of the relay while it runs: memory and open files of each process, tasks and counts of /metrics.

Sampled once a second in a thread. What the samples say is decided by pure functions, so that tests can ask them.
"""

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.soak.site import Relay
from tests.support.families import descendants

EVERY = 1.0
PAGE = 4096
MIB = 1 << 20
SHORTEST = 45.0  # seconds that a process must live before its memory is judged
WARM_UP = 5.0  # seconds of a life that are left out
ALLOWED_GROWTH = 1.06
ALLOWED_OCTETS = 6 * MIB


@dataclass(frozen=True)
class Sample:
    """One process at one time: octets of memory, open files."""

    at: float
    pid: int
    memory: int
    files: int


def of_process(pid: int) -> tuple[int, int]:
    """Memory and open files of a process now; OSError when it is gone."""
    memory = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    return memory, sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def thirds(samples: list[Sample]) -> tuple[float, float, float]:
    """Medians of memory in the three thirds of what one process lived."""
    size = len(samples) // 3
    parts = (samples[:size], samples[size : 2 * size], samples[2 * size :])
    first, second, third = (median(sample.memory for sample in part) for part in parts)
    return first, second, third


def growth(samples: list[Sample]) -> str:
    """What is wrong with the memory of one process; "" when it is flat, or lived too short to say."""
    if not samples or samples[-1].at - samples[0].at < SHORTEST:
        return ""
    _, second, third = thirds([sample for sample in samples if sample.at - samples[0].at >= WARM_UP])
    if third <= second * ALLOWED_GROWTH + ALLOWED_OCTETS:
        return ""
    return (
        f"memory of process {samples[0].pid} grew from {second / MIB:.1f} to {third / MIB:.1f} MiB (medians of thirds)"
    )


class Gauges:
    """Samples a relay until stopped."""

    def __init__(self, relay: Relay) -> None:
        self.samples: dict[int, list[Sample]] = {}
        self.metrics: list[tuple[float, dict[str, float]]] = []
        self._relay = relay
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gauges", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Sample no more."""
        self._over.set()
        self._thread.join(30)

    def growths(self) -> list[str]:
        """What is wrong with the memory of all processes."""
        return [text for samples in self.samples.values() if (text := growth(samples))]

    def _run(self) -> None:
        count = 0
        while not self._over.wait(EVERY):
            count += 1
            if pid := self._relay.pid:
                for one in (pid, *descendants(pid)):
                    self._sample(one)
                if count % 5 == 0 and (found := self._relay.metrics()):
                    self.metrics.append((time.time(), found))

    def _sample(self, pid: int) -> None:
        try:
            memory, files = of_process(pid)
        except OSError:
            return  # it has just died
        now = time.time()
        samples = self.samples.setdefault(pid, [])
        samples.append(Sample(now, pid, memory, files))
