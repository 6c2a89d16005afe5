"""A relay with a listener of every kind of TLS, and clients that look closely: openssl, raw sockets, smtplib.

Certificates are made for each site by an authority of its own; those of clients by another one.
"""

import contextlib
import re
import smtplib
import socket
import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.support.authority import Authority, Issued
from tests.support.ports import free_port
from tests.support.relay import CAPTURE, Relay

MESSAGE = "Subject: {}\r\n\r\nHello\r\n"
PROTOCOL = re.compile(r"^ *(?:Protocol *: |New, )(TLSv1[.0-9]*)", re.MULTILINE)


class Site(NamedTuple):
    """A relay with a listener of every kind: `relay.port` offers STARTTLS."""

    relay: Relay
    authority: Authority
    clients: Authority
    required: int
    implicit: int
    legacy: int
    known: int


def site_of(folder: Path) -> Site:
    """A site with everything in `folder`; its relay does not run yet."""
    authority, clients = Authority(folder / "tls"), Authority(folder / "clients", "Clients")
    own = authority.issue("own", ["relay.example.com"])
    other = authority.issue("other", ["mail.example.org", "*.example.net"])
    ports = [free_port() for _ in range(4)]
    more = (
        f"[tls]\n{own.options}\n[[tls.certificates]]\n{other.options}\n"
        f'[listeners.required]\nbind = ["127.0.0.1:{ports[0]}"]\ntls = "required"\n'
        f'client_certificates = "request"\nclient_ca = "{clients.file}"\n'
        f'[listeners.implicit]\nbind = ["127.0.0.1:{ports[1]}"]\ntls = "implicit"\n'
        f'[listeners.legacy]\nbind = ["127.0.0.1:{ports[2]}"]\nlegacy_tls = true\n'
        f'[listeners.known]\nbind = ["127.0.0.1:{ports[3]}"]\ntls = "implicit"\n'
        f'client_certificates = "require"\nclient_ca = "{clients.file}"\n'
    )
    relay = Relay(folder / "relay", more + CAPTURE)
    return Site(relay, authority, clients, *ports)


def s_client(port: int, *options: str, starttls: bool = True, say: bytes = b"QUIT\r\n") -> tuple[int, str]:
    """The exit code of `openssl s_client` and all that it wrote."""
    how = ("-starttls", "smtp") if starttls else ("-quiet",) if "-quiet" in options else ()
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *how, *options]
    done = subprocess.run(command, input=say, capture_output=True, timeout=60, check=False)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


def trusting(authority: Authority, own: Issued | None = None) -> ssl.SSLContext:
    """A client's context that trusts `authority` and shows `own`."""
    context = ssl.create_default_context(cafile=authority.file)
    context.check_hostname = False
    if own is not None:
        context.load_cert_chain(own.certificate, own.key)
    return context


def send(client: smtplib.SMTP, marker: str) -> None:
    client.sendmail("a@example.com", ["b@example.net"], MESSAGE.format(marker))


def name_shown(port: int, authority: Authority, name: str | None) -> list[str]:
    """The names of the certificate that a client gets that asks for `name`."""
    context = trusting(authority)
    raw = socket.create_connection(("127.0.0.1", port), timeout=30)
    with raw, context.wrap_socket(raw, server_hostname=name) as wrapped:
        found = wrapped.getpeercert()
    assert found is not None
    return [str(one[1]) for one in found["subjectAltName"]]


def speak(port: int, *lines: bytes) -> socket.socket:
    """A connection on which `lines` were said one after the other, each but the last answered."""
    peer = socket.create_connection(("127.0.0.1", port), timeout=30)
    answer_of(peer)
    for line in lines[:-1]:
        peer.sendall(line)
        answer_of(peer)
    peer.sendall(lines[-1])
    return peer


def answer_of(peer: socket.socket) -> bytes:
    """One whole answer; b"" at the end."""
    answer = b""
    while not re.search(rb"(^|\n)\d\d\d [^\n]*\n\Z", answer):
        part = peer.recv(4096)
        if not part:
            return answer
        answer += part
    return answer


def rest_of(peer: socket.socket) -> bytes:
    rest = b""
    with contextlib.suppress(ConnectionResetError):
        while part := peer.recv(4096):
            rest += part
    return rest
