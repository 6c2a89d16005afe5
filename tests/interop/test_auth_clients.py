"""Real clients log in at a real relay with each mechanism that they know, rightly and wrongly, and send a message.

swaks, curl, msmtp, smtplib and nodemailer, without TLS from a network that `auth.plain_text_networks` names; users and
app passwords are made by `postroad user`. Tokens are judged by a source of the test's own.
"""

import asyncio
import shutil
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from postroad.auth.source import TOKENS, Attempt, Denied
from postroad.listener.settings import ListenerSettings
from postroad.model.identity import Identity
from postroad.model.records import Authenticated, AuthFailed
from tests.support.conversation import Desk
from tests.support.logins import Scripted, logins_of
from tests.support.relay import CAPTURE, Relay

NODE = Path(__file__).parent / "node"
SECRET = "canary pa\u00dfword=,:+%"  # what clients have to encode
TOKEN = "canary.token-_~+/=="
MESSAGE = b"From: <alice@example.com>\r\nTo: <bob@example.net>\r\nSubject: A test\r\n\r\nbody\r\n"
AUTH = """
[listeners.submission]
bind = ["127.0.0.1:0"]
auth = "required"

[auth]
plain_text_networks = ["127.0.0.0/8"]
failure_delay = "10ms"

[auth.users]
file = "users"
scram = ["SCRAM-SHA-256", "SCRAM-SHA-1"]
scram_rounds = 4096
"""


