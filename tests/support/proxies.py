"""Real proxies on the loopback: microsocks, Dante and HAProxy, each with its own configuration and port.

Each is a context manager that gives the proxy's port once it listens, and ends its process and that alone. Needs the
Debian packages microsocks, dante-server and haproxy; HAProxy needs root to connect from addresses it is told.
"""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.ports import free_port

START_SECONDS = 20.0

DANTE = """\
logoutput: stderr
internal: 127.0.0.1 port = {port}
external: {external}
clientmethod: none
socksmethod: none
user.privileged: root
user.unprivileged: nobody
client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
socks block {{ from: 127.0.0.0/8 to: 127.0.0.99/32 command: connect }}
socks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 command: connect }}
"""

# The example of docs/howto/egress.md, on the loopback.
HAPROXY = """\
global
    maxconn 1000

defaults
    mode tcp
    timeout connect 5s
    timeout client 15m
    timeout server 15m

listen egress
    bind 127.0.0.1:{port} accept-proxy
    source 0.0.0.0 usesrc clientip
    server onward 0.0.0.0
"""


# An example of docs/howto/behind-a-proxy.md.
IN_FRONT = """\
global
    maxconn 1000

defaults
    mode tcp
    timeout connect 5s
    timeout client 15m
    timeout server 15m

frontend public
    bind 127.0.0.1:{port}
    default_backend mail

backend mail
    server one 127.0.0.1:{server} {how}
"""


@contextmanager
def microsocks(*, user: str = "", password: str = "", source: str = "127.0.0.1") -> Iterator[int]:
    """A SOCKS5 proxy that connects from `source` and, with `user`, wants a log-in."""
    port = free_port()
    login = ["-u", user, "-P", password] if user else []
    with _running(["microsocks", "-i", "127.0.0.1", "-p", str(port), "-b", source, *login], port):
        yield port


@contextmanager
def dante(folder: Path, *, source: str = "127.0.0.1") -> Iterator[int]:
    """A SOCKS5 proxy that connects from `source`, and by its rules not to 127.0.0.99."""
    port = free_port()
    file = folder / "danted.conf"
    file.write_text(DANTE.format(port=port, external=source))
    with _running(["danted", "-f", str(file), "-p", str(folder / "danted.pid")], port):
        yield port


@contextmanager
def haproxy(folder: Path) -> Iterator[int]:
    """HAProxy that connects on as the PROXY protocol's header says."""
    port = free_port()
    file = folder / "haproxy.cfg"
    file.write_text(HAPROXY.format(port=port))
    with _running(["haproxy", "-db", "-f", str(file)], port):
        yield port


@contextmanager
def haproxy_in_front(folder: Path, server: int, how: str) -> Iterator[int]:
    """HAProxy in front of the server at that port, which it tells `how` who the client is."""
    port = free_port()
    file = folder / "front.cfg"
    file.write_text(IN_FRONT.format(port=port, server=server, how=how))
    with _running(["haproxy", "-db", "-f", str(file)], port):
        yield port


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        try:
            _wait(run, command[0], port)
            yield
        finally:
            run.terminate()
            try:
                run.wait(10)
            except subprocess.TimeoutExpired:
                run.kill()


def _wait(run: "subprocess.Popen[bytes]", name: str, port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and run.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"{name} does not listen on port {port} (exit status {run.poll()})")
