"""Reports on their way into the queue: what they return, and the envelope they travel in.

A report goes from the null reverse-path to the reverse-path of the original, asks for no reports itself
(RFC 3461 6.1) and is put into the spool in the same durable batch as the outcome it tells of. Pure.
"""

from postroad.message.dsn import (
    DELAYED,
    DELIVERED,
    EXPANDED,
    FAILED,
    RELAYED,
    Notice,
    Report,
    compose,
    local_trace,
    needs_utf8,
)
from postroad.model.address import NULL_PATH
from postroad.model.envelope import BODY_7BIT, BODY_8BITMIME, BODY_BINARYMIME, NOTIFY_NEVER, Envelope, Recipient


def kind_of(notices: list[Notice]) -> str:
    """The kind of a report with these notices, of which there is at least one: its worst action."""
    actions = {notice.action for notice in notices}
    return next(action for action in (FAILED, DELAYED, EXPANDED, RELAYED, DELIVERED) if action in actions)


def returns_content(envelope: Envelope, notices: list[Notice], limit: int) -> bool:
    """True when a report carries the whole message: something failed, RET does not object, and `limit` octets hold it.

    RFC 3461 4.3: without a failed recipient only the header section goes back. Binary content never does,
    since the report would need BINARYMIME itself (RFC 3030 3).
    """
    return (
        envelope.ret != "HDRS"
        and envelope.size <= limit
        and envelope.body != BODY_BINARYMIME
        and any(notice.action == FAILED for notice in notices)
    )


def build(report: Report) -> tuple[Envelope, bytes]:
    """Envelope and content of `report`, ready for the spool."""
    content = compose(report)
    eight_bit = not content.isascii()
    envelope = Envelope(
        id=report.id,
        sender=NULL_PATH,
        recipients=(Recipient(report.envelope.sender, NOTIFY_NEVER),),
        arrived=report.now,
        size=len(content),
        prefix=local_trace(report.hostname, report.id, report.now),
        body=BODY_8BITMIME if eight_bit else BODY_7BIT,
        eight_bit=eight_bit,
        smtputf8=needs_utf8(report),
        message_id=f"<{report.id}@{report.hostname}>",
    )
    return envelope, content
