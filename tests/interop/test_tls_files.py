"""Certificates in files: replaced while sessions run, broken, readable by root alone, with several processes."""

import smtplib
import socket
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.authority import Authority, replace
from tests.support.command import run_command
from tests.support.ports import free_port
from tests.support.processes import MakeRelay, Processes
from tests.support.relay import CAPTURE, Relay
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


# -- keys that are root's alone --------------------------------------------------------------------


def starttls_works(relay: Relay, authority: Authority) -> bool:
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        client.starttls(context=trusting(authority))
        return client.ehlo()[0] == 250


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that other users can enter, for it and what is above."""
    with tempfile.TemporaryDirectory(prefix="postroad-tls-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_key_of_root_is_read_before_root_is_given_up(reachable: Path, make_relay: MakeRelay) -> None:
    authority = Authority(reachable / "tls")
    own = authority.issue("own", ["relay.example.com"])
    relay = make_relay(reachable / "relay", f"[tls]\n{own.options}{CAPTURE}")
    edges = int(relay.config.read_text().rpartition("edges = ")[2])
    relay.config.write_text(f'{relay.config.read_text()}user = "nobody"\n')
    (reachable / "relay").chmod(0o755)
    with relay:
        assert starttls_works(relay, authority)
        if edges:
            assert isinstance(relay, Processes)
            relay.hurt_and_wait("edge-1")  # whoever takes its place is not root
            assert all(starttls_works(relay, authority) for _ in range(6))
        authority.issue("own", ["relay.example.com"])
        told = relay.wait_for("CertificateRefused")[0]
        assert told["reason"] == f"{own.key} cannot be read: Permission denied"
        assert starttls_works(relay, authority)
    whole = (relay.folder / "stdout").read_text()
    assert "can be read at the start alone, and not again when it changes" in whole


# -- other configurations, other programs ----------------------------------------------------------


def test_a_reload_changes_what_new_sessions_are_offered(tmp_path: Path, make_relay: MakeRelay) -> None:
    authority = Authority(tmp_path / "tls")
    own = authority.issue("own", ["relay.example.com"])
    with make_relay(tmp_path / "relay", CAPTURE) as relay:
        sound = relay.config.read_text()
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as before:
            assert not before.has_extn("starttls")
            replace(relay.config, f"{sound}\n[tls]\n{own.options}".encode())
            assert run_command("reload", "-c", relay.config).code == 0
            assert starttls_works(relay, authority)
            assert before.docmd("STARTTLS")[0] == 502  # a session keeps what it began with
        replace(relay.config, f'{sound}\n[tls]\n{own.options}minimum_version = "TLSv1.3"\n'.encode())
        assert run_command("reload", "-c", relay.config).code == 0
        context = trusting(authority)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client, pytest.raises((ssl.SSLError, OSError)):
            client.starttls(context=context)
        good = own.key.read_bytes()
        own.key.write_bytes(b"broken")
        refused = run_command("reload", "-c", relay.config)
        assert refused.code == 78
        assert f"{own.key}: has no private key in PEM form" in refused.err
        assert starttls_works(relay, authority)
        own.key.write_bytes(good)


def test_an_upgrade_goes_on_with_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    own = authority.issue("own", ["relay.example.com"])
    port = free_port()
    implicit = f'[listeners.implicit]\nbind = ["127.0.0.1:{port}"]\ntls = "implicit"\n'
    with Relay(tmp_path / "relay", f"[tls]\n{own.options}{implicit}{CAPTURE}") as relay:
        assert starttls_works(relay, authority)
        assert run_command("upgrade", "-c", relay.config).code == 0
        relay.wait_for("ServerStarted", 2)
        assert starttls_works(relay, authority)
        with smtplib.SMTP_SSL("127.0.0.1", port, timeout=30, context=trusting(authority)) as client:
            send(client, "after-the-upgrade")
        relay.wait_captured(b"after-the-upgrade")
        own.key.write_bytes(b"broken")
        failed = run_command("upgrade", "-c", relay.config)
        assert failed.code != 0
        assert "has no private key in PEM form" in failed.err
