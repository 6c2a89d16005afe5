"""A private Dovecot that takes mail by LMTP: its own configuration, users, mail and log in one temporary folder.

Listens on one loopback port and on one unix socket, and knows the users it is given; anyone else gets 550 5.1.1.
A user with a quota gets 552 5.2.2 after the content. Needs the Debian packages `dovecot-core` and
`dovecot-lmtpd`, and root (Dovecot changes user). Mail is stored with CRLF, so that it can be compared octet for octet.
"""

import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.families import descendants, send_signal, wait_until_gone
from tests.support.ports import free_port

START_SECONDS = 20.0
STOP_SECONDS = 10.0
USER = "mail"  # who owns the mail; of every Debian system

CONFIGURATION = """\
base_dir = {folder}/run
state_dir = {folder}/state
instance_name = {folder}
log_path = {folder}/dovecot.log
protocols = lmtp
ssl = no
listen = 127.0.0.1
default_internal_user = {user}
default_internal_group = {user}
default_login_user = {user}
first_valid_uid = 1
mail_location = maildir:{folder}/mail/%u
mail_save_crlf = yes
hostname = dovecot.example.net
postmaster_address = postmaster@example.net
lmtp_rcpt_check_quota = no
quota_full_tempfail = no
protocol lmtp {{
  mail_plugins = quota
}}
plugin {{
  quota = maildir:User quota
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {folder}/users
}}
passdb {{
  driver = static
  args = nopassword=y
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
  unix_listener {folder}/lmtp.sock {{
    mode = 0666
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"""


class Dovecot:
    """One private instance. `users` maps addresses to their quota in octets, 0 for none."""

    def __init__(self, users: Mapping[str, int]) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="dovecot-"))
        self.socket = self.folder / "lmtp.sock"
        self._process: subprocess.Popen[bytes] | None = None
        owner = pwd.getpwnam(USER)
        self.folder.chmod(0o755)
        mail = self.folder / "mail"
        mail.mkdir()
        shutil.chown(mail, owner.pw_uid, owner.pw_gid)
        lines = []
        for address, quota in users.items():
            extra = f"userdb_quota_rule=*:bytes={quota}" if quota else ""
            lines.append(f"{address}::{owner.pw_uid}:{owner.pw_gid}::{mail}/{address}::{extra}\n")
        (self.folder / "users").write_text("".join(lines))
        (self.folder / "dovecot.conf").write_text(CONFIGURATION.format(folder=self.folder, user=USER, port=self.port))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def is_started(self) -> bool:
        """True between `start` and `stop` or `kill`."""
        return self._process is not None

    @property
    def log(self) -> str:
        """All log lines so far."""
        path = self.folder / "dovecot.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start, and return when the port greets; RuntimeError with the log when it does not in time."""
        with (self.folder / "start.out").open("ab") as out:
            self._process = subprocess.Popen(
                ["/usr/sbin/dovecot", "-F", "-c", str(self.folder / "dovecot.conf")],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._greets():
                return
            time.sleep(0.05)
        said = (self.folder / "start.out").read_text(errors="replace") + self.log
        self.stop()
        raise RuntimeError(f"Dovecot did not start: {said[-2000:]}")

    def stop(self) -> None:
        """Stop master and children; the mail stays until the context is left."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL to every process of the instance at once: what a power cut leaves. It can be started again.

        All are stopped first, so that none sees another one die and answers for it. The port is free at the end, which
        children that die late still have.
        """
        process, self._process = self._process, None
        assert process is not None, "it does not run"
        send_signal(process.pid, signal.SIGSTOP)  # no new ones from here on
        family = descendants(process.pid)
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in (process.pid, *family):
                send_signal(pid, number)
        process.wait(STOP_SECONDS)
        wait_until_gone(family)

    def delivered(self) -> list[str]:
        """The user of each message in any inbox."""
        return [path.parent.parent.name for path in (self.folder / "mail").glob("*/new/*")]

    def mails(self, address: str) -> list[bytes]:
        """The messages in this user's inbox."""
        return [path.read_bytes() for path in sorted((self.folder / "mail" / address / "new").glob("*"))]

    def _greets(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=START_SECONDS) as peer:
                return peer.recv(512).startswith(b"220")
        except OSError:
            return False
