"""Log-ins a minute: connect, EHLO, AUTH PLAIN, QUIT, as fast as a few parallel clients can.

Everybody has logged in before the clock starts, so the default `auth.cache` answers, as with devices that log in for
every message. Rows: one process and two edges, from a network that may do without TLS, and with STARTTLS, a full
handshake each. Promised are 10,000 log-ins a minute. A reply that is not the one expected ends the row as a failure.
"""

import socket
import ssl
import sys
import tempfile
import time
from argparse import Namespace
from base64 import b64encode
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

from postroad.auth.passwords import ARGON2
from postroad.auth.userlines import Attributes, show_line
from tests.bench.measure import cpu_seconds
from tests.bench.relays import EDGES, PostroadRelay
from tests.support.authority import Authority, Issued
from tests.support.logins import write_lines

PROMISE = 10_000  # log-ins a minute
USERS = 200
CLIENTS = 8
ROUNDS = 4  # of everybody, before the clock starts: with two edges most have then been at both
PATIENCE = 30.0
RELAYS = ("postroad", "postroad-2")


@dataclass(frozen=True)
class Row:
    """What a measurement gave: log-ins in `seconds`, and the CPU seconds of the whole process tree meanwhile."""

    name: str
    tls: bool
    logins: int
    seconds: float
    cpu: float

    @property
    def per_minute(self) -> float:
        return self.logins / self.seconds * 60

    @property
    def cpu_per_1000(self) -> float:
        return self.cpu / self.logins * 1000

    def line(self) -> str:
        """As a row of the table."""
        kept = "met" if self.per_minute >= PROMISE else "missed"
        how = "STARTTLS" if self.tls else "without TLS"
        return (
            f"| edges = {EDGES[self.name]}, {how} | {self.per_minute:,.0f} | {self.cpu_per_1000:.3f} "
            f"| {PROMISE:,}: {kept} |"
        )


def logins(options: Namespace) -> int:
    """Print the table; 1 when a row failed."""
    print("| log-ins, argon2id, remembered | a minute | CPU s/1,000 | promised |")
    print("|---|---:|---:|---:|")
    failures = 0
    with tempfile.TemporaryDirectory(prefix="logins-", dir=options.dir) as name:
        folder = Path(name)
        issued = Authority(folder).issue("localhost")
        users = write_lines(folder / "users", [_user_line(number) for number in range(USERS)])
        for relay in RELAYS:
            for tls in (None, issued):
                try:
                    print(_measure(relay, users, tls, options).line(), flush=True)
                except (RuntimeError, OSError) as error:
                    print(f"logins {relay}: failed: {error}", file=sys.stderr, flush=True)
                    failures += 1
    return 1 if failures else 0


def _user_line(number: int) -> str:
    return show_line(f"user{number}", ARGON2.hash(_secret(number)), Attributes())


def _secret(number: int) -> str:
    return f"secret of {number}"


def _measure(name: str, users: Path, tls: Issued | None, options: Namespace) -> Row:
    relay = PostroadRelay("capture:", options.dir, name=name, tls=tls, users=users)
    try:
        relay.start()
        client = Client(relay.port, None if tls is None else _context())
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(client.log_in, [number % USERS for number in range(ROUNDS * USERS)]))
            begin, cpu = time.monotonic(), cpu_seconds(relay.pid)
            busy = partial(client.log_in_until, begin + options.seconds)
            done = sum(pool.map(busy, range(CLIENTS)))
            return Row(name, tls is not None, done, time.monotonic() - begin, cpu_seconds(relay.pid) - cpu)
    finally:
        relay.remove()


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the client's own work is not what is measured
    return context


class Client:
    """Logs in at 127.0.0.1:`port`, a connection each; with `context` after STARTTLS."""

    def __init__(self, port: int, context: ssl.SSLContext | None) -> None:
        self._port = port
        self._context = context

    def log_in_until(self, end: float, first: int) -> int:
        """Log in, a user after the other from `first` on, until monotonic time `end`; how often."""
        for done in count():
            if time.monotonic() >= end:
                return done
            self.log_in((first + done * CLIENTS) % USERS)
        raise AssertionError("count() has no end")

    def log_in(self, number: int) -> None:
        """Log in as user `number`; RuntimeError when a reply is another than it should be."""
        peer = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE)
        try:
            _expect(peer, b"220")
            _say(peer, b"EHLO client.example.com", b"250")
            if self._context is not None:
                _say(peer, b"STARTTLS", b"220")
                peer = self._context.wrap_socket(peer)
                _say(peer, b"EHLO client.example.com", b"250")
            _say(peer, b"AUTH PLAIN " + b64encode(f"\0user{number}\0{_secret(number)}".encode()), b"235")
            _say(peer, b"QUIT", b"221")
        finally:
            peer.close()


def _say(peer: socket.socket, command: bytes, code: bytes) -> None:
    peer.sendall(command + b"\r\n")
    _expect(peer, code)


def _expect(peer: socket.socket, code: bytes) -> None:
    # One reply is all there is to read: nothing is pipelined. Its last line has a space behind the code.
    reply: Sequence[bytes] = [b""]
    text = b""
    while not (text.endswith(b"\n") and reply[-1][3:4] == b" "):
        part = peer.recv(4096)
        if not part:
            raise RuntimeError(f"{code.decode()} expected, not the end of the connection")
        text += part
        reply = text.splitlines()
    if not text.startswith(code):
        raise RuntimeError(f"{code.decode()} expected, not {text.decode(errors='replace').strip()}")
