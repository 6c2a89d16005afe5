"""Log-ins that are bound to their TLS connection: by every type of binding, and refused when it is another one's."""

import hashlib
import smtplib
import ssl
from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Any

import pytest

from postroad.net.tls.exporter import Exporter
from tests.support.authority import Authority
from tests.support.logins import scram_line
from tests.support.relay import CAPTURE, Relay
from tests.support.saslclient import ScramClient
from tests.support.tlssite import trusting

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Relay, Authority]]:
    folder = tmp_path_factory.mktemp("bindings")
    authority = Authority(folder / "tls")
    own = authority.issue("own", ["relay.example.com"])
    users = folder / "users"
    users.write_text(f"{scram_line('alice', 'sesame')}\n")
    users.chmod(0o600)
    relay = Relay(folder / "relay", f'[tls]\n{own.options}\n[auth.users]\nfile = "{users}"\n{CAPTURE}')
    relay.config.write_text(relay.config.read_text().replace("[listeners.test]", '[listeners.test]\nauth = "optional"'))
    with relay:
        yield relay, authority


def secured(site: tuple[Relay, Authority], version: ssl.TLSVersion) -> smtplib.SMTP:
    relay, authority = site
    context = trusting(authority)
    context.maximum_version = version
    client = smtplib.SMTP("127.0.0.1", relay.port, timeout=30)
    client.starttls(context=context)
    client.ehlo()
    return client


def binding_of(client: smtplib.SMTP, kind: str) -> bytes:
    """What this end has for a binding of this type."""
    connection: Any = client.sock
    if kind == "tls-unique":
        return bytes(connection.get_channel_binding("tls-unique"))
    if kind == "tls-exporter":
        return Exporter().binding(connection)
    return hashlib.sha256(connection.getpeercert(binary_form=True)).digest()


def log_in(client: smtplib.SMTP, kind: str, data: bytes) -> int:
    scram = ScramClient("alice", "sesame", "sha256", binding=kind, data=data)
    code, said = client.docmd("AUTH", f"SCRAM-SHA-256-PLUS {b64encode(scram.first()).decode()}")
    if code == 334:
        code, said = client.docmd(b64encode(scram.final(b64decode(said))).decode())
    if code == 334:
        assert scram.is_server_proved(b64decode(said))
        code, _ = client.docmd("")
    return code


@pytest.mark.parametrize(
    ("version", "kind"),
    [(V12, "tls-unique"), (V12, "tls-server-end-point"), (V13, "tls-exporter"), (V13, "tls-server-end-point")],
)
def test_a_log_in_is_bound_to_its_connection(site: tuple[Relay, Authority], version: ssl.TLSVersion, kind: str) -> None:
    with secured(site, version) as client:
        assert "SCRAM-SHA-256-PLUS" in client.esmtp_features["auth"].split()
        data = binding_of(client, kind)
        assert len(data) >= 12
        assert log_in(client, kind, bytes(len(data))) == 501
        assert log_in(client, kind, data) == 235
        client.sendmail("a@example.com", ["b@example.net"], f"Subject: bound {kind} {version.name}\r\n\r\nx\r\n")
    (mail,) = site[0].wait_captured(f"bound {kind} {version.name}".encode())
    assert b"with ESMTPSA id" in mail


def test_who_has_logged_in_before_tls_has_to_log_in_again(site: tuple[Relay, Authority]) -> None:
    relay, authority = site
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        client.ehlo()
        assert "SCRAM-SHA-256-PLUS" not in client.esmtp_features["auth"].split()
        scram = ScramClient("alice", "sesame", "sha256")
        _, challenge = client.docmd("AUTH", f"SCRAM-SHA-256 {b64encode(scram.first()).decode()}")
        client.docmd(b64encode(scram.final(b64decode(challenge))).decode())
        assert client.docmd("")[0] == 235
        client.ehlo()
        assert not client.has_extn("auth")
        client.starttls(context=trusting(authority))
        client.ehlo()
        assert client.has_extn("auth")
        client.sendmail("a@example.com", ["b@example.net"], "Subject: nobody\r\n\r\nx\r\n")
    (mail,) = relay.wait_captured(b"Subject: nobody")
    assert b"with ESMTPS id" in mail
