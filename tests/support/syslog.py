"""A real rsyslogd in a process of its own, which writes what it understood of each message as a line of JSON.

It takes messages by UDP, TCP and a unix socket at once, can be killed and started again on the same ports, and parses
RFC 5424 alone, so that a message in any other form shows as one.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.ports import free_dual_port, free_port
from tests.support.relay import wait_until

CONFIGURATION = """\
global(workDirectory="{folder}" maxMessageSize="64k")
module(load="imudp")
module(load="imtcp")
module(load="imuxsock" SysSock.Use="off")
template(name="understood" type="list" option.jsonf="on") {{
    property(outname="app" name="app-name" format="jsonf")
    property(outname="pid" name="procid" format="jsonf")
    property(outname="msgid" name="msgid" format="jsonf")
    property(outname="host" name="hostname" format="jsonf")
    property(outname="facility" name="syslogfacility-text" format="jsonf")
    property(outname="severity" name="syslogseverity" format="jsonf")
    property(outname="version" name="protocol-version" format="jsonf")
    property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")
    property(outname="msg" name="msg" format="jsonf")
}}
ruleset(name="keep" parser=["rsyslog.rfc5424"]) {{
    action(type="omfile" file="{folder}/messages" template="understood")
}}
input(type="imudp" address="127.0.0.1" port="{udp}" ruleset="keep")
input(type="imtcp" address="127.0.0.1" port="{tcp}" ruleset="keep")
input(type="imuxsock" socket="{folder}/log.sock" useSpecialParser="off" parseTrusted="off" ruleset="keep"
      rateLimit.interval="0" ignoreTimestamp="off")
"""


class Rsyslog:
    """The daemon; use as a context manager."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.udp, self.tcp = free_dual_port(), free_port()
        self.socket = folder / "log.sock"
        self.config = folder / "rsyslog.conf"
        self.config.write_text(CONFIGURATION.format(folder=folder, udp=self.udp, tcp=self.tcp))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start, and return when it listens."""
        program = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin:/sbin:/bin")
        assert program, "rsyslogd not found: install the Debian package rsyslog"
        self.socket.unlink(missing_ok=True)
        with (self.folder / "stderr").open("ab") as errors:
            self._process = subprocess.Popen(
                [program, "-n", "-f", str(self.config), "-i", str(self.folder / "pid")],
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
            )
        wait_until(self._listens, "rsyslogd listens")

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "stderr").read_text()
        try:
            with socket.create_connection(("127.0.0.1", self.tcp), timeout=5):
                return self.socket.exists()
        except OSError:
            return False

    def kill(self) -> None:
        """SIGTERM, then wait."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
            (self.folder / "pid").unlink(missing_ok=True)

    def messages(self) -> list[dict[str, Any]]:
        """Every message so far."""
        file = self.folder / "messages"
        if not file.exists():
            return []
        return [json.loads(line) for line in file.read_bytes().split(b"\n")[:-1]]


class Journal:
    """A socket that speaks the journal's native protocol, memory files too; use as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(30)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
        self.path.unlink(missing_ok=True)

    def receive(self) -> dict[str, str]:
        """The next entry."""
        data, fds, _, _ = socket.recv_fds(self._socket, 1 << 20, 1)
        for fd in fds:
            with os.fdopen(fd, "rb") as file:
                data = os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)
        return parse_entry(data)


def parse_entry(data: bytes) -> dict[str, str]:
    """The fields of an entry in the journal's native protocol."""
    fields: dict[str, str] = {}
    while data:
        head, _, rest = data.partition(b"\n")
        name, equals, value = head.partition(b"=")
        if not equals:
            size = int.from_bytes(rest[:8], "little")
            value, end = rest[8 : 8 + size], rest[8 + size : 9 + size]
            assert end == b"\n"
            rest = rest[9 + size :]
        assert name.decode() not in fields
        fields[name.decode()] = value.decode()
        data = rest
    return fields
