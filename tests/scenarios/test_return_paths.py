"""A relay that forwards and is a sender itself: what leaves, what comes back, and what only claims to."""

import re
import smtplib
from pathlib import Path

import pytest

from tests.support.command import run_command
from tests.support.relay import CAPTURE, Relay

ACCESS = 'relay_domains = ["ours.example"]\nrelay_networks = ["127.0.0.9/32"]'
SETTINGS = """
[[aliases]]
entries = {{ "ann@ours.example" = ["ann@far.example"] }}

[srs]
domain = "fwd.ours.example"
secret = "not a secret"

[batv]
domains = ["ours.example"]
secret = {{ file = "{key}" }}
refuse = true
"""


@pytest.fixture
def relay(tmp_path: Path) -> Relay:
    key = tmp_path / "batv.key"
    key.write_text("another\n")
    made = Relay(tmp_path, CAPTURE + SETTINGS.format(key=key))
    made.config.write_text(made.config.read_text().replace('relay_networks = ["127.0.0.0/8"]', ACCESS))
    return made


def send(relay: Relay, sender: str, to: str, subject: str, ip: str = "127.0.0.1") -> str:
    """The code and text of the refusal, "" when it was taken."""
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60, source_address=(ip, 0)) as client:
        try:
            client.sendmail(sender, [to], f"Subject: {subject}\r\n\r\nhello\r\n")
        except smtplib.SMTPRecipientsRefused as error:
            code, text = error.recipients[to]
            return f"{code} {text.decode()}"
    return ""


def head(relay: Relay, subject: str) -> tuple[str, str]:
    """The reverse-path and the recipient of the message that arrived."""
    (mail,) = relay.wait_captured(f"Subject: {subject}\r\n".encode())
    found = re.match(rb"Return-Path: <(.*?)>\r\nX-Envelope-To: (.*?)\r\n", mail)
    assert found is not None, mail[:200]
    return found[1].decode(), found[2].decode().strip("<>")


def test_forwarded_mail_and_its_reports(relay: Relay) -> None:
    with relay:
        assert send(relay, "bob@sender.example", "ann@ours.example", "forwarded") == ""
        path, to = head(relay, "forwarded")
        assert to == "ann@far.example"
        assert re.fullmatch(r"SRS0=[A-Z2-7]{6}=[A-Z2-7]{2}=sender\.example=bob@fwd\.ours\.example", path)
        assert send(relay, "", path.lower(), "a report of it") == ""
        assert head(relay, "a report of it") == ("", "bob@sender.example")
        forged = path.replace("=bob@", "=eve@")
        assert send(relay, "", forged, "forged").startswith("550 5.1.1")
        assert send(relay, "", "x@fwd.ours.example", "nobody").startswith("554 5.7.1")  # the domain itself is not open
        (refused,) = relay.wait_for("CommandRefused", 1, recipient=forged)
        assert refused["detail"] == "SRS: its signature is not ours"
        assert send(relay, "carl@ours.example", "ann@ours.example", "by us") == ""
        assert head(relay, "by us")[0].startswith("prvs=")


def test_tags_of_our_own_senders(relay: Relay) -> None:
    with relay:
        assert send(relay, "carl@ours.example", "dora@far.example", "out", ip="127.0.0.9") == ""
        path, _ = head(relay, "out")
        assert re.fullmatch(r"prvs=0\d{3}[A-Z2-7]{6}=carl@ours\.example", path)
        assert send(relay, "", path, "a report") == ""
        assert head(relay, "a report") == ("", "carl@ours.example")
        assert send(relay, "", "carl@ours.example", "backscatter").startswith("550 5.7.1")
        assert send(relay, "", "postmaster@ours.example", "always") == ""
        assert send(relay, "eve@sender.example", "carl@ours.example", "mail, no report") == ""
        assert head(relay, "mail, no report")[0] == "eve@sender.example"  # it goes inside as it came
        shown = run_command("explain", "-c", relay.config, "--to", path, "--ip", "192.0.2.1").out
        assert "BATV: it stands for carl@ours.example" in shown
        asked = ("explain", "-c", relay.config, "--to", "dora@far.example", "--from", "bob@sender.example")
        assert "leaves as <SRS0=" in run_command(*asked).out
        (relay.folder / "batv.key").write_text("changed\n")
        assert run_command("reload", "-c", relay.config).code == 0
        assert send(relay, "", path, "too late").startswith("550 5.1.1")


def test_recipients_are_named_where_reports_shall_tell_them_apart(tmp_path: Path) -> None:
    relay = Relay(tmp_path, CAPTURE + '\n[verp]\nsenders = ["news@ours.example"]\n')
    relay.config.write_text(relay.config.read_text().replace('relay_networks = ["127.0.0.0/8"]', ACCESS))
    to = [f"{name}@far.example" for name in ("joe", "ann", "eve")]
    with relay:
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=60, source_address=("127.0.0.9", 0)) as client:
            client.sendmail("news@ours.example", to, "Subject: news\r\n\r\nhello\r\n")
            client.sendmail("bob@ours.example", to, "Subject: private\r\n\r\nhello\r\n")
        mails = relay.wait_captured(b"Subject: news", 3)
        found = {re.match(rb"Return-Path: <(.*?)>\r\nX-Envelope-To: (.*?)\r\n", mail) for mail in mails}
        told = {(one[1].decode(), one[2].decode().strip("<>")) for one in found if one is not None}
        assert told == {
            (f"news+{name}=far.example@ours.example", f"{name}@far.example") for name in ("joe", "ann", "eve")
        }
        assert head_of_all(relay, "private") == "bob@ours.example"
        # A report comes back to the address with its recipient in it.
        assert send(relay, "", "news+joe=far.example@ours.example", "report") == ""
        relay.wait_captured(b"Subject: report")
        said = run_command("explain", "--from", "news@ours.example", "--to", "joe@far.example", "-c", relay.config)
        assert "news+joe=far.example@ours.example" in said.out


def head_of_all(relay: Relay, subject: str) -> str:
    """The reverse-path of one message to several."""
    (mail,) = relay.wait_captured(f"Subject: {subject}\r\n".encode())
    found = re.match(rb"Return-Path: <(.*?)>\r\n", mail)
    assert found is not None
    return found[1].decode()
