"""Sessions under TLS: nothing of before it counts, nothing in plain text is obeyed, and who stalls starves nobody."""

import contextlib
import re
import smtplib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.authority import Authority
from tests.support.ports import free_port
from tests.support.postfix import Postfix, smtp_to
from tests.support.relay import CAPTURE, Relay, wait_until
from tests.support.tlssite import (
    MESSAGE,
    Site,
    answer_of,
    rest_of,
    send,
    site_of,
    speak,
    trusting,
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = site_of(tmp_path_factory.mktemp("site"))
    with made.relay:
        yield made


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


def test_who_stalls_does_not_hold_up_the_end(tmp_path: Path) -> None:
    own = Authority(tmp_path / "tls").issue("own", ["relay.example.com"])
    port = free_port()
    implicit = f'[listeners.implicit]\nbind = ["127.0.0.1:{port}"]\ntls = "implicit"\n'
    with Relay(tmp_path / "relay", f"[tls]\n{own.options}{implicit}{CAPTURE}") as relay:
        first = speak(relay.port, b"EHLO c.example\r\n", b"STARTTLS\r\n")
        with first, socket.create_connection(("127.0.0.1", port), timeout=30):
            answer_of(first)
            relay.wait_for("ConnectionOpened", listener="implicit")
            assert relay.stop() == 0
    cut = relay.records("HandshakeFailed")
    assert [entry["reason"] for entry in cut] == ["the server shuts down"] * 2
