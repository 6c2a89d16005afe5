"""Behind a real HAProxy, with both versions of the PROXY protocol, health checks and TLS; XCLIENT behind STARTTLS."""

import smtplib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from postroad.net.proxyproto import encode_header
from tests.support.authority import Authority
from tests.support.ports import free_port
from tests.support.proxies import haproxy_in_front
from tests.support.relay import CAPTURE, Relay
from tests.support.tlssite import trusting

MORE = """
[tls]
{tls}
[listeners.behind]
bind = ["127.0.0.1:{behind}"]
proxy_protocol = true
proxies = ["127.0.0.1/32"]

[listeners.implicit]
bind = ["127.0.0.1:{implicit}"]
tls = "implicit"
proxy_protocol = true
proxies = ["127.0.0.1/32"]

[listeners.inside]
bind = ["127.0.0.1:{inside}"]
xclient = ["127.0.0.1/32"]
"""


class Site(NamedTuple):
    """A relay and the ports of its listeners."""

    relay: Relay
    authority: Authority
    behind: int
    implicit: int
    inside: int


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    authority = Authority(folder / "tls")
    behind, implicit, inside = (free_port() for _ in range(3))
    own = authority.issue("own", ["relay.example.com"])
    more = MORE.format(tls=own.options, behind=behind, implicit=implicit, inside=inside)
    with Relay(folder / "relay", more + CAPTURE) as relay:
        yield Site(relay, authority, behind, implicit, inside)


@pytest.mark.parametrize("how", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options unique-id,crc32c"])
def test_haproxy_tells_who_the_client_is(site: Site, tmp_path: Path, how: str) -> None:
    with haproxy_in_front(tmp_path, site.behind, how) as port:
        ip = "127.0.0.77"
        with smtplib.SMTP("127.0.0.1", port, timeout=60, source_address=(ip, 0)) as client:
            client.sendmail("a@example.com", ["b@example.net"], f"Subject: {how[:13]}\r\n\r\ntext\r\n")
        opened = site.relay.wait_for("ConnectionOpened", listener="behind", ip=ip)
        assert opened[-1]["port"] not in (0, port)
    (mail,) = site.relay.wait_captured(f"Subject: {how[:13]}\r\n\r\ntext".encode())[-1:]
    assert b"[127.0.0.77]" in mail


def test_checks_of_haproxy_leave_no_complaint(site: Site, tmp_path: Path) -> None:
    """A check connects, says LOCAL or nothing at all, and goes."""
    with haproxy_in_front(tmp_path, site.behind, "check inter 50ms send-proxy-v2") as port:
        before = len(site.relay.records("ConnectionOpened", listener="behind", ip="127.0.0.1"))
        with smtplib.SMTP("127.0.0.1", port, timeout=60, source_address=("127.0.0.78", 0)) as client:
            assert client.noop()[0] == 250
        site.relay.wait_for("ConnectionOpened", before + 2, listener="behind", ip="127.0.0.1")
    assert not site.relay.records("ProxyRefused", ip="127.0.0.1")


def test_a_header_in_front_of_tls_in_one_piece(site: Site) -> None:
    """What came with the header is the handshake's, octet for octet."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting(site.authority).wrap_bio(incoming, outgoing, server_hostname="relay.example.com")
    with socket.create_connection(("127.0.0.1", site.implicit), timeout=60) as peer:
        pending = encode_header("203.0.113.5", 4711, "127.0.0.1", site.implicit)
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                peer.sendall(pending + outgoing.read())
                pending = b""
                incoming.write(peer.recv(1 << 16))
            else:
                break
        peer.sendall(outgoing.read())
        said = b""
        while not said.endswith(b"\r\n"):
            try:
                said += tls.read(1 << 16)
            except ssl.SSLWantReadError:
                incoming.write(peer.recv(1 << 16))
        assert said.startswith(b"220 relay.example.com")
    (secured,) = site.relay.wait_for("ConnectionSecured", listener="implicit", ip="203.0.113.5")
    assert secured["port"] == 4711


def test_tls_without_a_header_gets_nowhere(site: Site) -> None:
    with pytest.raises((ssl.SSLError, OSError)):
        smtplib.SMTP_SSL("127.0.0.1", site.implicit, timeout=60, context=trusting(site.authority))
    site.relay.wait_for("ProxyRefused", listener="implicit")


def test_xclient_behind_starttls(site: Site) -> None:
    with smtplib.SMTP("127.0.0.1", site.inside, timeout=60) as client:
        client.starttls(context=trusting(site.authority))
        client.ehlo()
        assert client.has_extn("xclient")
        assert client.docmd("XCLIENT", "ADDR=203.0.113.9 PORT=99 LOGIN=ann")[0] == 220
        client.ehlo("laptop")
        client.sendmail("a@example.com", ["b@example.net"], "Subject: by ann\r\n\r\ntext\r\n")  # who has logged in may
        assert client.docmd("XCLIENT", "ADDR=203.0.113.9 LOGIN=[UNAVAILABLE]")[0] == 220
        client.ehlo("laptop")
        client.mail("a@example.com")
        assert client.rcpt("b@example.net")[0] == 554
    (changed, _) = site.relay.wait_for("ClientChanged", count=2, ip="203.0.113.9")
    assert (changed["proxy"], changed["login"]) == ("127.0.0.1", "ann")
    (mail,) = site.relay.wait_captured(b"Subject: by ann")
    assert b"from laptop ([203.0.113.9])" in mail
    assert b"with ESMTPSA" in mail
