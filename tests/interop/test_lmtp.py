"""Dovecot's LMTP as the final destination, over TCP and over a unix socket: content, and a reply for each recipient.

After the content LMTP answers once for each recipient (RFC 2033 4.2); each is settled by its own reply.
"""

import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dovecot import Dovecot
from tests.support.relay import BODY_CANARY, QUICK_RETRY, Relay, route, wait_until

SENDER = "alice@example.org"
PLAIN = f"From: <{SENDER}>\r\nTo: <bob@example.net>\r\nSubject: A test\r\nMessage-ID: <1@example.org>\r\n\r\n"
CONTENT = f"{PLAIN}{BODY_CANARY}\r\n.\r\n..dots\r\n".encode()
EIGHT_BIT = CONTENT + "Grüße aus Köln\r\n".encode() + b"x" * 3000 + b"\r\n"
CROWD = tuple(f"user{number}@example.net" for number in range(150))


@pytest.fixture
def dovecot() -> Iterator[Dovecot]:
    users = {"bob@example.net": 0, "carol@example.net": 0, "full@example.net": 2000} | dict.fromkeys(CROWD, 0)
    with Dovecot(users) as running:
        yield running


def routes(dovecot: Dovecot, way: str) -> str:
    """Mail for the sender's domain (its DSNs) is captured; the rest goes to Dovecot by TCP or socket."""
    next_hop = f"lmtp://127.0.0.1:{dovecot.port}" if way == "tcp" else f"lmtp://{dovecot.socket}"
    return route("capture:", recipients=("example.org",)) + route(next_hop) + QUICK_RETRY


def send(port: int, *recipients: str, content: bytes = CONTENT) -> None:
    options = [] if content.isascii() else ["BODY=8BITMIME"]
    with smtplib.SMTP("127.0.0.1", port, "client.example.org", timeout=60) as client:
        assert client.sendmail(SENDER, recipients, content, mail_options=options) == {}


@pytest.mark.parametrize("way", ["tcp", "socket"])
@pytest.mark.parametrize(
    "content", [CONTENT, EIGHT_BIT, CONTENT + b"line\r\n" * 900_000], ids=["plain", "8bit", "5MiB"]
)
def test_content_arrives_whole(tmp_path: Path, dovecot: Dovecot, way: str, content: bytes) -> None:
    with Relay(tmp_path / "relay", routes(dovecot, way)) as relay:
        send(relay.port, "bob@example.net", "carol@example.net", content=content)
        done = relay.wait_for("RecipientDelivered", 2)
        wait_until(relay.is_idle, "an empty queue")
    assert {entry["recipient"] for entry in done} == {"bob@example.net", "carol@example.net"}
    for address in ("bob@example.net", "carol@example.net"):
        (mail,) = dovecot.mails(address)
        assert mail.endswith(content)
        assert mail.startswith(f"Return-Path: <{SENDER}>\r\n".encode())
        assert b" by dovecot.example.net with LMTP" in mail.replace(b"\r\n\t", b" ")


@pytest.mark.parametrize("way", ["tcp", "socket"])
def test_each_recipient_is_settled_by_its_own_reply(tmp_path: Path, dovecot: Dovecot, way: str) -> None:
    """One unknown, refused at RCPT; one over quota, refused after the content; two delivered."""
    with Relay(tmp_path / "relay", routes(dovecot, way)) as relay:
        send(
            relay.port,
            "bob@example.net",
            "nobody@example.net",
            "full@example.net",
            "carol@example.net",
            content=CONTENT + b"line\r\n" * 1000,
        )
        failed = {entry["recipient"]: entry for entry in relay.wait_for("RecipientFailed", 2)}
        relay.wait_for("RecipientDelivered", 3)  # the report is one of them
        wait_until(relay.is_idle, "an empty queue")
        reports = relay.wait_captured(b"multipart/report")
    assert set(failed) == {"nobody@example.net", "full@example.net"}
    assert failed["nobody@example.net"]["reply"]["enhanced"] == "5.1.1"
    assert failed["full@example.net"]["reply"]["enhanced"] == "5.2.2"
    assert [len(dovecot.mails(f"{name}@example.net")) for name in ("bob", "carol", "full")] == [1, 1, 0]
    told = b"".join(reports)
    assert b"Status: 5.1.1" in told
    assert b"Status: 5.2.2" in told


def test_many_recipients_get_one_copy_each(tmp_path: Path, dovecot: Dovecot) -> None:
    with Relay(tmp_path / "relay", routes(dovecot, "socket")) as relay:
        send(relay.port, *CROWD)
        relay.wait_for("RecipientDelivered", len(CROWD), 60)
        wait_until(relay.is_idle, "an empty queue")
    assert [len(dovecot.mails(address)) for address in CROWD] == [1] * len(CROWD)


@pytest.mark.parametrize("way", ["tcp", "socket"])
def test_an_outage_delays_and_loses_nothing(tmp_path: Path, dovecot: Dovecot, way: str) -> None:
    with Relay(tmp_path / "relay", routes(dovecot, way)) as relay:
        dovecot.stop()
        for _ in range(3):
            send(relay.port, "bob@example.net")
        relay.wait_for("RecipientDeferred")
        dovecot.start()
        wait_until(lambda: len(dovecot.mails("bob@example.net")) >= 3, "all three after the outage", 60)
        wait_until(relay.is_idle, "an empty queue")
        assert not relay.records("RecipientFailed")
    assert len(dovecot.mails("bob@example.net")) == 3
