"""Samples of the records of what policies and signing did to messages; see `records`.

Apart from the others for length alone.
"""

from postroad.model.envelope import Origin
from postroad.model.records import (
    MessageAdjusted,
    MessageDiscarded,
    MessageSigned,
    MessageUnsigned,
    RecipientDiscarded,
    Record,
)


def policy_samples(at: int, queue_id: str, origin: Origin) -> tuple[Record, ...]:
    """One of each."""
    return (
        MessageAdjusted(
            at=at,
            id=queue_id,
            reason="rule 3; rule 5",
            tags=("bulk", "news"),
            held="looks odd",
            route="slow",
            tls="required",
            sender="devices@example.com",
            redirected=("carol@example.com",),
            added=("archive@example.com",),
        ),
        MessageDiscarded(
            at=at,
            id=queue_id,
            origin=origin,
            sender="alice@example.com",
            recipients=2,
            size=4096,
            message_id="<1@example.com>",
            reason="rule 7",
        ),
        MessageSigned(at=at, id=queue_id, keys=("2023r._domainkey.example.com",), reason="mail of example.com"),
        MessageUnsigned(at=at, id=queue_id, reason="no key is for mail of example.net by the listener mx"),
        RecipientDiscarded(at=at, id=queue_id, recipient="bob@example.net", reason="rule 8"),
    )