class Site:
    """A relay whose only listener wants a log-in, with a user and an app password of theirs."""

    def __init__(self, folder: Path) -> None:
        self.relay = Relay(folder, CAPTURE + AUTH)
        config = self.relay.config
        whole = config.read_text()
        config.write_text(whole.replace("[listeners.test]", '[listeners.test]\nauth = "required"'))
        self.user("add", "alice", "--password-stdin", secret=SECRET)
        self.app = self.user("app-password", "alice", "--label", "test", "--scope", "test").strip()
        self.elsewhere = self.user("app-password", "alice", "--scope", "submission").strip()

    def user(self, *arguments: str, secret: str = "") -> str:
        command = [sys.executable, "-m", "postroad", "user", *arguments, "-c", str(self.relay.config)]
        done = subprocess.run(command, input=secret.encode() + b"\n", capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    with site.relay:
        yield site
    log = site.relay.log_file.read_text()
    assert "canary" not in log
    assert site.app not in log
    assert site.elsewhere not in log


def swaks(port: int, method: str, secret: str) -> list[str]:
    return ["swaks", "--server", f"127.0.0.1:{port}", "--from", "alice@example.com", "--to", "bob@example.net",
            "--auth", method, "--auth-user", "alice", "--auth-password", secret, "--data", "-"]  # fmt: skip


def curl(port: int, method: str, secret: str) -> list[str]:
    login = ["--oauth2-bearer", secret, "-u", "alice:"] if "OAUTH" in method else ["-u", f"alice:{secret}"]
    return ["curl", "-sS", f"smtp://127.0.0.1:{port}/client.example.org", "--mail-from", "alice@example.com",
            "--mail-rcpt", "bob@example.net", "--login-options", f"AUTH={method}", *login, "-T", "-"]  # fmt: skip


def msmtp(port: int, method: str, secret: str, folder: Path) -> list[str]:
    file = folder / "password"
    file.write_text(secret)
    return ["msmtp", "--file=/dev/null", "--host=127.0.0.1", f"--port={port}", "--tls=off", f"--auth={method.lower()}",
            "--user=alice", f"--passwordeval=cat {file}", "--from=alice@example.com", "bob@example.net"]  # fmt: skip


def nodemailer(port: int, method: str, secret: str) -> list[str]:
    return ["node", str(NODE / "login.mjs"), str(port), method, "alice", secret]


def command_of(client: str, port: int, method: str, secret: str, folder: Path) -> list[str]:
    if client == "msmtp":
        command = msmtp(port, method, secret, folder)
    else:
        command = {"swaks": swaks, "curl": curl, "nodemailer": nodemailer}[client](port, method, secret)
    assert shutil.which(command[0]), f"{command[0]} not found: install the Debian package of that name"
    return command


def run(command: list[str], cwd: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, input=MESSAGE, capture_output=True, timeout=60, check=False, cwd=cwd)


PASSWORDS = [
    ("swaks", "PLAIN"),
    ("swaks", "LOGIN"),
    ("curl", "PLAIN"),
    ("curl", "LOGIN"),
    ("msmtp", "PLAIN"),
    ("msmtp", "LOGIN"),
    ("msmtp", "SCRAM-SHA-1"),
    ("msmtp", "SCRAM-SHA-256"),
    ("nodemailer", "PLAIN"),
    ("nodemailer", "LOGIN"),
]


@pytest.mark.parametrize(("client", "method"), PASSWORDS)
def test_passwords(site: Site, client: str, method: str, tmp_path: Path) -> None:
    relay = site.relay
    for secret in (SECRET, site.app):
        before = len(relay.records("Authenticated", mechanism=method))
        mails = len(relay.records("MessageAccepted"))
        done = run(command_of(client, relay.port, method, secret, tmp_path), tmp_path)
        assert done.returncode == 0, done
        entry = relay.wait_for("Authenticated", before + 1, mechanism=method)[-1]
        assert (entry["login"], entry["source"]) == ("alice", "users")
        mail = relay.wait_for("MessageAccepted", mails + 1)[-1]
        assert (mail["origin"]["login"], mail["origin"]["protocol"]) == ("alice", "ESMTPA")
    for secret in (f"{SECRET}!", site.elsewhere):
        before = len(relay.records("AuthFailed", mechanism=method))
        assert run(command_of(client, relay.port, method, secret, tmp_path), tmp_path).returncode != 0
        failed = relay.wait_for("AuthFailed", before + 1, mechanism=method)[-1]
        assert failed["login"] == "alice"
        assert failed["code"] == 535


@pytest.mark.parametrize("method", ["PLAIN", "LOGIN"])
def test_smtplib(site: Site, method: str) -> None:
    with smtplib.SMTP("127.0.0.1", site.relay.port, timeout=60) as client:
        client.ehlo()
        client.user, client.password = "alice", site.app  # it can send ASCII alone
        client.auth(method, getattr(client, f"auth_{method.lower()}"))
        assert client.sendmail("alice@example.com", ["bob@example.net"], MESSAGE) == {}
    with smtplib.SMTP("127.0.0.1", site.relay.port, timeout=60) as client:
        with pytest.raises(smtplib.SMTPSenderRefused, match="530"):
            client.sendmail("alice@example.com", ["bob@example.net"], MESSAGE)
        with pytest.raises(smtplib.SMTPAuthenticationError, match="535"):
            client.login("alice", "wrong")


def test_changes_hold_within_seconds(site: Site, tmp_path: Path) -> None:
    relay = site.relay
    loaded = len(relay.records("TableLoaded"))
    site.user("add", "carol", "--password-stdin", secret="one")
    relay.wait_for("TableLoaded", loaded + 1)
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as client:
        client.login("carol", "one")
    site.user("passwd", "carol", "--password-stdin", secret="two")
    relay.wait_for("TableLoaded", loaded + 2)
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as client:
        with pytest.raises(smtplib.SMTPAuthenticationError, match="535"):
            client.login("carol", "one")
        client.login("carol", "two")
    site.user("delete", "carol")
    relay.wait_for("TableLoaded", loaded + 3)
    refused = pytest.raises(smtplib.SMTPAuthenticationError, match="535")
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as client, refused:
        client.login("carol", "two")


class Tokens(Scripted):
    """Knows one token, of one login."""

    async def token(self, login: str, token: str, _attempt: Attempt) -> Identity | Denied | None:
        self.asked.append((login, token))
        return Identity(login, self.name) if (login, token) == ("alice", TOKEN) else Denied("expired")


@pytest.mark.parametrize(
    ("client", "method"),
    [
        ("curl", "XOAUTH2"),
        ("curl", "OAUTHBEARER"),
        ("msmtp", "XOAUTH2"),
        ("msmtp", "OAUTHBEARER"),
        ("nodemailer", "XOAUTH2"),
    ],
)
async def test_tokens(client: str, method: str, tmp_path: Path) -> None:
    source = Tokens("tokens", None, offers=[TOKENS])
    desk = Desk(logins=logins_of([source], plain_text_networks=["127.0.0.0/8"], mechanisms=[method]))
    listeners = desk.listeners()
    settings = ListenerSettings(bind=("127.0.0.1:0",), auth="required")
    bound = await listeners.bind({"test": settings})
    await listeners.start()
    port = int(bound[0].rpartition(":")[2])
    for token in (TOKEN, "canary.other"):
        done = await asyncio.to_thread(run, command_of(client, port, method, token, tmp_path), tmp_path)
        assert (done.returncode == 0) is (token == TOKEN), done
    await listeners.drain(30)
    assert len(desk.spool.messages) == 1
    assert desk.spool.messages[0][0].origin.login == "alice"
    (done_record,) = [one for one in desk.records if isinstance(one, Authenticated)]
    assert done_record.mechanism == method
    assert {one.reason for one in desk.records if isinstance(one, AuthFailed)} == {"expired"}
