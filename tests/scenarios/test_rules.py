"""A real relay with rules: SMTP, the HTTP API and drops obey them alike, and a reload is tried before it is taken."""

import smtplib
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.support.apiclient import Client, api_relay, mail, refused, taken
from tests.support.command import run_command
from tests.support.relay import CAPTURE, Relay, wait_until

RULES = """
[[routes]]
name = "second"
recipients = ["second.invalid"]
next_hops = ["smtp://127.0.0.1:9"]

[[rules]]
name = "not there"
when = { recipient = "*@forbidden.example" }
then = { reject = "550 5.7.1 Nobody writes there" }

[[rules]]
name = "blocked"
when = { sender = { file = "blocked" } }
then = { reject = true }

[[rules]]
name = "look"
when = { header = { Subject = "*look at me*" } }
then = { quarantine = "somebody should look", add = "copy@example.net" }

[[rules]]
name = "second way"
when = { header = { Subject = "*another way*" } }
then = { route = "second", tls = "required", tag = "second" }

[devices.printers]
networks = ["127.0.0.9"]
senders = ["*@print.example.com"]
sender = "devices@example.com"
rate = "printers"

[[rates]]
name = "printers"
only_rules = true
per = "ip"
limits = ["2/1d"]

[[expect]]
recipient = "a@forbidden.example"
ip = "127.0.0.1"
outcome = "reject"
by = "not there"
"""


@pytest.fixture
def relay(tmp_path: Path) -> tuple[Relay, Client]:
    (tmp_path / "blocked").write_text("spammer@example.com\n")
    return api_relay(tmp_path, RULES + CAPTURE)


def by_smtp(relay: Relay, to: str, subject: str, sender: str = "shop@example.com", ip: str = "127.0.0.1") -> str:
    """Send one message; what was refused, or nothing."""
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60, source_address=(ip, 0)) as client:
        try:
            client.sendmail(sender, [to], f"Subject: {subject}\r\n\r\nhello\r\n")
        except smtplib.SMTPRecipientsRefused as error:
            return error.recipients[to][1].decode()
        except smtplib.SMTPResponseException as error:
            return str(error.smtp_error, "ascii") if isinstance(error.smtp_error, bytes) else error.smtp_error
    return ""


def by_drop(relay: Relay, to: str, subject: str, sender: str = "shop@example.com") -> None:
    command = [sys.executable, "-m", "postroad.cli.postfix.sendmail", "-C", str(relay.config), "-f", sender, to]
    program = "import sys; from postroad.cli.postfix.sendmail import main; sys.argv[0] = 'sendmail'; main()"
    command[1:3] = ["-c", program]
    text = f"Subject: {subject}\n\nhello\n"
    done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_every_way_in_obeys_the_same_rules(relay: tuple[Relay, Client]) -> None:
    server, client = relay
    with server:
        assert by_smtp(server, "x@forbidden.example", "x") == "5.7.1 Nobody writes there"
        assert by_smtp(server, "b@example.net", "x", "spammer@example.com") == "5.7.1 Refused by policy"
        assert "Nobody writes there" in refused(client.post(mail(to=["x@forbidden.example"])), 403)
        by_drop(server, "x@forbidden.example", "x")
        (record,) = server.wait_for(
            "CommandRefused", 1, detail="rule not there", stage="rcpt", recipient="x@forbidden.example"
        )[-1:]
        assert record["reply"]["text"] == "Nobody writes there"
        wait_until(
            lambda: (
                {one["origin"].get("listener") for one in server.records("CommandRefused", detail="rule not there")}
                == {"test", "api", "drops"}
            ),
            "a refusal by each way",
        )
        assert by_smtp(server, "b@example.net", "please look at me 1") == ""
        taken(client.post(mail(subject="Look At Me 2")))
        by_drop(server, "c@example.net", "look at me 3")
        held = server.wait_for("RecipientHeld", 6, reason="somebody should look (rule look)")
        assert {one["recipient"] for one in held} == {
            "a@example.net",
            "b@example.net",
            "c@example.net",
            "copy@example.net",
        }
        assert not [one for one in server.captured() if b"ook" in one]  # only the report of the drop
        (shown,) = {run_command("queue", "show", one["id"], "-c", server.config).out for one in held[:1]}
        assert "tags       quarantine" in shown
        assert "held       when it was accepted: somebody should look (rule look)" in shown
        assert run_command("queue", "release", "--all", "--yes", "-c", server.config).code == 0
        for number in (1, 2, 3):
            server.wait_captured(f"ook at me {number}".encode() if number != 2 else b"Look At Me 2")
        assert by_smtp(server, "b@example.net", "take another way") == ""
        (deferred,) = server.wait_for("RecipientDeferred", 1, recipient="b@example.net")[:1]
        assert deferred["lane"] == "smtp://127.0.0.1:9?tls=required"
        (adjusted,) = server.records("MessageAdjusted", reason="rule second way")
        assert (adjusted["route"], adjusted["tls"], adjusted["tags"]) == ("second", "required", ["second"])
        printer = partial(by_smtp, server, "b@example.net", sender="p7@print.example.com", ip="127.0.0.9")
        assert printer(subject="page 1") == printer(subject="page 2") == ""
        (page,) = server.wait_captured(b"page 1")
        assert page.startswith(b"Return-Path: <devices@example.com>")
        assert printer(subject="page 3").startswith("4.7.1")
        assert by_smtp(server, "b@example.net", "page 4", ip="127.0.0.9").startswith("5.7.1")  # not a sender of theirs
        adjusted = server.wait_for("MessageAdjusted", 2, sender="devices@example.com")[0]
        assert adjusted["reason"] == "rule devices.printers terms"


