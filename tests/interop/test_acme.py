"""A whole server with `[acme]` against a real CA: the first certificate, renewal under sessions, edges, no CA at all.

The CA is pebble, and it really connects to where the server answers challenges.
"""

import hashlib
import json
import smtplib
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import run_command
from tests.support.pebble import Pebble
from tests.support.relay import CAPTURE, Relay, wait_until
from tests.support.tlssite import send


@pytest.fixture(scope="module")
def pebble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    with Pebble(tmp_path_factory.mktemp("pebble")) as running:
        yield running


def section(pebble: Pebble, more: str) -> str:
    return (
        f'[acme]\ndirectory = "{pebble.directory}"\nca = "{pebble.ca}"\nagree_tos = true\n'
        f'contact = ["postmaster@example.com"]\n{more}\n'
    )


def trusting_all() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def secured(port: int) -> smtplib.SMTP:
    client = smtplib.SMTP("127.0.0.1", port, timeout=60)
    client.starttls(context=trusting_all())
    client.ehlo()
    return client


def shown(client: smtplib.SMTP) -> str:
    """The fingerprint of the server's certificate."""
    assert isinstance(client.sock, ssl.SSLSocket)
    return hashlib.sha256(client.sock.getpeercert(binary_form=True) or b"").hexdigest()


def test_the_first_certificate_and_a_renewal_under_a_session(pebble: Pebble, tmp_path: Path) -> None:
    more = section(pebble, f'bind = ["127.0.0.1:{pebble.tls_port}"]\nrenew_before = "2d"')
    with Relay(tmp_path, more + CAPTURE) as relay:
        assert relay.wait_for("CertificateLoaded")[0]["names"] == ["relay.example.com"]  # the stand-in
        obtained = relay.wait_for("CertificateObtained")[0]
        first = relay.wait_for("CertificateLoaded", expires=obtained["expires"])[0]["fingerprint"]
        with secured(relay.port) as session:
            assert shown(session) == first
            assert run_command("acme", "renew", "-c", relay.config).code == 0
            wait_until(lambda: len(relay.records("CertificateLoaded")) == 3, "the next certificate")
            second = relay.records("CertificateLoaded")[2]["fingerprint"]
            assert second != first
            with secured(relay.port) as other:
                assert shown(other) == second
            send(session, "after-the-renewal")
            assert shown(session) == first
        relay.wait_captured(b"after-the-renewal")
        told = run_command("acme", "status", "-c", relay.config)
        assert told.code == 0, told
        assert "relay.example.com: 6 days left, to be renewed at" in told.out
        found = run_command("doctor", "certificates", "-a", "-c", relay.config)
        assert found.code == 0, found
        assert "ok       certificate: relay.example.com: 6 days left" in found.out
        assert not relay.records("CertificateNotObtained")
        assert run_command("upgrade", "-c", relay.config).code == 0  # the next program begins with what is there
        with secured(relay.port) as client:
            assert shown(client) == second
        assert len(relay.records("CertificateObtained")) == 2
        assert run_command("acme", "renew", "-c", relay.config).code == 0
        relay.wait_for("CertificateObtained", 3)  # at the port that it was handed


def test_edges_share_what_the_courier_orders(pebble: Pebble, tmp_path: Path) -> None:
    """http-01 is answered by the desk, one process alone orders, and every edge has the certificate."""
    desk = f'[desk]\nbind = ["127.0.0.1:{pebble.http_port}"]\n[process]\nedges = 2\n'
    with Relay(tmp_path, section(pebble, 'challenge = "http-01"') + desk + CAPTURE) as relay:
        obtained = relay.wait_for("CertificateObtained")[0]
        fresh = relay.wait_for("CertificateLoaded", 2, expires=obtained["expires"])
        for _ in range(4):
            with secured(relay.port) as client:
                assert shown(client) == fresh[0]["fingerprint"]
        assert len(relay.records("CertificateObtained")) == 1


def test_no_ca_is_no_reason_not_to_start(pebble: Pebble, tmp_path: Path) -> None:
    """Clients that do not verify have TLS all the same; what is wrong is told; a reload with another CA mends it."""
    sound = section(pebble, f'bind = ["127.0.0.1:{pebble.tls_port}"]')
    more = sound.replace(pebble.directory, "https://127.0.0.1:9/dir")
    with Relay(tmp_path, more + CAPTURE) as relay:
        told = relay.wait_for("CertificateNotObtained")[0]
        assert told["reason"] == "https://127.0.0.1:9/dir cannot be reached: Connection refused"
        assert (told["failures"], told["days"]) == (1, -1)
        with secured(relay.port) as client:
            assert shown(client) == relay.wait_for("CertificateLoaded")[0]["fingerprint"]
            send(client, "under-a-stand-in")
        relay.wait_captured(b"under-a-stand-in")
        status = run_command("acme", "status", "--json", "-c", relay.config)
        assert status.code == 1
        said = json.loads(status.out)
        assert said["state"]["failures"] == 1
        assert "clients see one that nobody has signed; asked for in vain once" in said["finding"]["what"]
        assert run_command("doctor", "certificates", "-c", relay.config).code == 1
        assert run_command("check", "-c", relay.config).code == 0
        text = relay.config.read_text()
        relay.config.write_text(text.replace(more, ""))
        refused = run_command("reload", "-c", relay.config)
        assert refused.code == 78, refused
        assert "acme cannot change while the server runs" in refused.err
        relay.config.write_text(text.replace(more, sound))
        assert run_command("reload", "-c", relay.config).code == 0
        obtained = relay.wait_for("CertificateObtained")[0]
        relay.wait_for("CertificateLoaded", expires=obtained["expires"])
        assert run_command("acme", "status", "-c", relay.config).code == 0
