"""A real Postfix before the relay, and behind it: content, DSN parameters, 8BITMIME, refusals, an outage.

Before: Postfix hands everything to the relay, which captures it or sends it to a sink that shows the commands.
Behind: the relay hands everything to Postfix, which puts it into a maildir or refuses it.
"""

import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postfix import MAILDIR, Postfix, smtp_to
from tests.support.relay import BODY_CANARY, CAPTURE, QUICK_RETRY, Relay, route, wait_until
from tests.support.sink import Sink

SENDER = "alice@example.org"
RECIPIENT = "bob@example.net"
PLAIN = f"From: <{SENDER}>\r\nTo: <{RECIPIENT}>\r\nSubject: A test\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\n"
CONTENT = f"{PLAIN}Message-ID: <1@example.org>\r\n\r\n{BODY_CANARY}\r\n.\r\n..dots\r\n".encode()
EIGHT_BIT = CONTENT + "Grüße aus Köln\r\n".encode()


def send(
    port: int,
    content: bytes = CONTENT,
    *,
    recipients: tuple[str, ...] = (RECIPIENT,),
    mail: tuple[str, ...] = (),
    rcpt: tuple[str, ...] = (),
) -> dict[str, tuple[int, bytes]]:
    """Send with the given parameters of MAIL and RCPT; what was refused."""
    with smtplib.SMTP("127.0.0.1", port, "client.example.org", timeout=60) as client:
        return client.sendmail(SENDER, list(recipients), content, mail_options=list(mail), rcpt_options=list(rcpt))


# -- Postfix before the relay ----------------------------------------------------------------------


@pytest.mark.parametrize("content", [CONTENT, EIGHT_BIT, CONTENT + b"x" * 990 + b"\r\n" + b"line\r\n" * 500_000])
def test_what_postfix_sends_is_captured_whole(tmp_path: Path, content: bytes) -> None:
    options = ("BODY=8BITMIME",) if not content.isascii() else ()
    with Relay(tmp_path / "relay") as relay, Postfix(smtp_to(relay.port)) as postfix:
        send(postfix.port, content, mail=options)
        (mail,) = relay.wait_captured(BODY_CANARY.encode())
    assert mail.endswith(content)
    assert b"by relay.example.com" in mail
    assert b"by postfix.example.com" in mail


def test_many_recipients_from_postfix_in_one_transaction(tmp_path: Path) -> None:
    recipients = tuple(f"user{number}@example.net" for number in range(120))
    with Relay(tmp_path / "relay") as relay:
        with Postfix(smtp_to(relay.port), settings={"smtp_destination_recipient_limit": "200"}) as postfix:
            send(postfix.port, recipients=recipients)
            (accepted,) = relay.wait_for("MessageAccepted")
        delivered = relay.wait_for("RecipientDelivered", len(recipients))
    assert accepted["recipients"] == len(recipients)
    assert sorted(entry["recipient"] for entry in delivered) == sorted(recipients)


def test_postfix_pipelines_chunks_and_reuses_sessions(tmp_path: Path) -> None:
    settings = {"smtp_connection_cache_on_demand": "yes", "smtp_connection_cache_destinations": "127.0.0.1"}
    with Relay(tmp_path / "relay") as relay, Postfix(smtp_to(relay.port), settings=settings) as postfix:
        with smtplib.SMTP("127.0.0.1", postfix.port, "client.example.org", timeout=60) as client:
            for _ in range(50):
                client.sendmail(SENDER, RECIPIENT, CONTENT)
        relay.wait_captured(BODY_CANARY.encode(), 50)
        relay.wait_for("MessageRemoved", 50)
    assert not relay.records("CommandRefused")


def test_dsn_parameters_go_from_postfix_through_the_relay(tmp_path: Path) -> None:
    with (
        Sink() as sink,
        Relay(tmp_path / "relay", route(f"smtp://127.0.0.1:{sink.port}")) as relay,
        Postfix(smtp_to(relay.port)) as postfix,
    ):
        send(
            postfix.port,
            EIGHT_BIT,
            mail=("BODY=8BITMIME", "RET=HDRS", "ENVID=QQ+2B314"),
            rcpt=("NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;orig+2Baddress@example.net"),
        )
        wait_until(lambda: sink.mails, "the message at the sink")
    (mail,) = sink.mails
    assert mail.sender.startswith(f"<{SENDER}> ")
    assert {"BODY=8BITMIME", "RET=HDRS", "ENVID=QQ+2B314"} <= set(mail.sender.split())
    (recipient,) = mail.recipients
    address, *parameters = recipient.split()
    assert address == f"<{RECIPIENT}>"
    assert "ORCPT=rfc822;orig+2Baddress@example.net" in parameters
    (notify,) = [word for word in parameters if word.startswith("NOTIFY=")]
    assert set(notify.removeprefix("NOTIFY=").split(",")) == {"SUCCESS", "DELAY"}
    assert mail.content.endswith(EIGHT_BIT)


def test_refusals_of_the_relay_reach_postfix(tmp_path: Path) -> None:
    limits = '\n[limits]\nmessage_size = "64KiB"\nheader_size = "64KiB"\n'
    with Relay(tmp_path / "relay", CAPTURE + limits) as relay, Postfix(smtp_to(relay.port)) as postfix:
        send(postfix.port, CONTENT + b"line\r\n" * 20_000)
        wait_until(lambda: "status=bounced" in postfix.log, "the bounce in Postfix's log")
        (bounced,) = [line for line in postfix.log.splitlines() if "status=bounced" in line]
        (report,) = relay.wait_captured(b"multipart/report")  # Postfix's own, which the relay takes
    assert "dsn=5.3.4" in bounced
    assert report.startswith(b"Return-Path: <>\r\n")


