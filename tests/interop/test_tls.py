"""Real TLS clients at a real relay: openssl, smtplib, swaks, Postfix; what is unsafe is refused, with the reason."""

import smtplib
import socket
import ssl
import subprocess
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.support.authority import Issued
from tests.support.tlssite import PROTOCOL, Site, answer_of, name_shown, s_client, send, site_of, trusting


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = site_of(tmp_path_factory.mktemp("site"))
    with made.relay:
        yield made


# -- versions and ciphers --------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1_2", "1_3"])
@pytest.mark.parametrize("listener", ["relay", "required", "implicit"])
def test_what_is_safe_is_spoken(site: Site, version: str, listener: str) -> None:
    port = site.relay.port if listener == "relay" else getattr(site, listener)
    options = (f"-tls{version}", "-CAfile", str(site.authority.file), "-verify_return_error", "-crlf")
    code, said = s_client(port, *options, starttls=listener != "implicit")
    assert code == 0, said
    assert PROTOCOL.findall(said)[0] == f"TLSv{version.replace('_', '.')}", said
    assert "Verify return code: 0 (ok)" in said


@pytest.mark.parametrize("version", ["1", "1_1"])
def test_old_versions_are_refused(site: Site, version: str) -> None:
    before = len(site.relay.records("HandshakeFailed"))
    code, said = s_client(site.relay.port, f"-tls{version}", "-cipher", "ALL:@SECLEVEL=0")
    assert code != 0, said
    assert "alert protocol version" in said  # the client's administrator sees why, too
    failed = site.relay.wait_for("HandshakeFailed", before + 1)[-1]
    assert "only versions of TLS that are not allowed here" in failed["reason"]


@pytest.mark.parametrize("version", ["1", "1_1"])
def test_old_versions_are_spoken_where_an_option_says_so(site: Site, version: str) -> None:
    code, said = s_client(site.legacy, f"-tls{version}", "-cipher", "ALL:@SECLEVEL=0")
    assert code == 0, said
    shown = f"TLSv{version.replace('_', '.')}"
    assert site.relay.wait_for("ConnectionSecured", listener="legacy", version=shown)


@pytest.mark.parametrize(
    "cipher",
    ["AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "AECDH-AES128-SHA"],
)
def test_weak_ciphers_are_refused(site: Site, cipher: str) -> None:
    before = len(site.relay.records("HandshakeFailed"))
    code, said = s_client(site.relay.port, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")
    assert code != 0, said
    assert "alert handshake failure" in said
    failed = site.relay.wait_for("HandshakeFailed", before + 1)[-1]
    assert "no cipher that is allowed here" in failed["reason"]


def test_renegotiation_is_refused(site: Site) -> None:
    _, said = s_client(site.relay.port, "-tls1_2", say=b"R\n")
    assert "RENEGOTIATING" in said
    assert "no renegotiation" in said, said


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed(site: Site, version: ssl.TLSVersion) -> None:
    context = trusting(site.authority)
    context.maximum_version = version
    session = None
    for is_reused in (False, True):
        raw = socket.create_connection(("127.0.0.1", site.implicit), timeout=30)
        with raw, context.wrap_socket(raw, server_hostname="relay.example.com", session=session) as wrapped:
            assert answer_of(wrapped).startswith(b"220")  # with it come the tickets of TLS 1.3
            session = wrapped.session
            assert wrapped.session_reused is is_reused
    assert site.relay.wait_for("ConnectionSecured", resumed=True, version=version.name.replace("_", "."))


# -- certificates by name --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("relay.example.com", "relay.example.com"),
        ("mail.example.org", "mail.example.org"),
        ("MAIL.Example.ORG", "mail.example.org"),
        ("any.example.net", "mail.example.org"),
        ("a.b.example.net", "relay.example.com"),
        ("unknown.example.com", "relay.example.com"),
        (None, "relay.example.com"),
    ],
)
def test_the_name_asked_for_chooses_the_certificate(site: Site, asked: str | None, shown: str) -> None:
    assert name_shown(site.implicit, site.authority, asked)[0] == shown
    if asked is not None:
        assert site.relay.wait_for("ConnectionSecured", listener="implicit", sni=asked)


# -- certificates of clients -----------------------------------------------------------------------


def test_a_client_proves_itself(site: Site) -> None:
    own = site.clients.issue("printer", ["printer.example.com", "scan@example.com"], common_name="printer 7")
    for listener, port in (("required", site.required), ("known", site.known)):
        context = trusting(site.authority, own)
        if listener == "known":
            client: smtplib.SMTP = smtplib.SMTP_SSL("127.0.0.1", port, timeout=30, context=context)
        else:
            client = smtplib.SMTP("127.0.0.1", port, timeout=30)
            client.starttls(context=context)
        with client:
            send(client, f"proved-to-{listener}")
        (entry,) = site.relay.wait_for("ConnectionSecured", listener=listener, subject="commonName=printer 7")
        assert entry["names"] == ["DNS:printer.example.com", "email:scan@example.com"]
        shown = subprocess.run(
            ["openssl", "x509", "-in", own.certificate, "-noout", "-fingerprint", "-sha256"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert entry["fingerprint"] == shown.strip().partition("=")[2].replace(":", "").lower()


def fails_with(site: Site, own: Issued | None, version: ssl.TLSVersion) -> str:
    """Why the relay does not take a client with the certificate `own` at a listener that requires a good one."""
    context = trusting(site.authority, own)
    context.maximum_version = version
    before = len(site.relay.records("HandshakeFailed", listener="known"))
    with pytest.raises((ssl.SSLError, ConnectionError, smtplib.SMTPServerDisconnected)):
        smtplib.SMTP_SSL("127.0.0.1", site.known, timeout=30, context=context)
    return str(site.relay.wait_for("HandshakeFailed", before + 1, listener="known")[-1]["reason"])


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_who_does_not_prove_itself_is_told_apart(site: Site, version: ssl.TLSVersion) -> None:
    foreign = site.authority.issue("foreign", ["printer.example.com"])
    expired = site.clients.issue("expired", ["printer.example.com"], life=timedelta(days=-1))
    assert "has no certificate, and this listener requires one" in fails_with(site, None, version)
    assert "certificate is not accepted: self-signed certificate in certificate chain" in fails_with(
        site, foreign, version
    )
    assert "certificate is not accepted: certificate has expired" in fails_with(site, expired, version)
    name = version.name.lower().replace("v", "")
    _, said = s_client(site.known, f"-{name}", "-ign_eof", starttls=False)
    assert ("alert certificate required" if name == "tls1_3" else "alert handshake failure") in said


def test_a_certificate_that_is_only_requested_may_be_missing(site: Site) -> None:
    with smtplib.SMTP("127.0.0.1", site.required, timeout=30) as client:
        client.starttls(context=trusting(site.authority))
        assert client.ehlo()[0] == 250
    assert site.relay.wait_for("ConnectionSecured", listener="required")
