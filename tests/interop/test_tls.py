"""Real TLS clients at a real relay: openssl, smtplib, swaks, Postfix; what is unsafe is refused, with the reason."""

import contextlib
import re
import smtplib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.authority import Authority, Issued, replace
from tests.support.postfix import Postfix, free_port, smtp_to
from tests.support.processes import MakeRelay
from tests.support.relay import CAPTURE, Relay, wait_until

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


def site_of(folder: Path) -> tuple[Site, str]:
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
    return Site(relay, authority, clients, *ports), more


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made, _ = site_of(tmp_path_factory.mktemp("site"))
    with made.relay:
        yield made


def s_client(port: int, *options: str, starttls: bool = True, say: bytes = b"QUIT\r\n") -> tuple[int, str]:
    """The exit code of `openssl s_client` and all that it wrote."""
    how = ("-starttls", "smtp") if starttls else ("-quiet",) if "-quiet" in options else ()
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *how, *options]
    done = subprocess.run(command, input=say, capture_output=True, timeout=60, check=False)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


def trusting(authority: Authority, own: Issued | None = None) -> ssl.SSLContext:
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
    failed = site.relay.wait_for("HandshakeFailed", before + 1)[-1]
    assert "no cipher that is allowed here" in failed["reason"]


def test_renegotiation_is_refused(site: Site) -> None:
    _, said = s_client(site.relay.port, "-tls1_2", say=b"R\n")
    assert "RENEGOTIATING" in said
    assert "no renegotiation" in said, said


def test_sessions_are_resumed(site: Site, tmp_path: Path) -> None:
    kept = str(tmp_path / "session")
    for version in ("-tls1_2", "-tls1_3"):
        # The relay's tickets of TLS 1.3 come behind the handshake, so the client has to be answered once.
        s_client(site.relay.port, version, "-sess_out", kept, "-crlf", say=b"NOOP\r\nQUIT\r\n")
        _, said = s_client(site.relay.port, version, "-sess_in", kept)
        assert "Reused, " in said, said
    assert {entry["version"] for entry in site.relay.wait_for("ConnectionSecured", 2, resumed=True)} == {
        "TLSv1.2",
        "TLSv1.3",
    }


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


# -- the session -----------------------------------------------------------------------------------


def test_smtplib_and_the_trace(site: Site) -> None:
    with smtplib.SMTP("127.0.0.1", site.relay.port, "client.example.org", timeout=30) as client:
        client.ehlo()
        assert client.has_extn("starttls")
        client.starttls(context=trusting(site.authority))
        client.ehlo()
        assert not client.has_extn("starttls")
        assert client.docmd("STARTTLS") == (503, b"5.5.1 TLS is active already")
        send(client, "by-starttls")
    (mail,) = site.relay.wait_captured(b"by-starttls")
    head = mail.replace(b"\r\n\t", b" ")
    assert b"with ESMTPS id" in head
    assert re.search(rb"\(using TLSv1\.3 with cipher TLS_AES_256_GCM_SHA384 \(256/256 bits\)\)", head)
    assert site.relay.wait_for("MessageAccepted", 1)[-1]["origin"]["protocol"] == "ESMTPS"


def test_smtplib_from_the_first_octet_on(site: Site) -> None:
    with smtplib.SMTP_SSL(
        "127.0.0.1", site.implicit, "c.example", timeout=30, context=trusting(site.authority)
    ) as client:
        client.ehlo()
        assert not client.has_extn("starttls")
        options = ["SMTPUTF8"]
        client.sendmail("ä@example.com", ["b@example.net"], MESSAGE.format("by-implicit").encode(), options)
    (mail,) = site.relay.wait_captured(b"by-implicit")
    assert b"with UTF8SMTPS id" in mail


@pytest.mark.parametrize("how", ["--tls", "--tls-on-connect"])
def test_swaks(site: Site, how: str) -> None:
    port = site.relay.port if how == "--tls" else site.implicit
    marker = f"swaks{how}"
    envelope = ["--from", "a@example.com", "--to", "b@example.net", "--header", f"Subject: {marker}"]
    command = ["swaks", "--server", f"127.0.0.1:{port}", how, *envelope]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout.decode()
    site.relay.wait_captured(marker.encode())


