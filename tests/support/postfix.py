"""A private Postfix: its own configuration, queue, data and log in one temporary folder, on one loopback port.

The instance shares nothing with a Postfix configured in /etc/postfix, runs beside any number of others, and is
gone, processes and files, after `stop`. Every wait is bounded. Needs the Debian package `postfix` and root
(Postfix's master changes user for its daemons). No TLS, no SASL, no chroot, no DNS unless a setting says so.

Where mail goes is one transport string: `smtp_to`, `lmtp_to`, `lmtp_socket` and MAILDIR make it. `TUNED` holds
the settings for measuring: limits raised, delays dropped, look-ups off, and still durable.
"""

import grp
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from tests.support.families import descendants, send_signal
from tests.support.ports import free_port

START_SECONDS = 60.0
STOP_SECONDS = 10.0
PROGRAM_FOLDERS = ("/usr/sbin", "/usr/lib/postfix/sbin", "/usr/libexec/postfix")

MAILDIR = "virtual:"
"""Transport: final delivery of every recipient into the folder `Postfix.maildir`."""

BASE: Mapping[str, str] = MappingProxyType(
    {
        "compatibility_level": "3.6",
        "myhostname": "postfix.example.com",
        "mydestination": "",
        "mynetworks": "127.0.0.0/8 [::1]/128",
        "inet_protocols": "all",
        "inet_interfaces": "127.0.0.1",
        "alias_maps": "",
        "alias_database": "",
        "local_recipient_maps": "",
        "local_transport": "error:no local mail",
        "smtpd_relay_restrictions": "permit_mynetworks, reject",
        "smtpd_peername_lookup": "no",
        "smtp_dns_support_level": "disabled",
        "smtp_host_lookup": "native",
        "smtpd_tls_security_level": "none",
        "smtp_tls_security_level": "none",
        "append_dot_mydomain": "no",
        "biff": "no",
        "message_size_limit": "0",
        "mailbox_size_limit": "0",
        "virtual_mailbox_limit": "0",
    }
)

TUNED: Mapping[str, str] = MappingProxyType(
    {
        # Enough processes for every session of a run, none of them replaced while it lasts.
        "default_process_limit": "100",
        "max_use": "100000",
        "max_idle": "600s",
        "ipc_idle": "600s",
        "ipc_ttl": "3600s",
        # The queue manager neither slows intake nor starts small.
        "in_flow_delay": "0",
        "qmgr_message_active_limit": "100000",
        "qmgr_message_recipient_limit": "100000",
        "initial_destination_concurrency": "20",
        "default_destination_concurrency_limit": "20",
        # On loopback a new session costs less than one handed over by scache: 10 % less CPU, measured both ways.
        "smtp_connection_cache_on_demand": "no",
        # No counting of clients, no pauses.
        "smtpd_client_connection_count_limit": "0",
        "smtpd_client_connection_rate_limit": "0",
        "smtpd_client_message_rate_limit": "0",
        "smtpd_client_recipient_rate_limit": "0",
        "smtpd_error_sleep_time": "0",
        # No work that plain relaying does not ask for.
        "smtpd_client_restrictions": "",
        "smtpd_recipient_restrictions": "",
        "smtpd_reject_unlisted_recipient": "no",
        "local_header_rewrite_clients": "",
        "smtputf8_enable": "no",
        "fast_flush_domains": "",
        "smtp_pix_workarounds": "",
        "receive_override_options": "no_address_mappings,no_header_body_checks,no_milters",
    }
)

SERVICES = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix  n - n 60    1 pickup
cleanup   unix  n - n -     0 cleanup
qmgr      unix  n - n 300   1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n -     - trivial-rewrite
bounce    unix  - - n -     0 bounce
defer     unix  - - n -     0 bounce
trace     unix  - - n -     0 bounce
verify    unix  - - n -     1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n -     - proxymap
proxywrite unix - - n -     1 proxymap
smtp      unix  - - n -     - smtp
relay     unix  - - n -     - smtp
lmtp      unix  - - n -     - lmtp
showq     unix  n - n -     - showq
error     unix  - - n -     - error
retry     unix  - - n -     - error
discard   unix  - - n -     - discard
local     unix  - n n -     - local
virtual   unix  - n n -     - virtual
anvil     unix  - - n -     1 anvil
scache    unix  - - n -     1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


