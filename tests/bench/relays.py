"""The relays that are measured, each started afresh in a folder of its own: Postroad and a well-tuned Postfix.

Both accept on one loopback port from 127.0.0.0/8, send everything to one SMTP next hop, write one log to a file and
are durable. A relay can be stopped and started again on the same queue (the growth measurement does).
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from tests.support.authority import Issued
from tests.support.ports import free_port
from tests.support.postfix import TUNED, Postfix, smtp_to

COMPILE = Path(__file__).resolve().parents[2] / "tools" / "compile.py"
START_SECONDS = 30.0
STOP_SECONDS = 30.0
DELIVERIES = 500  # the default of `queue.deliveries`
SLOW_DELIVERIES = 5000
SLOW_PROCESSES = 500

POSTROAD_CONFIG = """\
hostname = "relay.example.com"
data_dir = "{folder}/data"

[listeners.bench]
bind = ["127.0.0.1:{port}"]
tls = "off"

[access]
relay_networks = ["127.0.0.0/8"]

[[routes]]
recipients = ["*"]
next_hops = ["{next_hop}"]

[queue]
deliveries = {deliveries}
retry = ["5s"]
suspend = ["5s"]
warn_after = "never"

[limits]
sessions = {sessions}
sessions_per_ip = {sessions}

[log]
format = "json"
"""

POSTROAD_USERS = """
[auth]
plain_text_networks = ["127.0.0.0/8"]

[auth.users]
file = "{users}"
"""
POSTROAD_TLS = '\n[delivery]\ntls = "required"\n'
TLSPROXY = "tlsproxy unix - - n - 0 tlsproxy\n"
PROCESSES = "\n[process]\nedges = {edges}\n"
EDGES: Mapping[str, int] = MappingProxyType({"postroad": 0, "postroad-1": 1, "postroad-2": 2})
"""Names of Postroad in the bench, by its edge processes; 0 is the default: one process does everything."""


class Relay(Protocol):
    """What the bench needs of a relay; `port` accepts, `pid` is the root of its process tree."""

    name: str
    port: int

    @property
    def pid(self) -> int: ...

    def start(self) -> None:
        """Start and return when the port accepts; RuntimeError with the log's end when it does not."""

    def stop(self) -> None:
        """Stop, keeping the queue."""

    def remove(self) -> None:
        """Stop, and remove every file."""


class PostfixRelay:
    """Postfix with the settings TUNED of tests.support.postfix."""

    def __init__(
        self, transport: str, parent: Path, more: Mapping[str, str] = MappingProxyType({}), tls: Issued | None = None
    ) -> None:
        # Growth measures retries of refused connections: look again as often as Postroad is told to.
        often = {"queue_run_delay": "5s", "minimal_backoff_time": "5s", "maximal_backoff_time": "5s"}
        self.name = "postfix"
        services = ""
        if tls is not None:
            often |= postfix_tls(tls)
            services = TLSPROXY
        self._postfix = Postfix(transport, settings={**TUNED, **often, **more}, services=services, parent=parent)
        self.port = self._postfix.port

    @property
    def pid(self) -> int:
        return self._postfix.pid

    def start(self) -> None:
        self._postfix.start()

    def stop(self) -> None:
        self._postfix.stop(keep=True)

    def remove(self) -> None:
        self._postfix.stop()


class PostroadRelay:
    """`postroad serve` from the environment that runs the bench; `name` is one of EDGES."""

    def __init__(  # what the configuration is made of
        self,
        next_hop: str,
        parent: Path,
        *,
        name: str = "postroad",
        sessions: int = 2000,
        deliveries: int = DELIVERIES,
        tls: Issued | None = None,
        users: Path | None = None,
    ) -> None:
        self.name = name
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="postroad-", dir=parent))
        self._config = self.folder / "postroad.toml"
        values = {"folder": self.folder, "port": self.port, "next_hop": next_hop}
        limits = {"sessions": sessions, "deliveries": deliveries}
        processes = PROCESSES.format(edges=EDGES[name]) if EDGES[name] else ""
        text = POSTROAD_CONFIG.format(**values, **limits) + processes
        if tls is not None:
            text = text.replace('tls = "off"', 'tls = "starttls"') + f"\n[tls]\n{tls.options}{POSTROAD_TLS}"
        if users is not None:
            text = text.replace("\ntls =", '\nauth = "optional"\ntls =', 1) + POSTROAD_USERS.format(users=users)
        self._config.write_text(text)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("Postroad is not running")
        return self._process.pid

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [postroad_command(), "serve", "-c", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=START_SECONDS) as peer:
                    if peer.recv(512).startswith(b"220"):
                        return
            except OSError:
                pass
            time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"Postroad did not start: {self._log_end()}")

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its own session: the group is Postroad and its edges alone
            process.wait(STOP_SECONDS)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _log_end(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-2000:]


def postroad_command() -> str:
    """Path of the `postroad` command beside this Python; FileNotFoundError tells how to get it."""
    path = Path(sys.executable).with_name("postroad")
    if not path.exists():
        raise FileNotFoundError(f"{path} not found: run `make venv` first")
    return str(path)


def compiled() -> str:
    """The folder with the compiled package, made when it is not there yet; RuntimeError when it cannot be made."""
    done = subprocess.run([sys.executable, str(COMPILE)], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError("Postroad cannot be compiled (--interpreted measures it as it is)")
    return done.stdout.strip()


def make_relay(name: str, next_hop: int, parent: Path, *, tls: Issued | None = None) -> Relay:
    """A new, not yet started relay of that name (of EDGES, or "postfix"), whose mail all goes to one next hop.

    With `tls`, its certificate, it offers STARTTLS and demands it of the next hop.
    """
    if name in EDGES:
        return PostroadRelay(f"smtp://127.0.0.1:{next_hop}", parent, name=name, tls=tls)
    return PostfixRelay(smtp_to(next_hop), parent, tls=tls)


def postfix_tls(tls: Issued) -> dict[str, str]:
    """TLS on both sides, as Postfix does it best: sessions and connections are reused."""
    return {
        "smtpd_tls_security_level": "may",
        "smtpd_tls_cert_file": str(tls.certificate),
        "smtpd_tls_key_file": str(tls.key),
        "smtpd_tls_session_cache_database": "btree:${data_directory}/smtpd_scache",
        "smtp_tls_security_level": "encrypt",
        "smtp_tls_session_cache_database": "btree:${data_directory}/smtp_scache",
        "smtp_tls_connection_reuse": "yes",
        "smtp_connection_cache_on_demand": "yes",
    }


def make_spreader(name: str, parent: Path, *, slow: bool = False) -> Relay:
    """As `make_relay`, but each recipient's mail goes to the recipient's own domain.

    `slow`: next hops take their time to answer, so what counts is how many of them can be waited for at once. Each
    relay gets what its design bears: a process of Postfix takes 1.6 MiB of its own, a connection of Postroad 10 KiB.
    """
    if name in EDGES:
        return PostroadRelay("mx", parent, name=name, deliveries=SLOW_DELIVERIES if slow else DELIVERIES)
    return PostfixRelay("smtp:", parent, {"default_process_limit": str(SLOW_PROCESSES)} if slow else {})


RELAYS = ("postfix", *EDGES)
