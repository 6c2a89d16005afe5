"""The report that an alias was expanded: what it says, where it goes, and that it cannot do harm."""

from email import message_from_bytes

from postroad.model.address import parse_mailbox
from postroad.model.envelope import NOTIFY_NEVER, NOTIFY_SUCCESS, Envelope, Recipient
from postroad.model.errors import SpoolError
from postroad.model.queueid import QueueIds
from postroad.model.records import DsnQueued, Record, SpoolFaulted
from postroad.model.work import Stored, Work
from postroad.queue.announce import Announcer
from tests.support.conversation import InstantSpool

RECIPIENT = Recipient(parse_mailbox("all@example.net"), NOTIFY_SUCCESS, "rfc822;everybody@example.net")
ENVELOPE = Envelope(
    id="original",
    sender=parse_mailbox("a@example.org"),
    recipients=(),
    arrived=1_700_000_000_000_000,
    size=10,
    prefix="Received: x\r\n",
    envid="QQ314159",
)


def announcer(spool: InstantSpool, records: list[Record], admitted: list[str]) -> Announcer:
    def admit(stored: Stored, _: list[Work]) -> None:
        admitted.append(stored.id)

    return Announcer(spool=spool, admit=admit, emit=records.append, hostname="relay.example.com", queue_ids=QueueIds(1))


def test_the_report() -> None:
    spool, records, admitted = InstantSpool(), list[Record](), list[str]()
    announcer(spool, records, admitted).expanded(ENVELOPE, [RECIPIENT], b"Subject: x\r\n\r\nsecret body\r\n")
    ((letter, content),) = spool.messages
    assert letter.sender.is_null
    assert letter.recipients == (Recipient(ENVELOPE.sender, NOTIFY_NEVER),)
    text = content.decode()
    assert message_from_bytes(content).get_content_type() == "multipart/report"
    assert "Original-Envelope-Id: QQ314159\r\n" in text
    assert "Original-Recipient: rfc822; everybody@example.net\r\n" in text
    assert "Final-Recipient: rfc822; all@example.net\r\nAction: expanded\r\nStatus: 2.0.0\r\n" in text
    assert "passed on to the several addresses" in text
    assert "Received: x\r\nSubject: x\r\n" in text
    assert "secret" not in text
    assert admitted == [letter.id]
    assert records == [
        DsnQueued(
            at=ENVELOPE.arrived, id="original", report=letter.id, kind="expanded", to="a@example.org", size=len(content)
        )
    ]


def test_a_spool_that_fails_costs_the_report_alone() -> None:
    spool, records, admitted = InstantSpool(), list[Record](), list[str]()
    spool.fault = SpoolError("no disk")
    announcer(spool, records, admitted).expanded(ENVELOPE, [RECIPIENT], b"Subject: x\r\n\r\n")
    assert admitted == []
    assert records == [SpoolFaulted(at=ENVELOPE.arrived, reason="a report about original is lost: no disk")]