def test_rules_change_by_a_reload_when_they_do_what_is_expected(relay: tuple[Relay, Client]) -> None:
    server, _ = relay
    with server:
        text = server.config.read_text()
        server.config.write_text(text.replace('"*@forbidden.example"', '"*@elsewhere.example"'))
        done = run_command("reload", "-c", server.config)
        assert done.code == 78
        assert "expect[0]: case 1 comes out as accept by relay control, not as reject" in done.err
        assert by_smtp(server, "x@forbidden.example", "x") == "5.7.1 Nobody writes there"
        server.config.write_text(text.replace("Nobody writes there", "Not any more"))
        assert run_command("reload", "-c", server.config).code == 0
        assert by_smtp(server, "x@forbidden.example", "x") == "5.7.1 Not any more"
        (server.folder / "blocked").write_text("# nobody\nother@example.com\n")
        wait_until(lambda: by_smtp(server, "b@example.net", "x", "other@example.com"), "the file was read again")
        assert by_smtp(server, "b@example.net", "now he may", "spammer@example.com") == ""
        server.wait_captured(b"now he may")
        server.wait_for("TableLoaded", 1, table=str(server.folder / "blocked"))


LOGINS = """
[auth]
plain_text_networks = ["127.0.0.0/8"]
failure_delay = "0s"

[auth.users]
file = "users"

[senders]
bind = true
delegates = "delegates"

[[rules]]
name = "no login, no mail outside"
when = { login = "!*", direction = "outbound" }
then = { reject = "Log in first" }

[[rules]]
name = "bob stays inside"
when = { login = "bob@example.com", direction = "outbound" }
then = { reject = "Not for you" }
"""


def test_a_login_sends_as_itself_and_where_it_may(tmp_path: Path) -> None:
    (tmp_path / "delegates").write_text("anna@example.com  team@example.com\n")
    server = Relay(tmp_path, LOGINS + '\n[[rules]]\nwhen = { direction = "inbound" }\nthen = "hold"\n' + CAPTURE)
    text = server.config.read_text()
    server.config.write_text(text.replace("[listeners.test]", '[listeners.test]\nauth = "optional"'))
    for name in ("anna@example.com", "bob@example.com"):
        command = [sys.executable, "-m", "postroad", "user", "add", name, "--password-stdin", "-c", str(server.config)]
        subprocess.run(command, input=b"secret\n", capture_output=True, timeout=60, check=True)
    with server:

        def said(login: str, sender: str, header: str = "") -> str:
            with smtplib.SMTP("127.0.0.1", server.port, timeout=60) as client:
                client.login(login, "secret")
                head = f"From: {header or sender}\r\nSubject: x\r\n\r\n"
                try:
                    client.sendmail(sender, ["x@example.net"], f"{head}hello\r\n")
                except smtplib.SMTPResponseException as error:
                    return f"{error.smtp_code} {error.smtp_error!r}"
                except smtplib.SMTPRecipientsRefused as error:
                    return repr(error.recipients)
            return ""

        assert by_smtp(server, "x@example.net", "x") == "5.7.1 Log in first"
        assert said("anna@example.com", "anna@example.com") == ""
        assert said("anna@example.com", "team@example.com") == ""
        assert "not yours to use" in said("anna@example.com", "boss@example.com")
        assert said("anna@example.com", "anna@example.com", "Boss <boss@example.com>").startswith("553 ")
        assert "Not for you" in said("bob@example.com", "bob@example.com")
        server.wait_for("MessageAccepted", 2)
        assert {one["sender"] for one in server.records("MessageAccepted")} == {"anna@example.com", "team@example.com"}
