"""The relay under test, life after life in one folder, and its next hops: started, killed, started again.

A life begins with a start and ends with a kill, a SIGTERM, or by itself, which it must not. Everything that is written
about lives here is read by `account`: when each ended and how.
"""

import http.client
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.soak.plan import Ports, configuration
from tests.soak.watch import Watch
from tests.support.families import descendants, send_signal
from tests.support.relay import greets

START_SECONDS = 40.0
STOP_SECONDS = 60.0  # longer than the relay's own drain
ORPHAN_SECONDS = 10.0
Way = Literal["", "killed", "terminated", "fell"]


@dataclass
class Life:
    """One life of the relay: when it began to answer, when it ended and how ("" while it lives)."""

    number: int
    began: float
    answered: float = 0.0
    ended: float = 0.0
    way: Way = ""


@dataclass
class Lives:
    """Everything that died, and when: lives of the relay, sinks by temper, children of the relay by role."""

    relay: list[Life] = field(default_factory=list)
    sinks: list[tuple[float, str]] = field(default_factory=list)
    children: list[tuple[float, str]] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def trouble(self, text: str) -> None:
        """Something is wrong; said at once, and a fault in the end."""
        self.troubles.append(text)
        print(f"soak: {text}", file=sys.stderr, flush=True)


class Relay:
    """`postroad serve`, restarted as often as wanted. One thread at a time may start and end it: hold `lock`."""

    def __init__(self, folder: Path, data: Path, ports: Ports, edges: int, lives: Lives, watch: Watch) -> None:
        self.folder = folder
        self.data = data
        self.ports = ports
        self.edges = edges
        self.lives = lives
        self.watch = watch
        self.lock = threading.RLock()
        self.config = folder / "postroad.toml"
        self._process: subprocess.Popen[bytes] | None = None
        self.configure("A")

    def configure(self, kind: str) -> None:
        """Put a configuration in place, in one step."""
        fresh = self.config.with_suffix(".new")
        fresh.write_text(configuration(kind, str(self.data), self.ports, self.edges))
        fresh.rename(self.config)

    @property
    def pid(self) -> int:
        """Process id; 0 when it does not run."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else 0

    def start(self, is_allowed_to_fail: Callable[[], bool] = lambda: False) -> None:
        """Start and wait until it greets; again and again while it may fail, else RuntimeError."""
        while True:
            life = Life(len(self.lives.relay) + 1, time.time())
            log = self.folder / f"life-{life.number}.log"
            with log.open("ab") as out:
                self._process = process = subprocess.Popen(
                    [sys.executable, "-m", "postroad", "serve", "-c", str(self.config)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=out,
                    cwd=self.folder,
                )
            self.lives.relay.append(life)
            self.watch.follow(log)
            deadline = time.monotonic() + START_SECONDS
            while process.poll() is None and time.monotonic() < deadline:
                if greets(self.ports.relay):
                    life.answered = time.time()
                    return
                time.sleep(0.02)
            self._end("fell")
            if not is_allowed_to_fail():
                raise RuntimeError(f"the relay did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.5)

    def kill(self) -> None:
        """SIGKILL; what it leaves behind must be gone at once, too."""
        pid = self.pid
        if not pid:
            self._fallen()
            return
        family = descendants(pid)
        send_signal(pid, signal.SIGKILL)
        self._end("killed")
        deadline = time.monotonic() + ORPHAN_SECONDS
        while left := [one for one in family if Path(f"/proc/{one}/cmdline").exists()]:
            if time.monotonic() > deadline:
                self.lives.trouble(f"processes outlived the killed relay: {left}")
                for one in left:
                    send_signal(one, signal.SIGKILL)
                return
            time.sleep(0.01)

    def terminate(self) -> None:
        """SIGTERM, and wait for the end: a drain, which must end in time and with status 0."""
        process = self._process
        if process is None or not self.pid:
            self._fallen()
            return
        process.terminate()
        try:
            status = process.wait(STOP_SECONDS)
            if status:
                self.lives.trouble(f"SIGTERM ended the relay with status {status}")
        except subprocess.TimeoutExpired:
            self.lives.trouble(f"the relay was still there {STOP_SECONDS:.0f} s after SIGTERM")
            process.kill()
        self._end("terminated")

    def _fallen(self) -> None:
        """It does not run; it must not have ended by itself."""
        if self._process is not None:
            self.lives.trouble(f"the relay ended by itself with status {self._process.returncode}")
            self._end("fell")

    def reload(self) -> None:
        """SIGHUP."""
        if pid := self.pid:
            send_signal(pid, signal.SIGHUP)

    def _end(self, way: Way) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if way == "fell":
            process.kill()
        process.wait(STOP_SECONDS)
        life = self.lives.relay[-1]
        life.ended, life.way = time.time(), way

    def metrics(self) -> dict[str, float]:
        """Samples without labels of /metrics; nothing when it does not answer."""
        peer = http.client.HTTPConnection("127.0.0.1", self.ports.desk, timeout=5)
        found: dict[str, float] = {}
        with suppress(OSError, http.client.HTTPException):
            peer.request("GET", "/metrics")
            answer = peer.getresponse()
            if answer.status == 200:
                for line in answer.read().decode().splitlines():
                    name, _, value = line.partition(" ")
                    if "{" not in name and not line.startswith("#"):
                        found[name] = float(value)
        peer.close()
        return found

    def spool_damage(self) -> str:
        """What `postroad spool verify` finds wrong; "" when nothing."""
        command = [sys.executable, "-m", "postroad", "spool", "verify", "-c", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        return "" if done.returncode == 0 else f"{done.stdout}{done.stderr}".strip()


class Helper:
    """A process of this package: `python -m tests.soak.MODULE ARGUMENTS`; what it says on stderr goes to `said`."""

    def __init__(self, module: str, arguments: Sequence[object], said: Path) -> None:
        with said.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"tests.soak.{module}", *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stderr=out,
            )

    def kill(self) -> str:
        """SIGKILL; how it had ended before, which it must not have."""
        status = self._process.poll()
        self._process.kill()
        self._process.wait(STOP_SECONDS)
        return "" if status is None else f"ended by itself with {status}"

    def terminate(self, seconds: float) -> str:
        """SIGTERM, and wait for its end; what is wrong with that."""
        self._process.terminate()
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return f"was not done {seconds:.0f} s after SIGTERM"
        return f"ended with {status}" if status else ""


class SinkProcess:
    """One next hop as a process; `notes` is what it noted in all its lives."""

    def __init__(self, temper: str, port: int, notes: Path, lives: Lives, seed: int) -> None:
        self.temper = temper
        self.port = port
        self.notes = notes
        self.said = notes.with_name(f"{notes.name}.stderr")
        self.lives = lives
        self.seed = seed
        self._helper: Helper | None = None

    def start(self) -> None:
        """Start it; it is there a moment later."""
        self.seed += 1
        self._helper = Helper("sink", (self.port, self.notes, self.temper, self.seed), self.said)

    def kill(self) -> None:
        """SIGKILL."""
        helper, self._helper = self._helper, None
        if helper is not None:
            if wrong := helper.kill():
                self.lives.trouble(f"the sink {self.temper} {wrong}")
            self.lives.sinks.append((time.time(), self.temper))


class ClientProcess:
    """Clients as one process."""

    def __init__(self, port: int, notes: Path, name: str, rate: float, seed: int) -> None:
        self.notes = notes
        self.said = notes.with_name(f"{notes.name}.stderr")
        self._helper = Helper("client", (port, notes, name, f"{rate:.2f}", seed), self.said)

    def stop(self) -> str:
        """Let it finish; what is wrong with its end."""
        return self._helper.terminate(STOP_SECONDS * 2)

    def kill(self) -> None:
        """SIGKILL."""
        self._helper.kill()
