"""The two ends of a measurement: smtp-source makes messages, smtp-sink takes and counts them.

Both ship with Postfix and are written in C, so the load costs little beside what is measured. The sink rewrites a
counter line for every message; its output goes to a file in memory, and the last line of it is the exact count.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

from tests.bench.scenarios import Scenario
from tests.support.authority import Issued
from tests.support.postfix import program

COUNT = re.compile(rb"mesg=(\d+)")
START_SECONDS = 10.0
POLL_SECONDS = 0.005
BACKLOG = "5000"
SESSIONS = "10000"
TLS_ENDS = (sys.executable, "-m", "tests.bench.tlsends")


class Sink:
    """A running sink on `host`:`port`; `count` is how many messages it has taken.

    It is smtp-sink, with `answer_after` seconds `tests.bench.slowsink`, or with `tls` that of `tests.bench.tlsends`.
    """

    def __init__(self, port: int, *, host: str = "127.0.0.1", answer_after: int = 0, tls: Issued | None = None) -> None:
        self.port = port
        memory = Path("/dev/shm")
        self._output = tempfile.TemporaryFile(dir=memory if memory.is_dir() else None)  # noqa: SIM115  # as long as self
        drop_root = ["-u", "postfix"] if os.geteuid() == 0 else []
        quick = [program("smtp-sink"), *drop_root, "-c", "-m", SESSIONS, f"{host}:{port}", BACKLOG]
        slow = [sys.executable, "-m", "tests.bench.slowsink", f"{host}:{port}", str(answer_after)]
        if tls is not None:
            slow = [*TLS_ENDS, "sink", f"{host}:{port}", "--certificate", str(tls.certificate), "--key", str(tls.key)]
        self._process = subprocess.Popen(
            slow if answer_after or tls is not None else quick,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.PIPE,
        )
        self._await_port()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()
        self._output.close()

    @property
    def count(self) -> int:
        """Messages taken so far, exactly."""
        descriptor = self._output.fileno()
        size = os.fstat(descriptor).st_size
        found = COUNT.findall(os.pread(descriptor, 256, max(size - 256, 0)))
        return int(found[-1]) if found else 0

    def wait(self, count: int, *, patience: float) -> float:
        """Wait for message number `count`; monotonic time when it was there, or of the last one that came.

        Gives up when no message came for `patience` seconds: the caller compares `count`.
        """
        seen, since = self.count, time.monotonic()
        while seen < count and time.monotonic() - since < patience:
            time.sleep(POLL_SECONDS)
            now = self.count
            if now != seen:
                seen, since = now, time.monotonic()
        return since

    def _await_port(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.01)
        self._process.kill()
        raise RuntimeError(f"smtp-sink did not start: {self._process.communicate()[1].decode(errors='replace')}")


class Source:
    """A running smtp-source: sends `messages` of the scenario's kind to 127.0.0.1:`port`."""

    def __init__(self, scenario: Scenario, port: int, messages: int) -> None:
        arguments = ["-4", "-M", "client.example.com", "-f", "sender@example.com", "-t", "recipient@example.net"]
        arguments += ["-s", str(min(scenario.sessions, messages)), "-m", str(messages), "-l", str(scenario.size)]
        arguments += ["-r", str(scenario.recipients)] if scenario.recipients > 1 else []
        arguments += ["-d"] if scenario.reuse else []
        command = [program("smtp-source"), *arguments, f"127.0.0.1:{port}"]
        if scenario.tls:
            counts = ["--messages", messages, "--sessions", scenario.sessions, "--size", scenario.size]
            command = [*TLS_ENDS, "source", f"127.0.0.1:{port}", *map(str, counts), *["--reuse"] * scenario.reuse]
        self.started = time.monotonic()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def wait(self, seconds: float) -> float:
        """Wait for the end; monotonic time then. RuntimeError when the relay refused something or time is up."""
        try:
            said = self._process.communicate(timeout=seconds)[1].decode(errors="replace")
        except subprocess.TimeoutExpired:
            self.end()
            raise RuntimeError(f"smtp-source was not done after {seconds:.0f} s") from None
        if self._process.returncode:
            raise RuntimeError(f"smtp-source: {said.strip()}")
        return time.monotonic()

    def end(self) -> None:
        """Kill it, if it still runs."""
        self._process.kill()
        self._process.communicate()
