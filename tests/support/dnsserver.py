r"""A private DNS server with test zones: Knot on a free loopback port, and Unbound in front of it when asked for.

    with DnsServer({"example.com": "@ MX 10 mx1\nmx1 A 192.0.2.1"}) as server:
        ResolverSettings(nameservers=(server.nameserver,))

Zone texts are master files without SOA and NS, which are added (negative TTL 30). Zones in `broken` answer
SERVFAIL, those in `signed` are signed, and Unbound validates them; the signatures of those in `expired` have ended.
What Unbound asks about zones of `by` goes to the port that stands there. Needs the Debian packages `knot` and, for
`recursive`, `unbound`. All files are in a temporary folder; every wait is bounded; processes die with `stop`.
"""

import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Self

from postroad.net.dns.codec import encode_question, read_answer
from tests.support.ports import free_dual_port
from tests.support.zonesigning import sign_expired

START_SECONDS = 20.0
STOP_SECONDS = 5.0
PROGRAM_PATH = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
PROBE = "probe.invalid"

ZONE_HEAD = "$ORIGIN {zone}.\n$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 30\n@ NS ns\nns A 127.0.0.1\n"


class DnsServer:
    """Serves `zones` (origin to text); `port` on 127.0.0.1 and ::1 is where to ask."""

    def __init__(
        self,
        zones: Mapping[str, str],
        *,
        broken: Iterable[str] = (),
        signed: Iterable[str] = (),
        expired: Iterable[str] = (),
        by: Mapping[str, int] | None = None,
        recursive: bool = False,
    ) -> None:
        self.zones = {**zones, PROBE: "@ A 127.0.0.1"}
        self.broken = tuple(broken)
        self.signed = frozenset(signed)
        self.expired = frozenset(expired)
        self.by = dict(by or {})
        self.recursive = recursive
        self.port = 0
        self.authority_port = 0
        self._folder = Path()
        self._anchors: list[str] = []
        self.on_authority: Callable[[int], None] = lambda _port: None  # told where the authority is
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def nameserver(self) -> str:
        """The server as an option of `[resolver]`."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait until it answers; RuntimeError with its log when it does not."""
        self._folder = Path(tempfile.mkdtemp(prefix="postroad-dns-"))
        try:
            self.port = self.authority_port = self._launch(self._start_knot)
            self.on_authority(self.port)
            if self.recursive:
                self.port = self._launch(self._start_unbound)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the processes, remove the files."""
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()
        self._anchors.clear()
        self.authority_port = 0
        shutil.rmtree(self._folder, ignore_errors=True)

    def _launch(self, start: Callable[[int], "subprocess.Popen[bytes]"]) -> int:
        """Start on a free port, and on another one when somebody took it meanwhile."""
        for _ in range(5):
            port = free_dual_port()
            process = start(port)
            if self._answers(process, port):
                self._processes.append(process)
                return port
            process.kill()
            process.wait()
        logs = "\n".join(path.read_text("utf-8", "replace") for path in sorted(self._folder.glob("*.log")))
        raise RuntimeError(f"DNS server does not start:\n{logs}")

    def _answers(self, process: "subprocess.Popen[bytes]", port: int) -> bool:
        """True once every zone is served."""
        end = time.monotonic() + START_SECONDS
        waiting = [zone for zone in self.zones if not self.authority_port or not self._is_behind(zone)]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.2)
            sock.connect(("127.0.0.1", port))
            while time.monotonic() < end and process.poll() is None:
                question = encode_question(secrets.randbits(16), waiting[-1], "SOA")
                try:
                    sock.send(question)
                    found = read_answer(sock.recv(4096), question, "SOA").answer.records
                except (OSError, ValueError):  # refused: not up yet; or the late answer to an earlier question
                    found = ()
                if found:
                    waiting.pop()
                else:
                    time.sleep(0.02)
                if not waiting:
                    return True
        return False

    def _spawn(self, command: list[str], name: str) -> "subprocess.Popen[bytes]":
        program = shutil.which(command[0], path=PROGRAM_PATH)
        if program is None:
            raise RuntimeError(f"{command[0]} is missing: apt-get install {name}")
        with (self._folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen([program, *command[1:]], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _start_knot(self, port: int) -> "subprocess.Popen[bytes]":
        folder = self._folder
        (folder / "db").mkdir(exist_ok=True)
        zones = []
        for zone, text in self.zones.items():
            whole = ZONE_HEAD.format(zone=zone) + text + "\n"
            if zone in self.expired:
                whole, anchor = sign_expired(zone, whole)
                self._anchors.append(anchor)
            (folder / f"{zone}.zone").write_text(whole)
            zones.append(f"  - domain: {zone}\n    file: {zone}.zone\n    zonefile-sync: -1\n")
            if zone in self.signed:
                zones.append("    dnssec-signing: on\n    dnssec-policy: plain\n")
        zones += [f"  - domain: {zone}\n    file: missing-{zone}.zone\n" for zone in self.broken]
        (folder / "knot.conf").write_text(
            f"server:\n  rundir: {folder}\n  listen: [ 127.0.0.1@{port}, ::1@{port} ]\n"
            "  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n"
            "log:\n  - target: stderr\n    any: info\n"
            f"database:\n  storage: {folder}/db\n"
            "policy:\n  - id: plain\n    algorithm: ecdsap256sha256\n    single-type-signing: on\n"
            f"template:\n  - id: default\n    storage: {folder}\n"
            f"zone:\n{''.join(zones)}"
        )
        return self._spawn(["knotd", "-c", str(folder / "knot.conf")], "knot")

    def _start_unbound(self, port: int) -> "subprocess.Popen[bytes]":
        folder = self._folder
        stubs = "".join(
            f"stub-zone:\n  name: {zone}\n  stub-addr: 127.0.0.1@{self.by.get(zone, self.authority_port)}\n"
            for zone in (*self.zones, *self.broken)
        )
        found = [*(self._anchor(zone) for zone in sorted(self.signed)), *self._anchors]
        anchors = "".join(f'  trust-anchor: "{anchor}"\n' for anchor in found)
        modules = "validator iterator" if self.signed else "iterator"
        (folder / "unbound.conf").write_text(
            f"server:\n  interface: 127.0.0.1@{port}\n  interface: ::1@{port}\n  directory: {folder}\n"
            f'  chroot: ""\n  username: ""\n  pidfile: {folder}/unbound.pid\n  use-syslog: no\n  verbosity: 1\n'
            "  do-daemonize: no\n  do-not-query-localhost: no\n  num-threads: 1\n  so-rcvbuf: 0\n"
            # Knot on a crowded machine is slow, and never down.
            "  infra-keep-probing: yes\n  outbound-msg-retry: 20\n"
            f'  module-config: "{modules}"\n  local-zone: "invalid." nodefault\n  local-zone: "test." nodefault\n'
            f"{anchors}remote-control:\n  control-enable: no\n{stubs}"
        )
        return self._spawn(["unbound", "-d", "-c", str(folder / "unbound.conf")], "unbound")

    def _is_behind(self, zone: str) -> bool:
        """True for a zone that the resolver cannot answer for, or not yet."""
        return zone in self.expired or zone in self.by

    def _anchor(self, zone: str) -> str:
        command = ["keymgr", "-c", str(self._folder / "knot.conf"), f"{zone}.", "ds"]
        program = shutil.which(command[0], path=PROGRAM_PATH)
        assert program is not None
        found = subprocess.run([program, *command[1:]], check=True, capture_output=True, text=True)
        return found.stdout.splitlines()[0]
