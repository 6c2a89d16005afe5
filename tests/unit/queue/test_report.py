"""Reports: what they return, and the envelope they travel in."""

import msgspec
import pytest

from postroad.message.dsn import DELAYED, DELIVERED, FAILED, RELAYED, Notice, Report
from postroad.model.address import parse_path
from postroad.model.envelope import BODY_8BITMIME, NOTIFY_NEVER, Envelope, Recipient
from postroad.queue.report import build, kind_of, returns_content
from tests.unit.queue.builders import NOW, message

ENVELOPE = message()[0].stored.envelope


def notice(action: str = FAILED, recipient: Recipient = ENVELOPE.recipients[0]) -> Notice:
    return Notice(recipient, action, "5.0.0")


def report(envelope: Envelope = ENVELOPE, original: bytes = b"Subject: x\r\n\r\nx\r\n") -> Report:
    return Report("r1", "relay.example.net", NOW, envelope, (notice(),), original, full=True)


def test_a_report_travels_from_nobody_to_the_sender_and_asks_for_no_reports() -> None:
    envelope, content = build(report())
    assert envelope.sender.is_null
    assert [(one.address.text, one.notify) for one in envelope.recipients] == [("alice@example.com", NOTIFY_NEVER)]
    assert (envelope.id, envelope.arrived, envelope.size) == ("r1", NOW, len(content))
    assert envelope.prefix.startswith("Received: by relay.example.net (Postroad) id r1;")
    assert not envelope.smtputf8
    assert not envelope.eight_bit


def test_eight_bit_and_utf8_needs_are_declared() -> None:
    assert build(report(original=b"Subject: x\r\n\r\n\xff\r\n"))[0].body == BODY_8BITMIME
    sender = parse_path("jösé@example.com".encode(), utf8=True)
    envelope = build(report(msgspec.structs.replace(ENVELOPE, sender=sender)))[0]
    assert envelope.smtputf8
    assert envelope.body == BODY_8BITMIME


@pytest.mark.parametrize(
    ("actions", "kind"),
    [([DELAYED, FAILED], FAILED), ([RELAYED, DELAYED], DELAYED), ([DELIVERED, RELAYED], RELAYED), ([DELIVERED],) * 2],
)
def test_the_worst_action_names_the_report(actions: list[str], kind: str | list[str]) -> None:
    assert kind_of([notice(action) for action in actions]) == (kind if isinstance(kind, str) else kind[0])


@pytest.mark.parametrize(
    ("ret", "size", "body", "action", "full"),
    [
        ("", 100, "7BIT", FAILED, True),
        ("FULL", 100, "8BITMIME", FAILED, True),
        ("HDRS", 100, "7BIT", FAILED, False),
        ("FULL", 101, "7BIT", FAILED, False),
        ("FULL", 100, "BINARYMIME", FAILED, False),
        ("FULL", 100, "7BIT", DELAYED, False),
        ("FULL", 100, "7BIT", RELAYED, False),
    ],
)
def test_the_whole_message_returns_only_with_a_failure(
    ret: str, size: int, body: str, action: str, *, full: bool
) -> None:
    envelope = msgspec.structs.replace(ENVELOPE, ret=ret, size=size, body=body)
    assert returns_content(envelope, [notice(action)], 100) is full
