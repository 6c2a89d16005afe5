"""Small works and messages for the pure parts of the queue."""

from postroad.model.address import parse_mailbox, parse_path
from postroad.model.envelope import Envelope, Recipient
from postroad.model.route import Target
from postroad.model.work import Place, Stored, Work

NOW = 1_700_000_000_000_000
SECOND = 1_000_000
TARGET = Target("smtp", "mx.example.org", "192.0.2.1", 25)


def message(
    *recipients: str | Recipient,
    queue_id: str = "q1",
    sender: str = "alice@example.com",
    content: bytes | None = b"Subject: x\r\n\r\nx\r\n",
    arrived: int = NOW,
    lane: str = "mx:example.org",
) -> list[Work]:
    """The works of a message, all on one lane."""
    envelope = Envelope(
        id=queue_id,
        sender=parse_path(sender.encode()),
        recipients=tuple(
            one if isinstance(one, Recipient) else Recipient(parse_mailbox(one))
            for one in recipients or ("bob@example.org",)
        ),
        arrived=arrived,
        size=len(content or b""),
    )
    stored = Stored(envelope, Place("main", 0, 0, 0), content, len(envelope.recipients))
    return [Work(stored, index, lane, arrived, arrived) for index in range(len(envelope.recipients))]
