"""A private PostgreSQL: its own cluster in one temporary folder, on one loopback port, with one user and a password.

Needs the Debian package `postgresql`. The server refuses to run as root, so then it runs as the package's user.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.ports import free_port

USER = "postroad"
PASSWORD = "a secret: no log has it"
START_SECONDS = 30.0
STOP_SECONDS = 20.0


def _program(name: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if not found:
        raise FileNotFoundError(f"{name} not found: install the Debian package postgresql")
    return str(found[-1])


class Postgres:
    """One private server; usable as a context."""

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self.url = f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"
        self._who: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if _is_root() else {}
        self._process: subprocess.Popen[bytes] | None = None
        password = self.folder / "password"
        password.write_text(PASSWORD)
        if self._who:
            for path in (self.folder, password):
                shutil.chown(path, "postgres", "postgres")
        options = ["-U", USER, "-A", "scram-sha-256", f"--pwfile={password}", "--no-sync", "-E", "UTF8"]
        subprocess.run(
            [_program("initdb"), "-D", self.folder / "data", *options],
            check=True,
            capture_output=True,
            cwd=self.folder,
            **self._who,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start, and wait until it answers."""
        data = self.folder / "data"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [_program("postgres"), "-F", "-D", data, "-h", "127.0.0.1", "-p", str(self.port), "-k", self.folder],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                **self._who,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._psql("SELECT 1").returncode == 0:
                return
            time.sleep(0.05)
        raise RuntimeError((self.folder / "log").read_text(errors="replace")[-2000:])

    def kill(self) -> None:
        """Kill the server and all its processes at once."""
        process, self._process = self._process, None
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_SECONDS)
            (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    def freeze(self) -> None:
        """Take no connections and hear of no cancellations until `thaw`; what runs goes on."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def run(self, sql: str) -> None:
        """Execute statements."""
        done = self._psql(sql)
        if done.returncode:
            raise RuntimeError(done.stderr)

    def _psql(self, sql: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [_program("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", self.url, "-c", sql],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "PGPASSWORD": PASSWORD, "PGCONNECT_TIMEOUT": "5"},
            timeout=START_SECONDS,
        )


def _is_root() -> bool:
    return os.geteuid() == 0
