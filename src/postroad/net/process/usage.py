"""What this process takes of the machine, as the kernel counts it: memory, processor, open files.

Read when somebody asks, from /proc and getrusage; nothing here waits.
"""

import os
import resource
from pathlib import Path
from typing import Final

from msgspec import Struct

_PAGE: Final = resource.getpagesize()
_STATM: Final = Path("/proc/self/statm")
_FILES: Final = Path("/proc/self/fd")


class Usage(Struct, frozen=True):
    """Octets in memory, seconds of processor time, open files and how many there may be."""

    memory: int
    seconds: float
    files: int
    most_files: int


def seconds_in_line(pid: int) -> float:
    """How long a process has waited for a processor, its main thread alone; 0 where the kernel does not tell."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def usage_now() -> Usage:
    """What this process takes right now."""
    times = os.times()
    return Usage(
        memory=int(_STATM.read_text().split()[1]) * _PAGE,
        seconds=times.user + times.system,
        files=sum(1 for _ in _FILES.iterdir()),
        most_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )
