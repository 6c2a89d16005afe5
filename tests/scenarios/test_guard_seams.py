"""Where bans and limits meet proxies, TLS and sessions that are open: a real server, asked by real clients."""

import smtplib
import socket
import ssl
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import NamedTuple

import pytest

from tests.support.authority import Authority
from tests.support.command import run_command
from tests.support.logins import argon2_line, write_lines
from tests.support.ports import free_port
from tests.support.relay import CAPTURE, Relay
from tests.support.tlssite import trusting

MORE = """
[tls]
{tls}

[listeners.inside]
bind = ["127.0.0.1:{inside}"]
xclient = ["127.0.0.8/32"]
auth = "optional"

[listeners.behind]
bind = ["127.0.0.1:{behind}"]
proxy_protocol = true
proxies = ["127.0.0.7/32"]
auth = "optional"

[auth]
plain_text_networks = ["0.0.0.0/0"]
failure_delay = "0s"
users.file = "users"

[bans]
auth_failed = 3
never = []

[[rates]]
name = "together"
count = "connections"
per = "ip"
limits = ["2"]
listeners = ["test", "inside"]

[[rates]]
name = "new"
count = "connections"
per = "ip"
limits = ["5/1h"]
listeners = ["behind", "inside"]
"""
BANNED = b"421 4.7.0 Too many offences from your network, try again later"
AGAIN = 7  # more often than there may be connections, at once or in an hour


class Site(NamedTuple):
    """A server with a listener for each kind of proxy; nobody but these is exempt from bans."""

    relay: Relay
    authority: Authority
    inside: int
    behind: int


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    authority = Authority(folder / "tls")
    (folder / "relay").mkdir()
    write_lines(folder / "relay" / "users", [argon2_line("ann", "secret")])
    inside, behind = free_port(), free_port()
    own = authority.issue("own", ["relay.example.com"])
    relay = Relay(folder / "relay", CAPTURE + MORE.format(tls=own.options, inside=inside, behind=behind))
    text = relay.config.read_text().replace('["127.0.0.0/8"]\n\n[resolver]', '["127.0.0.9/32"]\n\n[resolver]')
    relay.config.write_text(text)
    with relay:
        yield Site(relay, authority, inside, behind)


class Peer:
    """A client of raw lines, from an address of the loopback."""

    def __init__(self, port: int, source: str, header: bytes = b"") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60, source_address=(source, 0))
        self._lines = self.socket.makefile("rb")
        self.socket.sendall(header)
        self.greeting = self._answer()

    def say(self, text: str) -> bytes:
        """The last line of the answer."""
        self.socket.sendall(text.encode() + b"\r\n")
        return self._answer()

    def _answer(self) -> bytes:
        while True:
            line = self._lines.readline().rstrip()
            if line[3:4] != b"-":
                return line

    def close(self) -> None:
        """Leave."""
        self._lines.close()
        self.socket.close()

    def guess(self) -> bytes:
        """A wrong password."""
        return self.say(plain("guess"))


def plain(secret: str) -> str:
    """AUTH with a password of ann."""
    response = b64encode(f"\0ann\0{secret}".encode()).decode()
    return f"AUTH PLAIN {response}"


def proxied(site: Site, client: str) -> Peer:
    """A client behind the proxy; "" is one that the proxy cannot name."""
    header = f"PROXY TCP4 {client} 192.0.2.1 4000 25\r\n" if client else "PROXY UNKNOWN\r\n"
    return Peer(site.behind, "127.0.0.7", header.encode())


def banned(site: Site) -> str:
    """What the command lists."""
    return run_command("bans", "list", "-c", site.relay.config).out


def test_the_client_behind_a_proxy_is_banned_and_uses_up_no_limit(site: Site) -> None:
    with closing(proxied(site, "192.0.2.50")) as peer:
        peer.say("EHLO client.example")
        assert [peer.guess()[:3] for _ in range(3)] == [b"535"] * 3
    site.relay.wait_for("NetworkBanned", network="192.0.2.50/32")
    for _ in range(2 * AGAIN):
        with closing(proxied(site, "192.0.2.50")) as peer:
            assert peer.greeting == BANNED
    assert run_command("bans", "remove", "192.0.2.50", "-c", site.relay.config).code == 0
    greetings = []
    for _ in range(5):
        with closing(proxied(site, "192.0.2.50")) as peer:
            greetings.append(peer.greeting[:3])
    assert greetings == [b"220"] * 4 + [b"421"]  # the first of five was before the ban
    with closing(proxied(site, "192.0.2.51")) as peer:
        assert peer.greeting[:3] == b"220"


def test_whoever_speaks_for_clients_is_not_banned_for_them(site: Site) -> None:
    with closing(proxied(site, "")) as peer:
        peer.say("EHLO client.example")
        assert [peer.guess()[:3] for _ in range(AGAIN)] == [b"535"] * AGAIN
    with closing(Peer(site.inside, "127.0.0.8")) as peer:
        peer.say("EHLO program.example")
        assert peer.say("XCLIENT ADDR=[UNAVAILABLE]")[:3] == b"220"
        peer.say("EHLO client.example")
        assert [peer.guess()[:3] for _ in range(AGAIN)] == [b"535"] * AGAIN
        assert peer.say("XCLIENT ADDR=192.0.2.60")[:3] == b"220"
        peer.say("EHLO client.example")
        assert [peer.guess()[:3] for _ in range(3)] == [b"535"] * 3
    site.relay.wait_for("NetworkBanned", network="192.0.2.60/32")
    assert "127.0.0." not in banned(site)
    with closing(proxied(site, "192.0.2.52")) as peer:
        assert peer.greeting[:3] == b"220"
    with closing(Peer(site.inside, "127.0.0.8")) as peer:
        assert peer.greeting[:3] == b"220"
        peer.say("EHLO program.example")
        assert peer.say("XCLIENT ADDR=192.0.2.60") == BANNED


def test_sessions_that_are_open_guess_no_further_after_a_ban(site: Site) -> None:
    with ExitStack() as stack:
        one, two = (stack.enter_context(closing(proxied(site, "192.0.2.70"))) for _ in range(2))
        for peer in (one, two):
            peer.say("EHLO client.example")
        assert one.say("AUTH PLAIN")[:3] == b"334"
        assert [two.guess()[:3] for _ in range(3)] == [b"535"] * 3
        assert two.guess() == BANNED
        assert one.say(plain("secret").split()[-1])[:3] == b"235"  # what was asked before is answered


@pytest.mark.parametrize("way", ["STARTTLS", "XCLIENT"])
def test_who_has_left_is_no_connection_at_once(site: Site, way: str) -> None:
    context: ssl.SSLContext = trusting(site.authority)
    closed = len(site.relay.records("ConnectionClosed"))
    for number in range(AGAIN):
        if way == "STARTTLS":
            with smtplib.SMTP("127.0.0.1", site.relay.port, timeout=60, source_address=("127.0.0.77", 0)) as client:
                context.check_hostname = False
                assert client.starttls(context=context)[0] == 220
                assert client.ehlo()[0] == 250
        else:
            with closing(Peer(site.inside, "127.0.0.8")) as peer:
                peer.say("EHLO program.example")
                assert peer.say(f"XCLIENT ADDR=198.51.100.{number}")[:3] == b"220"
                assert peer.say("QUIT")[:3] == b"221"
        site.relay.wait_for("ConnectionClosed", closed + number + 1)


def test_a_connection_is_that_of_each_client_it_is_used_for_and_not_of_who_speaks_for_them(site: Site) -> None:
    with closing(Peer(site.inside, "127.0.0.8")) as peer:
        peer.say("EHLO program.example")
        for number in range(10):
            assert peer.say(f"XCLIENT ADDR=203.0.113.{number % 2}")[:3] == b"220"
            peer.say("EHLO client.example")
        assert peer.say("XCLIENT ADDR=203.0.113.0")[:3] == b"421"
