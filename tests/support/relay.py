"""A real Postroad in a process of its own: configuration, data and log in one folder, one loopback port.

`Relay` writes a configuration, starts `python -m postroad serve`, waits until it greets, reads its JSON log, and stops
or kills it. It can be started again on the same folder and port. Every wait has a deadline; leaving the context
also checks that the log holds nothing it must not hold: a traceback, a line that is no record, a message's body.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.ports import free_port

START_SECONDS = 60.0  # of a busy machine
STOP_SECONDS = 40.0  # longer than the relay's own drain
WAIT_SECONDS = 30.0
BODY_CANARY = "q7Zk-this-is-part-of-a-body-and-must-never-be-logged"

Entry = dict[str, Any]  # one line of the JSON log

CONFIGURATION = """\
hostname = "relay.example.com"
data_dir = {data}
postmaster = "postmaster@example.com"

[listeners.test]
bind = ["127.0.0.1:{port}"]

[access]
relay_networks = ["127.0.0.0/8"]

[resolver]
nameservers = ["127.0.0.1:9"]

[log]
format = "{log}"
"""


def route(*next_hops: str, recipients: Sequence[str] = ("*",)) -> str:
    """A `[[routes]]` table."""
    return f"\n[[routes]]\nrecipients = {json.dumps(list(recipients))}\nnext_hops = {json.dumps(list(next_hops))}\n"


CAPTURE = route("capture:")
QUICK_RETRY = '\n[queue]\nretry = ["1s"]\nsuspend = ["1s"]\n'


def wait_until(holds: Callable[[], object], what: str, seconds: float = WAIT_SECONDS) -> None:
    """Return once `holds()` is true; AssertionError naming `what` when that takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds}s: {what}"
        time.sleep(0.02)


class Relay:
    """One relay. `more` is TOML added to the configuration: routes and other sections; `data` its data_dir."""

    def __init__(self, folder: Path, more: str = CAPTURE, *, data: Path | None = None, log: str = "json") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.data = data or folder / "data"
        self.port = free_port()
        self.log_format = log
        self.log_file = folder / "log.jsonl"
        self.config = folder / "postroad.toml"
        self.config.write_text(CONFIGURATION.format(data=json.dumps(str(self.data)), port=self.port, log=log) + more)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            if self._process is not None:
                self.kill()
        if error is None:
            self.check_log()

    def start(self) -> None:
        """Start, and return when the port greets; AssertionError with the log when it does not in time."""
        with self.log_file.open("ab") as log, (self.folder / "stdout").open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "postroad", "serve", "-c", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                cwd=self.folder,
            )
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            if greets(self.port):
                return
            time.sleep(0.02)
        status = self._process.poll()
        self.kill()
        raise AssertionError(f"the relay did not start ({status}): {self.log_file.read_text()[-3000:]}")

    def stop(self) -> int:
        """SIGTERM, and wait for the end; the exit status (0: drained). Harmless when it does not run."""
        process = self._process
        if process is None:
            return 0
        process.send_signal(signal.SIGTERM)
        status = process.wait(STOP_SECONDS)
        self._process = None
        return status

    def kill(self) -> None:
        """SIGKILL: no chance to tidy up."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(STOP_SECONDS)
            whole = self.log_file.read_bytes().rpartition(b"\n")
            os.truncate(self.log_file, len(whole[0] + whole[1]))  # it may have died inside a line

    @property
    def pid(self) -> int:
        """Process id while it runs."""
        assert self._process is not None
        return self._process.pid

    # -- what happened -------------------------------------------------------------------------

    def records(self, kind: str = "", **fields: object) -> list[Entry]:
        """Every record so far of type `kind` (all types when empty) whose `fields` have these values."""
        found = []
        for line in self.log_file.read_bytes().split(b"\n")[:-1]:
            if line.startswith(b"{"):
                entry = json.loads(line)
                if (not kind or entry["record"] == kind) and all(entry.get(n) == v for n, v in fields.items()):
                    found.append(entry)
        return found

    def wait_for(self, kind: str, count: int = 1, seconds: float = WAIT_SECONDS, **fields: object) -> list[Entry]:
        """Those records, once there are at least `count` of them."""
        found: list[Entry] = []

        def enough() -> bool:
            found[:] = self.records(kind, **fields)
            return len(found) >= count

        try:
            wait_until(enough, f"{count} x {kind} {fields}", seconds)
        except AssertionError as error:
            tail = self.log_file.read_text(errors="replace")[-2000:]
            raise AssertionError(f"{error}; there are {len(found)}; the log ends:\n{tail}") from None
        return found

    def captured(self) -> list[bytes]:
        """Every message in the capture folder, oldest name first."""
        return [path.read_bytes() for path in sorted((self.data / "capture").rglob("*.eml"))]

    def wait_captured(self, marker: bytes, count: int = 1) -> list[bytes]:
        """The captured messages that contain `marker`, once there are at least `count`."""
        found: list[bytes] = []

        def enough() -> bool:
            found[:] = [mail for mail in self.captured() if marker in mail]
            return len(found) >= count

        wait_until(enough, f"{count} captured messages with {marker!r}")
        return found

    def is_idle(self) -> bool:
        """True when every accepted message, reports included, has been removed from the queue."""
        taken = {entry["id"] for entry in self.records("MessageAccepted")}
        taken |= {entry["report"] for entry in self.records("DsnQueued")}
        return taken <= {entry["id"] for entry in self.records("MessageRemoved")}

    def check_log(self) -> None:
        """No body is in it; in the format json also: every line is a record, and none tells of a bug."""
        text = self.log_file.read_text()
        assert BODY_CANARY not in text, "a message's body is in the log"
        if self.log_format != "json":
            return
        for line in text.splitlines():
            if line.startswith("warning: running as root") and os.geteuid() == 0:
                continue
            assert line.startswith('{"time":'), f"not a record: {line}\n{text[-3000:]}"
            entry = json.loads(line)
            assert entry["record"] not in {"DeliveryFaulted", "DeskFaulted", "PolicyFaulted", "RecordsDropped"}, line


def greets(port: int) -> bool:
    """True when an SMTP server answers on the loopback port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=START_SECONDS) as peer:
            return peer.recv(512).startswith(b"220")
    except OSError:
        return False