def test_postfix_is_a_client(site: Site) -> None:
    settings = {
        "smtp_tls_security_level": "secure",
        "smtp_tls_CAfile": "${config_directory}/ca.pem",
        "smtp_tls_secure_cert_match": "relay.example.com",
        "smtp_tls_loglevel": "1",
    }
    with contextlib.ExitStack() as open_now:
        postfix = Postfix(smtp_to(site.relay.port), settings=settings)
        (postfix.config / "ca.pem").write_bytes(site.authority.file.read_bytes())
        open_now.enter_context(postfix)
        with smtplib.SMTP("127.0.0.1", postfix.port, timeout=30) as client:
            send(client, "by-postfix")
        site.relay.wait_captured(b"by-postfix")
        assert "Verified TLS connection established to 127.0.0.1" in postfix.log_file.read_text()


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


@pytest.mark.parametrize(
    "early", [b"NOOP\r\n", b"EHLO evil.example\r\nMAIL FROM:<evil@example.com>\r\n", b"x", b"\x16\x03\x01\x00\x05hello"]
)
def test_octets_behind_starttls_end_the_session(site: Site, early: bytes) -> None:
    with speak(site.relay.port, b"EHLO c.example\r\n", b"STARTTLS\r\n" + early) as peer:
        assert rest_of(peer) == b"554 5.5.1 Protocol error: octets behind STARTTLS\r\n"
    assert site.relay.wait_for("CommandRefused", stage="starttls", detail=f"{len(early)} octets behind STARTTLS")


def test_plain_text_after_the_answer_is_never_obeyed(site: Site) -> None:
    before = len(site.relay.records("HandshakeFailed"))
    with speak(site.relay.port, b"EHLO c.example\r\n", b"STARTTLS\r\n") as peer:
        assert answer_of(peer) == b"220 2.0.0 Ready to start TLS\r\n"
        peer.sendall(b"MAIL FROM:<evil@example.com>\r\n" * 3)
        assert b"250" not in rest_of(peer)
    assert "not TLS" in site.relay.wait_for("HandshakeFailed", before + 1)[-1]["reason"]


def test_nothing_said_before_tls_counts_after_it(site: Site) -> None:
    context = trusting(site.authority)
    peer = speak(site.relay.port, b"EHLO before.example\r\n", b"MAIL FROM:<before@example.com>\r\n", b"STARTTLS\r\n")
    assert answer_of(peer).startswith(b"503 5.5.1 Not allowed in a mail transaction")
    peer.sendall(b"RSET\r\n")
    answer_of(peer)
    peer.sendall(b"STARTTLS now\r\n")
    assert answer_of(peer).startswith(b"501 5.5.4")
    peer.sendall(b"STARTTLS\r\n")
    answer_of(peer)
    with context.wrap_socket(peer, server_hostname="relay.example.com") as wrapped:
        for line, answer in (
            (b"MAIL FROM:<a@example.com>\r\n", b"503 5.5.1 Send EHLO or HELO first"),
            (b"RCPT TO:<a@example.com>\r\n", b"503 5.5.1"),
            (b"HELO after.example\r\n", b"250 relay.example.com"),
            (b"MAIL FROM:<a@example.com>\r\n", b"250 2.1.0"),
            (b"RCPT TO:<b@example.net>\r\n", b"250 2.1.5"),
            (b"DATA\r\n", b"354"),
            (b"Subject: anew\r\n\r\nHello\r\n.\r\n", b"250 2.0.0"),
        ):
            wrapped.sendall(line)
            assert answer_of(wrapped).startswith(answer), line
    (mail,) = site.relay.wait_captured(b"Subject: anew")
    assert b"Received: from after.example " in mail
    assert b"before" not in mail


def test_a_client_that_goes_on_in_the_same_write_as_its_handshake_ends(site: Site) -> None:
    """The last part of the handshake and the first command may come together."""
    context = trusting(site.authority)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    mine = context.wrap_bio(incoming, outgoing, server_hostname="relay.example.com")
    with speak(site.relay.port, b"EHLO c.example\r\n", b"STARTTLS\r\n") as peer:
        answer_of(peer)
        while True:
            try:
                mine.do_handshake()
                break
            except ssl.SSLWantReadError:
                peer.sendall(outgoing.read())
                incoming.write(peer.recv(1 << 16))
        mine.write(b"EHLO quick.example\r\nQUIT\r\n")
        peer.sendall(outgoing.read())
        said = b""
        with contextlib.suppress(ssl.SSLZeroReturnError):
            while b"221 " not in said:
                try:
                    said += mine.read(1 << 16)
                except ssl.SSLWantReadError:
                    part = peer.recv(1 << 16)
                    assert part, said
                    incoming.write(part)
    assert said.startswith(b"250-relay.example.com\r\n")
    assert b"\r\n221 2.0.0 Bye\r\n" in said