# -- Postfix behind the relay ----------------------------------------------------------------------


@pytest.fixture
def maildir() -> Iterator[Postfix]:
    nobody = "{nobody@example.net = 550 5.1.1 No such user here}"
    full = "{full@example.net = 452 4.2.2 Mailbox full}"
    rules = f"check_recipient_access inline:{{ {nobody}, {full} }}, permit_mynetworks, reject"
    with Postfix(MAILDIR, settings={"smtpd_recipient_restrictions": rules}) as postfix:
        yield postfix


def delivered_to(postfix: Postfix) -> list[bytes]:
    """The messages in the maildir, in CRLF form."""
    return [path.read_bytes().replace(b"\n", b"\r\n") for path in postfix.maildir.glob("new/*")]


def routes(postfix: Postfix, sender_hop: str = "capture:") -> str:
    """Mail for the sender's domain (its DSNs) is captured; the rest goes to Postfix."""
    return route(sender_hop, recipients=("example.org",)) + route(f"smtp://127.0.0.1:{postfix.port}")


@pytest.mark.parametrize("content", [CONTENT, EIGHT_BIT, CONTENT + b"line\r\n" * 500_000])
def test_what_the_relay_sends_arrives_whole(tmp_path: Path, maildir: Postfix, content: bytes) -> None:
    options = ("BODY=8BITMIME",) if not content.isascii() else ()
    with Relay(tmp_path / "relay", routes(maildir)) as relay:
        send(relay.port, content, mail=options)
        wait_until(lambda: delivered_to(maildir), "the message in the maildir")
        (done,) = relay.wait_for("RecipientDelivered")
    (mail,) = delivered_to(maildir)
    assert mail.endswith(content)
    assert " queued as " in done["reply"]["text"]
    assert done["target"] == f"127.0.0.1[127.0.0.1]:{maildir.port}"


def test_postfix_takes_over_the_success_report(tmp_path: Path, maildir: Postfix) -> None:
    with Relay(tmp_path / "relay", routes(maildir)) as relay:
        send(
            relay.port,
            mail=("RET=HDRS", "ENVID=QQ314"),
            rcpt=("NOTIFY=SUCCESS", "ORCPT=rfc822;original@example.net"),
        )
        wait_until(lambda: len(delivered_to(maildir)) == 2, "the message and Postfix's report")
        relay.wait_for("MessageRemoved")
        assert not relay.records("DsnQueued")
    (report,) = [mail for mail in delivered_to(maildir) if b"multipart/report" in mail]
    assert b"Original-Envelope-Id: QQ314" in report
    assert b"Original-Recipient: rfc822;original@example.net" in report.replace(b"rfc822; ", b"rfc822;")
    assert b"Action: delivered" in report


def test_a_refusal_by_postfix_becomes_a_report(tmp_path: Path, maildir: Postfix) -> None:
    with Relay(tmp_path / "relay", routes(maildir)) as relay:
        send(relay.port, recipients=("nobody@example.net", RECIPIENT))
        (report,) = relay.wait_captured(b"multipart/report")
        (failed,) = relay.wait_for("RecipientFailed")
        wait_until(lambda: delivered_to(maildir), "the other recipient's copy")
        wait_until(relay.is_idle, "an empty queue")
    assert failed["recipient"] == "nobody@example.net"
    assert failed["reply"] == {"code": 550, "enhanced": "5.1.1", "text": failed["reply"]["text"]}
    assert b"Final-Recipient: rfc822; nobody@example.net" in report.replace(b"rfc822;n", b"rfc822; n")
    assert b"Action: failed" in report
    assert b"Status: 5.1.1" in report
    assert b"No such user here" in report
    assert b"Auto-Submitted: auto-replied" in report
    assert len(delivered_to(maildir)) == 1


def test_a_full_mailbox_is_tried_again_while_others_are_served(tmp_path: Path, maildir: Postfix) -> None:
    with Relay(tmp_path / "relay", routes(maildir) + QUICK_RETRY) as relay:
        send(relay.port, recipients=("full@example.net", RECIPIENT))
        wait_until(lambda: delivered_to(maildir), "the other recipient's copy")
        deferred = relay.wait_for("RecipientDeferred", 2)
    assert {entry["recipient"] for entry in deferred} == {"full@example.net"}
    assert {entry["reply"]["enhanced"] for entry in deferred} == {"4.2.2"}
    assert len(delivered_to(maildir)) == 1


def test_an_outage_of_postfix_delays_and_loses_nothing(tmp_path: Path, maildir: Postfix) -> None:
    with Relay(tmp_path / "relay", routes(maildir) + QUICK_RETRY) as relay:
        send(relay.port)
        wait_until(lambda: len(delivered_to(maildir)) == 1, "the first message")
        wait_until(lambda: not maildir.queued(), "Postfix to note that")  # or it delivers it again when it is back
        maildir.stop(keep=True)
        for _ in range(5):
            send(relay.port)
        relay.wait_for("RecipientDeferred", 1)
        maildir.start()
        wait_until(lambda: len(delivered_to(maildir)) == 6, "all messages after the outage", 60)
        relay.wait_for("MessageRemoved", 6)
        assert len(delivered_to(maildir)) == 6
        assert not relay.records("RecipientFailed")