PRIVATE_FOLDERS = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private")
QUEUE_FOLDERS: Mapping[str, tuple[int, str, str]] = MappingProxyType(
    {
        **dict.fromkeys(PRIVATE_FOLDERS, (0o700, "postfix", "root")),
        "saved": (0o700, "postfix", "root"),
        "trace": (0o700, "postfix", "root"),
        "maildrop": (0o730, "postfix", "postdrop"),
        "public": (0o710, "postfix", "postdrop"),
        "pid": (0o755, "root", "root"),
    }
)
"""Folders of a queue directory: mode, owner, group (postfix-files of the package)."""


def smtp_to(port: int, host: str = "127.0.0.1") -> str:
    """Transport: everything to one SMTP next hop, no MX look-up."""
    return f"smtp:[{host}]:{port}"


def lmtp_to(port: int, host: str = "127.0.0.1") -> str:
    """Transport: everything to one LMTP server over TCP."""
    return f"lmtp:inet:{host}:{port}"


def lmtp_socket(path: Path) -> str:
    """Transport: everything to one LMTP server on a Unix socket; the user `postfix` must be able to reach it."""
    return f"lmtp:unix:{path}"


def program(name: str) -> str:
    """Full path of a program of the Postfix package; FileNotFoundError names the package when it is missing."""
    for folder in PROGRAM_FOLDERS:
        path = Path(folder, name)
        if path.is_file():
            return str(path)
    raise FileNotFoundError(f"{name} not found: install the Debian package postfix")


