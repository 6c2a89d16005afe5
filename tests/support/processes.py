"""A real Postroad of several processes: who they are, and how to hurt them.

`Processes` is a `Relay` with edges. `kill` is that of the supervisor; it returns when its children are gone too.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.support.relay import CAPTURE, Relay, wait_until

ORPHANS_SECONDS: Final = 10.0


class Processes(Relay):
    """One relay with `edges` edges; 0: the process that does everything."""

    def __init__(
        self, folder: Path, more: str = CAPTURE, *, edges: int = 2, data: Path | None = None, log: str = "json"
    ) -> None:
        super().__init__(folder, more, data=data, log=log)
        self.set_edges(edges)

    def set_edges(self, edges: int) -> None:
        """So many from the next start on."""
        text = self.config.read_text().partition("\n[process]\n")[0]
        self.config.write_text(f"{text}\n[process]\nedges = {edges}\n")

    def start(self) -> None:
        """Start, and return when all processes work."""
        before = len(self.records("ServerStarted")) if self.log_file.exists() else 0
        super().start()
        if self.log_format == "json":
            self.wait_for("ServerStarted", before + 1)

    def children(self) -> list[int]:
        """The process ids of the supervisor's children."""
        return children_of(self.pid)

    def pid_of(self, name: str) -> int:
        """The process id of the courier, or of an edge, that works now."""
        return int(self.records("ProcessStarted", name=name)[-1]["pid"])

    def edge_pids(self) -> list[int]:
        """Those of the edges that are alive."""
        alive = self.children()
        started = [entry for entry in self.records("ProcessStarted") if entry["pid"] in alive]
        return [entry["pid"] for entry in started if entry["name"] != "courier"]

    def hurt(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to the courier or to an edge; its process id."""
        pid = self.pid_of(name)
        os.kill(pid, number)
        return pid

    def hurt_and_wait(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """The same, and wait until another has taken its place."""
        before = len(self.records("ProcessStarted", name=name))
        self.hurt(name, number)
        self.wait_for("ProcessStarted", before + 1, name=name)

    def kill(self) -> None:
        """SIGKILL of the supervisor, and wait until nobody of its house is left."""
        if self._process is not None:
            children = children_of(self._process.pid)
            self._process.kill()
            wait_until(lambda: not any(map(is_alive, children)), "the children to be gone", ORPHANS_SECONDS)
        super().kill()


def keep_records(relay: Relay) -> None:
    """Take what is no record out of the log: complaints of processes that could not start."""
    records = [line for line in relay.log_file.read_text().splitlines(keepends=True) if line.startswith("{")]
    os.truncate(relay.log_file, 0)  # others have it open for appending
    relay.log_file.write_text("".join(records))


MakeRelay = Callable[..., Relay]


def children_of(parent: int) -> list[int]:
    """The processes that `parent` has begun."""
    processes = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [int(entry.name) for entry in processes if _status(entry)[1] == parent]


def is_alive(pid: int) -> bool:
    """True while the process runs; one that only waits to be noticed does not."""
    return _status(Path("/proc") / str(pid))[0] not in {"", "Z", "X"}


def _status(process: Path) -> tuple[str, int]:
    """State and parent."""
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "", 0
    return fields[0], int(fields[1])
