"""Whole servers, one process and several: offenders are banned everywhere, floods are held until somebody decides.

Both outlive a restart. A trusted program says for whom it speaks, so that clients can be anybody.
"""

import json
import smtplib
from base64 import b64encode
from pathlib import Path

import pytest

from tests.support.command import run_command
from tests.support.logins import argon2_line, write_lines
from tests.support.ports import free_port
from tests.support.processes import Processes
from tests.support.relay import CAPTURE, Relay, wait_until

MORE = """
[listeners.inside]
bind = ["127.0.0.1:{port}"]
xclient = ["127.0.0.1/32"]
auth = "optional"

[auth]
plain_text_networks = ["127.0.0.0/8", "192.0.2.0/24"]
failure_delay = "0s"

[auth.users]
file = "users"

[bans]
unknown_recipient = 0
refused = 4
auth_failed = 2
time = "1h"

[breaker]
recipients = 12
new_recipients = 1000
"""


class Client:
    """Somebody who connects, once more each time, with what a trusted program says."""

    def __init__(self, port: int, said: str) -> None:
        self.smtp = smtplib.SMTP("127.0.0.1", port, timeout=60)
        self.smtp.ehlo("program")
        self.greeting = self.smtp.docmd("XCLIENT", said)
        if self.greeting[0] == 220:
            self.smtp.ehlo("client")

    def send(self, *recipients: str) -> int:
        """The code of the answer to one message."""
        try:
            self.smtp.sendmail("ann@example.com", recipients, "Subject: x\r\n\r\ntext\r\n")
        except smtplib.SMTPSenderRefused as refused:
            return refused.smtp_code
        return 250

    def close(self) -> None:
        """Leave."""
        self.smtp.close()


def command(relay: Relay, *words: str) -> str:
    """What a command prints."""
    done = run_command(*words, "-c", relay.config)
    assert done.code == 0, done.err
    return done.out


@pytest.mark.parametrize("edges", [0, 2])
def test_offenders_and_floods(tmp_path: Path, edges: int) -> None:
    port = free_port()
    (tmp_path / "relay").mkdir()
    write_lines(tmp_path / "relay" / "users", [argon2_line("ann", "secret")])
    with Processes(tmp_path / "relay", CAPTURE + MORE.format(port=port), edges=edges) as relay:
        offend(relay, port)
        flood(relay, port)
        relay.stop()
        relay.start()
        client = Client(port, "ADDR=192.0.2.7")
        assert client.greeting[0] == 421
        client.close()
        assert "ann  locked" in command(relay, "account", "list")
        guess(relay, port)
        assert command(relay, "bans", "remove", "192.0.2.7") == "unbanned 192.0.2.7/32\n"
        client = Client(port, "ADDR=192.0.2.7")
        assert client.greeting[0] == 220
        client.close()


def offend(relay: Relay, port: int) -> None:
    """Four refusals, over several connections, are one too many."""
    for _ in range(2):
        client = Client(port, "ADDR=192.0.2.7")
        assert client.greeting[0] == 220
        client.smtp.mail("a@example.com")
        for _ in range(2):
            assert client.smtp.rcpt("b@example.net")[0] == 554
        client.close()
    (ban,) = relay.wait_for("NetworkBanned")
    assert (ban["network"], ban["seconds"], ban["kind"]) == ("192.0.2.7/32", 3600, "refused")
    for _ in range(4):  # whichever edge takes it
        client = Client(port, "ADDR=192.0.2.7")
        assert client.greeting[0] == 421
        client.close()
    neighbour = Client(port, "ADDR=192.0.2.8")
    assert neighbour.greeting[0] == 220
    neighbour.close()
    (shown,) = command(relay, "bans", "list", "--json").splitlines()
    assert json.loads(shown)["network"] == "192.0.2.7/32"


def guess(relay: Relay, port: int) -> None:
    """A locked login cannot log in though the password is right, and who guesses passwords is banned."""
    known = Client(port, "ADDR=127.0.0.9")
    assert known.smtp.docmd("AUTH PLAIN", plain("ann", "secret"))[0] == 535
    assert relay.wait_for("AuthFailed", login="ann")[-1]["reason"] == "the account is locked"
    command(relay, "account", "unlock", "ann")
    assert known.smtp.docmd("AUTH PLAIN", plain("ann", "secret"))[0] == 235
    known.close()
    stranger = Client(port, "ADDR=192.0.2.77")
    for _ in range(2):
        assert stranger.smtp.docmd("AUTH PLAIN", plain("ann", "guess"))[0] == 535
    stranger.close()
    (ban,) = relay.wait_for("NetworkBanned", network="192.0.2.77/32")
    assert ban["kind"] == "auth_failed"


def plain(login: str, secret: str) -> str:
    """The initial response of PLAIN."""
    return b64encode(f"\0{login}\0{secret}".encode()).decode()


def flood(relay: Relay, port: int) -> None:
    """Ann's password is stolen: too much, and what comes after, is held, then dropped; nothing of others is."""
    ann = Client(port, "ADDR=127.0.0.9 LOGIN=ann")
    for number in range(12):
        assert ann.send(f"user{number}@example.net") == 250
    relay.wait_captured(b"user11@example.net")
    assert ann.send(*(f"many{number}@example.net" for number in range(5))) == 250
    relay.wait_for("AccountHeld", login="ann")
    relay.wait_captured(b"Subject: Mail of ann is held")
    relay.wait_for("RecipientHeld", 5)
    assert not [mail for mail in relay.captured() if b"many0@example.net" in mail]
    held = len(relay.records("RecipientHeld"))
    assert ann.send("more@example.net") == 250
    relay.wait_for("RecipientHeld", held + 1)
    assert not [mail for mail in relay.captured() if b"more@example.net" in mail]
    assert ann.send("and.more@example.net") == 250
    relay.wait_for("RecipientHeld", held + 2)
    assert f"{held + 2} recipients wait" in command(relay, "account", "show", "ann")
    assert "free" in command(relay, "account", "release", "ann", "--because", "she says so")
    relay.wait_captured(b"and.more@example.net")
    relay.wait_captured(b"many0@example.net")
    command(relay, "account", "hold", "ann")
    assert ann.send("third@example.net") == 250
    relay.wait_for("RecipientHeld", held + 3)
    assert "held" in command(relay, "account", "drop", "ann")
    assert "locked" in command(relay, "account", "lock", "ann", "--because", "stolen")
    wait_until(lambda: ann.send("fourth@example.net") == 550, "mail of a locked login is refused")
    assert [entry["recipients"] for entry in relay.wait_for("AccountHandled", action="drop")] == [1]
    assert not [mail for mail in relay.captured() if b"third@example.net" in mail]
    ann.close()
