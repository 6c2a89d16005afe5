"""Log-ins under TLS by real clients: SCRAM bound to its channel, client certificates, and passwords that need TLS.

gsasl, which has GnuTLS, binds to what its version of TLS has; curl and msmtp show a certificate.
"""

import asyncio
import shutil
import smtplib
import socket
import ssl
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

from postroad.net.tls.exporter import Exporter
from tests.support.authority import Authority, Issued
from tests.support.logins import scram_line, write_lines
from tests.support.ports import free_port
from tests.support.relay import CAPTURE, Relay
from tests.support.saslclient import ScramClient
from tests.support.tlssite import trusting

SECRET = "canary-horse"
MESSAGE = b"From: <alice@example.com>\r\nTo: <bob@example.net>\r\nSubject: A test\r\n\r\nbody\r\n"


class Site:
    """A relay with STARTTLS whose listeners want a log-in; `certs` is one that takes client certificates."""

    def __init__(self, folder: Path) -> None:
        self.authority, self.clients = Authority(folder / "tls"), Authority(folder / "clients", "Clients")
        own = self.authority.issue("own", ["localhost", "127.0.0.1"])
        self.printer = self.clients.issue("printer", ["printer.example.com"])
        self.scanner = self.clients.issue("scanner", common_name="scanner")
        self.nobody = self.clients.issue("nobody", ["nobody.example.com"])
        digest = sha256(ssl.PEM_cert_to_DER_cert(self.scanner.certificate.read_text())).hexdigest()
        self.certs = free_port()
        more = (
            f'[tls]\n{own.options}\n[auth]\nfailure_delay = "10ms"\n[auth.users]\nfile = "users"\n'
            f'[auth.certificates]\n"printer.example.com" = "printer"\n"sha256:{digest}" = "scanner"\n'
            f'[listeners.certs]\nbind = ["127.0.0.1:{self.certs}"]\nauth = "required"\n'
            f'client_certificates = "request"\nclient_ca = "{self.clients.file}"\n'
        )
        self.relay = Relay(folder / "relay", more + CAPTURE)
        config = self.relay.config
        config.write_text(config.read_text().replace("[listeners.test]", '[listeners.test]\nauth = "required"'))
        lines = [scram_line("alice", SECRET, hash_name) for hash_name in ("sha256", "sha1")]
        write_lines(self.relay.folder / "users", [*lines, "printer:-:groups=devices"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    with site.relay:
        yield site
    assert "canary" not in site.relay.log_file.read_text()


def run(command: list[str], cwd: Path, content: bytes = MESSAGE) -> subprocess.CompletedProcess[bytes]:
    assert shutil.which(command[0]), f"{command[0]} not found: install the Debian package of that name"
    return subprocess.run(command, input=content, capture_output=True, timeout=60, check=False, cwd=cwd)


def test_passwords_are_offered_under_tls_alone(site: Site) -> None:
    with smtplib.SMTP("127.0.0.1", site.relay.port, timeout=60) as client:
        client.ehlo()
        assert client.esmtp_features["auth"].split() == ["SCRAM-SHA-256", "SCRAM-SHA-1"]
        assert client.docmd("AUTH PLAIN")[0] == 538
        client.starttls(context=trusting(site.authority))
        client.ehlo()
        offered = "SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN"
        assert client.esmtp_features["auth"].strip() == offered
        client.login("alice", SECRET)
        client.sendmail("alice@example.com", ["bob@example.net"], MESSAGE)
    mail = site.relay.wait_for("MessageAccepted")[-1]
    assert (mail["origin"]["protocol"], mail["origin"]["login"]) == ("ESMTPSA", "alice")


def test_a_log_in_before_tls_is_forgotten(site: Site) -> None:
    """Who was proved before STARTTLS has to prove it again (RFC 3207 4.2)."""
    with smtplib.SMTP("127.0.0.1", site.relay.port, timeout=60) as client:
        client.ehlo()
        scram = ScramClient("alice", SECRET, "sha256")
        _, challenge = client.docmd("AUTH SCRAM-SHA-256", b64encode(scram.first()).decode())
        assert client.docmd(b64encode(scram.final(b64decode(challenge))).decode())[0] == 334
        assert client.docmd("")[0] == 235
        client.starttls(context=trusting(site.authority))
        client.ehlo()
        assert client.mail("alice@example.com")[0] == 530
        client.login("alice", SECRET)
        assert client.mail("alice@example.com")[0] == 250


async def greeted(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass a connection on to the relay that has heard EHLO already: gsasl begins with STARTTLS."""
    there, back = await asyncio.open_connection("localhost", port)
    banner = await there.readline()
    back.write(b"EHLO client.example.org\r\n")
    while not (await there.readline()).startswith(b"250 "):
        pass
    writer.write(banner)

    async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while octets := await source.read(1 << 16):
            target.write(octets)
        target.close()

    await asyncio.gather(pass_on(reader, back), pass_on(there, writer), return_exceptions=True)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"])
async def test_gsasl_binds_to_the_channel(site: Site, mechanism: str, version: str, tmp_path: Path) -> None:
    relay = site.relay
    before = len(relay.records("Authenticated", mechanism=mechanism))
    door = await asyncio.start_server(partial(greeted, relay.port), "127.0.0.1", 0)
    port = door.sockets[0].getsockname()[1]

    async def attempt(secret: str) -> bytes:
        """What gsasl says when it has logged in with `secret`, or has not."""
        command = ["gsasl", "--smtp", "--starttls", f"--mechanism={mechanism}", "--authentication-id=alice",
                   "--authorization-id=", f"--password={secret}", "--x509-ca-file=",
                   f"--priority=NORMAL:-VERS-ALL:+VERS-TLS{version}", "127.0.0.1", str(port)]  # fmt: skip
        return (await asyncio.to_thread(run, command, tmp_path, b"")).stderr

    async with door:
        said = await attempt(SECRET)
        assert b"server trusted" in said, said
        assert await asyncio.to_thread(relay.wait_for, "Authenticated", before + 1, mechanism=mechanism)
        assert b"server trusted" not in await attempt("canary-wrong")
    failed = await asyncio.to_thread(relay.wait_for, "AuthFailed", mechanism=mechanism)
    assert failed[-1]["reason"] == "wrong password"
    secured = relay.records("ConnectionSecured")[-1]
    assert secured["version"] == f"TLSv{version}"


def test_what_was_proved_elsewhere_proves_nothing_here(site: Site) -> None:
    """A man in the middle who passes on a bound log-in is found out."""
    context = trusting(site.authority)
    for version, mechanism, binding in (
        (ssl.TLSVersion.TLSv1_3, "SCRAM-SHA-256-PLUS", "tls-exporter"),
        (ssl.TLSVersion.TLSv1_2, "SCRAM-SHA-1-PLUS", "tls-unique"),
    ):
        context.minimum_version = context.maximum_version = version
        own = bound(site, context, mechanism, binding, elsewhere=False)
        other = bound(site, context, mechanism, binding, elsewhere=True)
        assert (own, other) == (334, 501)
    reasons = {entry["reason"] for entry in site.relay.wait_for("AuthFailed", code=501)}
    assert reasons == {"the channel binding is another one: somebody may be in between"}


def bound(site: Site, context: ssl.SSLContext, mechanism: str, binding: str, *, elsewhere: bool) -> int:
    """The answer to the client's final message when it is bound to its connection, or to another."""
    with smtplib.SMTP("127.0.0.1", site.relay.port, timeout=60) as first:
        first.starttls(context=context)
        with smtplib.SMTP("127.0.0.1", site.relay.port, timeout=60) as second:
            second.starttls(context=context)
            data = channel((second if elsewhere else first).sock, binding)
            hash_name = "sha256" if "256" in mechanism else "sha1"
            client = ScramClient("alice", SECRET, hash_name, binding=binding, data=data)
            first.ehlo()
            _, challenge = first.docmd("AUTH", f"{mechanism} {b64encode(client.first()).decode()}")
            code, said = first.docmd(b64encode(client.final(b64decode(challenge))).decode())
            if code == 334:
                assert client.is_server_proved(b64decode(said))
                assert first.docmd("")[0] == 235
            return code


def channel(wrapped: socket.socket | None, binding: str) -> bytes:
    """The binding that the client has of its connection."""
    assert isinstance(wrapped, ssl.SSLSocket)
    found = Exporter().binding(wrapped) if binding == "tls-exporter" else wrapped.get_channel_binding("tls-unique")
    assert found
    return found


def msmtp(site: Site, port: int, *more: str) -> list[str]:
    trust = f"--tls-trust-file={site.authority.file}"
    server = ("--host=localhost", f"--port={port}", "--tls=on", "--tls-starttls=on", trust)
    return ["msmtp", "--file=/dev/null", *server, "--from=alice@example.com", *more, "bob@example.net"]


def curl(site: Site, port: int, *more: str) -> list[str]:
    return ["curl", "-sS", "--ssl-reqd", f"smtp://localhost:{port}/client.example.org", "--cacert",
            str(site.authority.file), "--mail-from", "alice@example.com", "--mail-rcpt", "bob@example.net", *more,
            "-T", "-"]  # fmt: skip


def with_certificate(client: str, site: Site, issued: Issued, login: str) -> list[str]:
    if client == "msmtp":
        files = (f"--tls-cert-file={issued.certificate}", f"--tls-key-file={issued.key}")
        return msmtp(site, site.certs, *files, "--auth=external", f"--user={login}")
    shown = ("--cert", str(issued.certificate), "--key", str(issued.key))
    return curl(site, site.certs, *shown, "--login-options", "AUTH=EXTERNAL", "-u", f"{login}:")


@pytest.mark.parametrize("client", ["msmtp", "curl"])
def test_client_certificates(site: Site, client: str, tmp_path: Path) -> None:
    for issued, login, source in (
        (site.printer, "printer", "users"),
        (site.scanner, "scanner", "certificates"),
    ):
        before = len(site.relay.records("Authenticated", login=login))
        done = run(with_certificate(client, site, issued, login), tmp_path)
        assert done.returncode == 0, done
        entry = site.relay.wait_for("Authenticated", before + 1, login=login)[-1]
        assert (entry["mechanism"], entry["source"]) == ("EXTERNAL", source)
    before = len(site.relay.records("AuthFailed", mechanism="EXTERNAL"))
    assert run(with_certificate(client, site, site.printer, "scanner"), tmp_path).returncode != 0
    failed = site.relay.wait_for("AuthFailed", before + 1, mechanism="EXTERNAL")[-1]
    assert failed["reason"] == "it is another's"
    assert run(with_certificate(client, site, site.nobody, "nobody"), tmp_path).returncode != 0  # it is not offered