class Postfix:
    """One private instance. Use as a context manager, or call `start` and, always, `stop`.

    `transport` is where all mail goes. `settings` are main.cf lines on top of BASE (for instance TUNED), `services`
    more master.cf lines. `parent` is the folder to make the instance's own folder in; it must be on the disk that is
    meant (fsync!) and readable by the user `postfix` (pytest's tmp_path is not).
    """

    def __init__(
        self,
        transport: str,
        *,
        settings: Mapping[str, str] | None = None,
        services: str = "",
        port: int = 0,
        parent: Path | None = None,
    ) -> None:
        self.transport = transport
        self.port = port or free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="postfix-", dir=parent))
        self.config = self.directory / "etc"
        self.queue_directory = self.directory / "queue"
        self.log_file = self.directory / "log" / "mail.log"
        self.maildir = self.directory / "mail" / "inbox"
        self._process: subprocess.Popen[bytes] | None = None
        self._write(dict(settings or {}), services)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id of Postfix's master, the parent of all its daemons."""
        return int((self.queue_directory / "pid" / "master.pid").read_text().strip())

    @property
    def is_started(self) -> bool:
        """True between `start` and `stop` or `kill`."""
        return self._process is not None

    @property
    def log(self) -> str:
        """All log lines so far."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def start(self) -> None:
        """Start, and return when the port greets; RuntimeError with the log when it does not in time.

        A stopped instance can be started again: its queue is still there until `stop` with `keep=False`.
        """
        # Postfix's own mark for "checked a moment ago": the folders are made here, with the right owners.
        (self.queue_directory / "quick-start").touch()
        with (self.directory / "start.out").open("ab") as out:
            self._process = subprocess.Popen(
                [program("postfix"), "-c", str(self.config), "start-fg"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            if _greets(self.port):
                return
            time.sleep(0.05)
        said = (self.directory / "start.out").read_text(errors="replace") + self.log
        status = self._process.poll()
        self.stop()
        raise RuntimeError(f"Postfix did not start (exit status {status}): {said[-2000:]}")

    def stop(self, *, keep: bool = False) -> None:
        """Stop every process of the instance and, unless `keep`, remove its folder. Safe to call twice."""
        process, self._process = self._process, None
        if process is not None:
            master = self._master()
            family = descendants(process.pid) | (descendants(master) | {master} if master else set())
            if master:
                send_signal(master, signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_SECONDS)
            self._end(family)
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    def kill(self) -> None:
        """SIGKILL to every process of the instance at once: what a power cut leaves. It can be started again.

        All are stopped first: an smtpd that sees its cleanup die says 451 of a message that is in the queue already.
        """
        process, self._process = self._process, None
        assert process is not None, "it does not run"
        master = self._master()
        for pid in (process.pid, master) if master else (process.pid,):
            send_signal(pid, signal.SIGSTOP)  # no new ones from here on
        family = descendants(process.pid) | (descendants(master) | {master} if master else set())
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in (process.pid, *family):
                send_signal(pid, number)
        process.wait(STOP_SECONDS)
        self._end(family)

    def command(self, name: str, *arguments: str) -> str:
        """Standard output of a Postfix command run on this instance (`postqueue`, `postsuper`, `postconf` ...)."""
        done = subprocess.run(
            [program(name), "-c", str(self.config), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    def flush(self) -> None:
        """Ask for an attempt to deliver all queued mail now."""
        self.command("postqueue", "-f")

    def queued(self) -> list[dict[str, object]]:
        """The queue as `postqueue -j` tells it, one dictionary a message."""
        return [json.loads(line) for line in self.command("postqueue", "-j").splitlines()]

    def _write(self, settings: dict[str, str], services: str) -> None:
        owner = pwd.getpwnam("postfix")
        self.directory.chmod(0o755)
        for folder in (self.config, self.queue_directory, self.log_file.parent):
            folder.mkdir(mode=0o755)
        for folder in (self.directory / "data", self.maildir.parent):
            folder.mkdir(mode=0o700)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        for name, (mode, user, group) in QUEUE_FOLDERS.items():
            folder = self.queue_directory / name
            folder.mkdir()
            os.chown(folder, pwd.getpwnam(user).pw_uid, grp.getgrnam(group).gr_gid)
            folder.chmod(mode)
        values = {
            **BASE,
            "queue_directory": str(self.queue_directory),
            "data_directory": str(self.directory / "data"),
            "maillog_file": str(self.log_file),
            "maillog_file_prefixes": str(self.log_file.parent),
            "default_transport": self.transport,
            "relay_transport": self.transport,
            "virtual_mailbox_domains": "",
            "virtual_mailbox_base": str(self.maildir.parent),
            "virtual_mailbox_maps": f"static:{self.maildir.name}/",
            "virtual_minimum_uid": "1",
            "virtual_uid_maps": f"static:{owner.pw_uid}",
            "virtual_gid_maps": f"static:{owner.pw_gid}",
            **settings,
        }
        lines = "".join(f"{name} = {value}\n" for name, value in values.items())
        (self.config / "main.cf").write_text(lines)
        (self.config / "master.cf").write_text(SERVICES.format(port=self.port) + services)
        for name in ("main.cf", "master.cf"):
            # Postfix waits until a file has not changed for some seconds before it believes it.
            os.utime(self.config / name, (time.time() - 60,) * 2)

    def _master(self) -> int:
        try:
            return self.pid
        except (OSError, ValueError):
            return 0

    def _end(self, family: set[int]) -> None:
        """Kill what outlived the master; only processes that still have this instance's queue as working folder."""
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            left = [pid for pid in family if _working_folder(pid) == str(self.queue_directory)]
            if not left:
                return
            for pid in left:
                send_signal(pid, signal.SIGKILL)
            time.sleep(0.02)


def _working_folder(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink())
    except OSError:
        return ""


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=START_SECONDS) as peer:
            return peer.recv(512).startswith(b"220")
    except OSError:
        return False
