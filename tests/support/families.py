"""Families of processes: everybody below one, signals to those that may be gone, and waiting until they are."""

import contextlib
import os
import signal
import time
from pathlib import Path

STOP_SECONDS = 10.0


def send_signal(pid: int, number: signal.Signals) -> None:
    """Send it; nothing when the process is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_until_gone(pids: set[int]) -> None:
    """Wait until none of `pids`, which were killed, has anything open any more."""
    deadline = time.monotonic() + STOP_SECONDS
    while any(not _is_gone(pid) for pid in pids):
        if time.monotonic() > deadline:
            raise RuntimeError("processes that were killed go on")
        time.sleep(0.02)


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("Z", "X")
    except OSError:
        return True


def descendants(pid: int) -> set[int]:
    """Ids of all processes below `pid`, itself not included."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            parents.setdefault(_parent(entry), []).append(int(entry.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found.update(children)
        waiting.extend(children)
    return found


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0
