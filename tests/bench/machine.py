"""Facts about the machine and the programs measured, for the head of every report."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.measure import fsync_latency
from tests.support.postfix import program

ROOT = Path(__file__).resolve().parents[2]


def facts(folder: Path) -> dict[str, str]:
    """Name to value, all text; `folder` is where the queues are going to be."""
    median, slow = fsync_latency(folder)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "processor": f"{_line('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores",
        "memory": f"{int(_line('/proc/meminfo', 'MemTotal').split()[0]) // 1024} MiB",
        "kernel": platform.release(),
        "queue on": _file_system(folder),
        "fdatasync of 4 KiB": f"{median * 1000:.2f} ms median, {slow * 1000:.2f} ms p99",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "Python": platform.python_version(),
        "Postroad": "compiled" if os.environ.get("PYTHONPATH") else "interpreted",
        "Postfix": _run(program("postconf"), "-dh", "mail_version"),
    }


def _commit() -> str:
    commit = _run("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD")
    changed = _run("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no")
    return f"{commit or 'unknown'}{' with changes' if changed else ''}"


def _file_system(folder: Path) -> str:
    return _run("df", "--output=fstype", str(folder)).rpartition("\n")[2] or "unknown"


def _line(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return "0" if "mem" in path else "unknown"


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
