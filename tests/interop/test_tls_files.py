"""Certificates in files: replaced while sessions run, broken, readable by root alone, with several processes."""

import smtplib
import socket
import ssl
from pathlib import Path

from tests.support.authority import Authority, replace
from tests.support.postfix import free_port
from tests.support.processes import MakeRelay
from tests.support.relay import CAPTURE
from tests.support.tlssite import send, trusting

# -- files that change -----------------------------------------------------------------------------


def serial_of(port: int) -> int:
    """The serial number of the certificate that is shown."""
    context = ssl._create_unverified_context()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as raw, context.wrap_socket(raw) as wrapped:
        shown = wrapped.getpeercert(binary_form=True)
    assert shown is not None
    return hash(shown)


def test_a_certificate_is_replaced_while_sessions_run(tmp_path: Path, make_relay: MakeRelay) -> None:
    authority = Authority(tmp_path / "tls")
    own = authority.issue("own", ["relay.example.com"])
    port = free_port()
    listener = f'[listeners.implicit]\nbind = ["127.0.0.1:{port}"]\ntls = "implicit"\n'
    with make_relay(tmp_path / "relay", f"[tls]\n{own.options}{listener}{CAPTURE}") as relay:
        processes = max(1, int(relay.config.read_text().rpartition("edges = ")[2] or 0))
        relay.wait_for("CertificateLoaded", processes)
        first = serial_of(port)
        with smtplib.SMTP_SSL("127.0.0.1", port, timeout=30, context=trusting(authority)) as client:
            send(client, "before-it")
            authority.issue("own", ["relay.example.com"])
            relay.wait_for("CertificateLoaded", 2 * processes)
            second = serial_of(port)
            assert second != first
            send(client, "after-it")
            good = own.key.read_bytes()
            replace(own.key, authority.issue("another", ["x.example"]).key.read_bytes())
            reason = relay.wait_for("CertificateRefused", certificate=str(own.certificate))[0]["reason"]
            assert reason == f"{own.key}, for {own.certificate}: the key is that of another certificate"
            assert serial_of(port) == second
            relay.wait_for("CertificateRefused", processes)
            replace(own.key, good)
            relay.wait_for("CertificateLoaded", 3 * processes)
            assert serial_of(port) == second
            send(client, "at-the-end")
        for marker in (b"before-it", b"after-it", b"at-the-end"):
            relay.wait_captured(marker)
