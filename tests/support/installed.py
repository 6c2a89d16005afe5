"""A life of the Debian package on a machine: run as root inside of a root of its own, with nothing but a loopback.

Usage: /usr/bin/python3 -m tests.support.installed PACKAGE.deb. It installs the package, runs the server as its unit
does, relays mail by SMTP and by a drop, installs the package over itself while the server runs, and removes it. Any
step that goes wrong ends it with a traceback. Standard library alone: the machine's Python runs it.
"""

import fcntl
import os
import pwd
import signal
import smtplib
import socket
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.sink import Sink

SECONDS = 60.0
CONFIG = Path("/etc/postroad/postroad.toml")
DATA = Path("/var/lib/postroad")
DROPS = Path("/var/spool/postroad")
# As the unit: the user, the one capability, no new privileges, and no memory that is both written and executed.
AS_THE_UNIT = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)  # PR_SET_MDWE; older kernels do not know it
os.umask(0o077)
os.execvp("setpriv", ["setpriv", "--reuid=postroad", "--regid=postroad", "--init-groups", "--no-new-privs",
    "--inh-caps=-all,+net_bind_service", "--ambient-caps=-all,+net_bind_service",
    "--bounding-set=-all,+net_bind_service", *sys.argv[1:]])
"""


def raise_loopback() -> None:
    """Bring the loopback of a new network up."""
    with socket.socket() as any_socket:
        request = struct.pack("16sh14x", b"lo", 0x1)  # IFF_UP
        fcntl.ioctl(any_socket, 0x8914, request)  # SIOCSIFFLAGS


def run(*command: str | Path, code: int = 0, text: str = "") -> str:
    """What a command says, on both outputs; it must leave with `code`."""
    done = subprocess.run(
        [*map(str, command)],
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"},
    )
    print(f"$ {' '.join(map(str, command))}\n{done.stdout}", flush=True)
    assert done.returncode == code, f"{command[0]} left with {done.returncode}"
    return done.stdout


def wait_until(holds: Callable[[], object], what: str) -> None:
    """Return once `holds()`."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not within {SECONDS}s: {what}"
        time.sleep(0.05)


def greets() -> bool:
    """True when somebody takes mail."""
    try:
        with socket.create_connection(("127.0.0.1", 25), timeout=SECONDS) as peer:
            return peer.recv(512).startswith(b"220")
    except OSError:
        return False


def start(*before: str) -> "subprocess.Popen[bytes]":
    """The server; `before` stands before its command."""
    run("/usr/bin/postroad", "check", "-c", CONFIG)
    command = [*before, "/usr/bin/postroad", "serve", "-c", str(CONFIG)]
    server = subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL)
    wait_until(lambda: server.poll() is not None or greets(), "the server to greet")
    assert server.poll() is None
    return server


def send(marker: str) -> None:
    """One message by SMTP."""
    with smtplib.SMTP("127.0.0.1", 25, timeout=SECONDS) as client:
        client.sendmail("a@example.com", ["b@example.net"], f"Subject: {marker}\r\n\r\nHello\r\n")


def wait_mail(sink: Sink, marker: str) -> None:
    """Return once the next hop has it."""
    wait_until(lambda: any(marker.encode() in mail.content for mail in sink.mails), f"{marker} at the next hop")


def check_places() -> None:
    """Everything belongs to whom it should."""
    entry = pwd.getpwnam("postroad")
    assert (entry.pw_dir, entry.pw_shell) == (str(DATA), "/usr/sbin/nologin")
    for folder, mode in ((DATA, 0o700), (DROPS, 0o711)):
        facts = folder.stat()
        assert (facts.st_uid, facts.st_gid, stat.S_IMODE(facts.st_mode)) == (entry.pw_uid, entry.pw_gid, mode), folder
    facts = CONFIG.stat()
    assert (facts.st_uid, stat.S_IMODE(facts.st_mode)) == (0, 0o644)
    run("/usr/bin/postroad", "check", "--start", "-c", CONFIG)  # as it is delivered


def upgrade_while_it_runs(package: str, server: "subprocess.Popen[bytes]") -> None:
    """The package over itself: the process stays. With a broken configuration the server stays as it is."""
    said = run("dpkg", "--install", "--no-triggers", package)
    assert f"has taken over from 0.1.0, as process {server.pid}" in said
    sound = CONFIG.read_text()
    CONFIG.write_text(sound + "\nnonsense = true\n")
    said = run("/var/lib/dpkg/info/postroad.postinst", "configure", "0.1.0-1")
    assert "the running server is still version 0.1.0-1" in said
    CONFIG.write_text(sound)
    assert server.poll() is None
    assert greets()


def started_by_root() -> None:
    """Root is given up at the start: an upgrade keeps port 25 and cannot have another one of that kind."""
    sound = CONFIG.read_text()
    CONFIG.write_text(sound + '\n[process]\nuser = "postroad"\n')
    server = start()
    assert f"as process {server.pid}" in run("/usr/bin/postroad", "upgrade")
    assert greets()
    CONFIG.write_text(CONFIG.read_text() + '\n[listeners.more]\nbind = ["127.0.0.1:26"]\n')
    assert "ports below 1024 need root or CAP_NET_BIND_SERVICE" in run("/usr/bin/postroad", "upgrade", code=78)
    assert greets()
    CONFIG.write_text(sound)
    server.send_signal(signal.SIGTERM)
    assert server.wait(SECONDS) == 0


def main() -> None:
    """One life."""
    package = sys.argv[1]
    raise_loopback()
    run("dpkg", "--install", "--no-triggers", package)
    check_places()
    with Sink() as sink:
        CONFIG.write_text(CONFIG.read_text().replace('["mx"]', f'["smtp://127.0.0.1:{sink.port}"]'))
        server = start(sys.executable, "-c", AS_THE_UNIT)
        send("by-smtp-")
        wait_mail(sink, "by-smtp-")
        nobody = ("setpriv", "--reuid=daemon", "--regid=daemon", "--clear-groups")
        run(*nobody, "/usr/bin/postroad-sendmail", "b@example.net", text="Subject: by-drop-\n\nHello\n")
        wait_mail(sink, "by-drop-")
        upgrade_while_it_runs(package, server)
        send("by-the-next-")
        wait_mail(sink, "by-the-next-")
        run("/usr/bin/postroad", "queue", "suspend", "--next-hop", f"smtp://127.0.0.1:{sink.port}")
        send("kept-")
    assert "b@example.net" in run("/usr/bin/postroad-mailq")
    server.send_signal(signal.SIGTERM)
    assert server.wait(SECONDS) == 0
    started_by_root()
    run("dpkg", "-r", "postroad")
    assert not Path("/usr/lib/postroad").exists()
    assert CONFIG.exists()
    said = run("dpkg", "-P", "postroad")
    assert f"postroad: {DATA} is kept" in said
    assert not CONFIG.parent.exists()
    assert any(b"kept-" in file.read_bytes() for file in (DATA / "spool").rglob("*") if file.is_file())
    print("the whole life is done", flush=True)


if __name__ == "__main__":
    main()
