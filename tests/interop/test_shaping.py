"""Shaping and retry rules in a running relay: what a next hop gets, what the log tells, what the sender reads."""

import smtplib
from email import message_from_bytes, policy
from pathlib import Path

from tests.support.command import run_command
from tests.support.relay import Relay, route
from tests.support.sink import Sink

SENDER = "absender@example.de"
RULES = """
[[shaping]]
mx = ["127.0.0.*"]
rates = ["2/hour"]
concurrency = 1
replies = [{ match = "450 4.2.1 *", as = "fail" }, { match = "550 5.1.1 *", as = "defer" }]

[[retry]]
errors = ["4.1.1"]
retry = ["3h"]

[dsn]
languages = { de = ["*.de"] }
postmaster_copies = ["mailbox"]
"""


def send(relay: Relay, *recipients: str) -> None:
    with smtplib.SMTP("127.0.0.1", relay.port, "client.example.org", timeout=60) as client:
        client.sendmail(SENDER, list(recipients), "Subject: Test\r\n\r\nHallo.\r\n")


def test_a_rate_holds_for_all_next_hops_of_a_rule(tmp_path: Path) -> None:
    with Sink() as first, Sink() as second:
        hops = route(f"smtp://127.0.0.1:{first.port}", recipients=["a.example"])
        hops += route(f"smtp://127.0.0.1:{second.port}", recipients=["b.example"]) + route("capture:")
        with Relay(tmp_path, hops + RULES) as relay:
            for number in range(3):
                send(relay, f"u{number}@a.example")
                send(relay, f"u{number}@b.example")
            relay.wait_for("RecipientDelivered", 2)
            send(relay, "bob@elsewhere.example")
            relay.wait_for("RecipientDelivered", recipient="bob@elsewhere.example")
            assert len(first.mails) + len(second.mails) == 2
        assert len(first.mails) + len(second.mails) == 2, "also while it is being stopped"


def test_replies_get_another_meaning_and_the_report_is_german(tmp_path: Path) -> None:
    refuse = {"aus@a.example": "450 4.2.1 mailbox disabled", "weg@a.example": "550 5.1.1 no such user"}
    with Sink(refuse=refuse) as sink:
        hops = route(f"smtp://127.0.0.1:{sink.port}", recipients=["a.example"]) + route("capture:")
        with Relay(tmp_path, hops + RULES) as relay:
            send(relay, *refuse)
            (failed,) = relay.wait_for("RecipientFailed")
            (deferred,) = relay.wait_for("RecipientDeferred")
            assert failed["recipient"] == "aus@a.example"
            assert failed["reply"] == {"code": 554, "enhanced": "5.2.1", "text": "mailbox disabled"}
            assert failed["original"] == "450 4.2.1 mailbox disabled"
            assert (deferred["reply"]["code"], deferred["reply"]["enhanced"]) == (451, "4.1.1")
            assert deferred["original"] == "550 5.1.1 no such user"
            assert deferred["due"] - deferred["at"] >= 3 * 3600 * 1_000_000
            report, copy = (relay.wait_captured(word.encode())[0] for word in (f"To: <{SENDER}>", "To: <postmaster@"))
            parsed = message_from_bytes(report, policy=policy.default)
            assert parsed["Subject"] == "Unzustellbare Nachricht zurück an den Absender"
            text = parsed.get_body(("plain",))
            assert text is not None
            assert "127.0.0.1 antwortete: 554 5.2.1 mailbox disabled" in " ".join(text.get_content().split())
            assert "Hallo." in parsed.as_string()
            assert b"Hallo." not in copy


def test_terms_of_a_rule_reach_the_next_hop_and_explain_tells_them(tmp_path: Path) -> None:
    rules = """
[[shaping]]
per = "lane"
recipients_per_transaction = 2
connection_messages = 1

[[shaping]]
domains = ["none.example"]
concurrency = 1
"""
    with Sink() as sink:
        hops = route(f"smtp://127.0.0.1:{sink.port}")
        with Relay(tmp_path, hops + rules) as relay:
            send(relay, *(f"u{number}@a.example" for number in range(5)))
            relay.wait_for("RecipientDelivered", 5)
            told = run_command("explain", "--to", "bob@a.example", "-c", relay.config)
        assert sorted(len(mail.recipients) for mail in sink.mails) == [1, 2, 2]
        assert "shaping   recipients_per_transaction 2: rule 0" in told.out.splitlines()
        assert "shaping   connection_messages 1: rule 0" in told.out.splitlines()


def test_what_the_next_hop_refuses_goes_on_at_the_fallback(tmp_path: Path) -> None:
    refuse = {"bob@a.example": "451 4.3.2 shutting down"}
    with Sink(refuse=refuse) as first, Sink() as second:
        hops = route(f"smtp://127.0.0.1:{first.port}")
        hops += f'fallback = ["smtp://127.0.0.1:{second.port}"]\nfallback_on = ["4.3.2"]\n'
        with Relay(tmp_path, hops) as relay:
            send(relay, "bob@a.example", "carol@a.example")
            (moved,) = relay.wait_for("RecipientDeferred")
            assert moved["moved_to"] == f"smtp://127.0.0.1:{second.port}"
            relay.wait_for("RecipientDelivered", 2)
        assert [len(sink.mails) for sink in (first, second)] == [1, 1]