def test_required_means_before_everything(site: Site) -> None:
    lines = (
        b"MAIL FROM:<a@example.com>",
        b"RCPT TO:<a@example.com>",
        b"DATA",
        b"VRFY a",
        b"HELP",
        b"AUTH PLAIN",
        b"XYZ",
    )
    with speak(site.required, b"NOOP\r\n") as peer:
        assert answer_of(peer).startswith(b"250")
        for line in (b"EHLO c.example", b"RSET", b"HELO c.example"):
            peer.sendall(line + b"\r\n")
            assert answer_of(peer).startswith(b"250"), line
        for line in lines:
            peer.sendall(line + b"\r\n")
            assert answer_of(peer) == b"530 5.7.0 Must issue a STARTTLS command first\r\n", line
        peer.sendall(b"QUIT\r\n")
        assert answer_of(peer).startswith(b"221")
    with smtplib.SMTP("127.0.0.1", site.required, timeout=30) as client:
        client.starttls(context=trusting(site.authority))
        send(client, "as-required")
    site.relay.wait_captured(b"as-required")


def test_starttls_is_unknown_where_there_is_no_certificate(tmp_path: Path) -> None:
    with Relay(tmp_path) as relay, smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        client.ehlo()
        assert not client.has_extn("starttls")
        assert client.docmd("STARTTLS")[0] == 502


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


def test_a_certificate_that_is_only_requested_may_be_missing(site: Site) -> None:
    with smtplib.SMTP("127.0.0.1", site.required, timeout=30) as client:
        client.starttls(context=trusting(site.authority))
        assert client.ehlo()[0] == 250
    assert site.relay.wait_for("ConnectionSecured", listener="required")


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


# -- who stalls ------------------------------------------------------------------------------------


def test_stalled_handshakes_starve_nobody(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    own = authority.issue("own", ["relay.example.com"])
    port = free_port()
    more = (
        f'[tls]\n{own.options}handshakes = 20\nhandshake_timeout = "120s"\n[limits]\nsessions_per_ip = 1000\n'
        f'[listeners.implicit]\nbind = ["127.0.0.1:{port}"]\ntls = "implicit"\n{CAPTURE}'
    )
    with Relay(tmp_path / "relay", more) as relay, contextlib.ExitStack() as stalled:
        stop = threading.Event()
        sent: list[str] = []

        def talk() -> None:
            with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as client:
                while not stop.is_set():
                    send(client, f"plain-{len(sent)}")
                    sent.append("")

        talking = threading.Thread(target=talk)
        talking.start()
        try:
            for number in range(300):
                peer = stalled.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
                if number % 2:
                    peer.sendall(b"\x16\x03\x01\x02\x00\x01")
            count = len(sent)
            wait_until(lambda: len(sent) > count + 20, "mail flows in plain text")
            # Whoever has stalled for long enough makes way for who does not.
            deadline = time.monotonic() + 60
            while True:
                try:
                    with smtplib.SMTP_SSL("127.0.0.1", port, timeout=30, context=trusting(authority)) as client:
                        send(client, "in-spite-of-it")
                    break
                except OSError:
                    assert time.monotonic() < deadline
                    time.sleep(0.2)
        finally:
            stop.set()
            talking.join(60)
        relay.wait_captured(b"in-spite-of-it")
        cut = relay.wait_for("HandshakeFailed")
        assert "not done yet when others waited" in cut[0]["reason"]
        assert relay.wait_for("CommandRefused", stage="connect", detail="tls.handshakes")


def test_a_handshake_has_its_time(tmp_path: Path) -> None:
    own = Authority(tmp_path / "tls").issue("own", ["relay.example.com"])
    with Relay(tmp_path / "relay", f'[tls]\n{own.options}handshake_timeout = "1s"\n{CAPTURE}') as relay:
        with speak(relay.port, b"EHLO c.example\r\n", b"STARTTLS\r\n") as peer:
            answer_of(peer)
            assert rest_of(peer) == b""
        (failed,) = relay.wait_for("HandshakeFailed")
        assert failed["reason"] == "not done within 1s"
        (closed,) = relay.wait_for("ConnectionClosed", session=failed["session"])
        assert closed["reason"] == "TLS handshake failed: not done within 1s"
