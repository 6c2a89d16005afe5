"""What a relay costs: CPU seconds and memory of a whole process tree, read from the kernel while it runs.

CPU is exact to the nanosecond for live processes (their CPU clock, exited threads included) and to one clock tick
for the children they have already reaped, so short-lived daemons are counted. Memory is the sum of PSS: pages shared
by many processes count once. Linux only.
"""

import os
import threading
import time
from pathlib import Path
from typing import Self

from tests.support.families import descendants

TICK = os.sysconf("SC_CLK_TCK")
KIB = 1024


def family(root: int) -> list[int]:
    """Ids of the process `root` and of everything below it."""
    return [root, *descendants(root)]


def cpu_seconds(root: int) -> float:
    """User and system time, in seconds, used so far by `root`, its descendants and those of them already gone."""
    return sum(_own_cpu(pid) + _reaped_cpu(pid) for pid in family(root))


def pss_bytes(root: int) -> int:
    """Proportional set size, in octets, of `root` and its descendants together."""
    return sum(_pss(pid) for pid in family(root))


def fsync_latency(folder: Path, *, rounds: int = 200) -> tuple[float, float]:
    """Median and 99th percentile, in seconds, of appending 4 KiB to a file in `folder` and fdatasync."""
    path = folder / "fsync-probe"
    times = []
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for _ in range(rounds):
            begin = time.perf_counter()
            os.write(descriptor, b"x" * 4096)
            os.fdatasync(descriptor)
            times.append(time.perf_counter() - begin)
    finally:
        os.close(descriptor)
        path.unlink()
    return percentile(times, 50), percentile(times, 99)


def percentile(values: list[float], percent: float) -> float:
    """The smallest of `values` that at least `percent` in a hundred of them do not exceed; 0 of an empty list."""
    if not values:
        return 0.0
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(int(rank), 1) - 1]


class Sampler:
    """Samples the tree's memory every `interval` seconds in a thread, between `with` and its end."""

    def __init__(self, root: int, *, interval: float = 0.5) -> None:
        self.peak = 0
        self._root = root
        self._interval = interval
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.sample()

    def sample(self) -> None:
        """Take one sample now."""
        self.peak = max(self.peak, pss_bytes(self._root))

    def _run(self) -> None:
        while not self._over.wait(self._interval):
            self.sample()


def _own_cpu(pid: int) -> float:
    # The kernel's clock id of another process: its complement shifted by three, kind 2 (CPUCLOCK_SCHED).
    try:
        return time.clock_gettime(((~pid) << 3) | 2)
    except OSError:
        return 0.0


def _reaped_cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[13]) + int(fields[14])) / TICK


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * KIB for line in lines if line.startswith("Pss:"))
