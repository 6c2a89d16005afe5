"""Reports on their way into the queue: what they return, and the envelope they travel in.

A report goes from the null reverse-path to the reverse-path of the original, asks for no reports itself
(RFC 3461 6.1) and is put into the spool in the same durable batch as the outcome it tells of. A copy for the
postmaster is the same report to somebody else, chosen by the class of error (RFC 3463 3). Pure.
"""

from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Final

from msgspec.structs import replace

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
from postroad.model.address import NULL_PATH, Mailbox
from postroad.model.envelope import BODY_7BIT, BODY_8BITMIME, BODY_BINARYMIME, NOTIFY_NEVER, Envelope, Recipient
from postroad.model.route import TLS_REQUIRETLS

COPY: Final = "postmaster-copy"  # the tag of a copy; there are no copies about copies

# RFC 3463 3: the second number of an enhanced code.
_SUBJECTS: Final = MappingProxyType(
    {"1": "address", "2": "mailbox", "3": "system", "4": "network", "5": "protocol", "6": "content", "7": "policy"}
)


def is_copied(notice: Notice, classes: AbstractSet[str], *, is_report: bool) -> bool:
    """True when the postmaster wants a copy of `notice`; `is_report`: the message is itself a report."""
    if notice.action == DELAYED:
        return "delay" in classes
    if notice.action != FAILED:
        return False
    subject = notice.status.partition(".")[2].partition(".")[0]
    return "bounce" in classes or (is_report and "2bounce" in classes) or _SUBJECTS.get(subject, "") in classes


def kind_of(notices: list[Notice]) -> str:
    """The kind of a report with these notices, of which there is at least one: its worst action."""
    actions = {notice.action for notice in notices}
    return next(action for action in (FAILED, DELAYED, EXPANDED, RELAYED, DELIVERED) if action in actions)


def returns_content(envelope: Envelope, notices: list[Notice], limit: int) -> bool:
    """True when a report carries the whole message: something failed, RET does not object, and `limit` octets hold it.

    RFC 3461 4.3: without a failed recipient only the header section goes back. Binary content never does,
    since the report would need BINARYMIME itself (RFC 3030 3), nor does what requires TLS (RFC 8689 5).
    """
    return (
        envelope.ret != "HDRS"
        and envelope.tls != TLS_REQUIRETLS
        and envelope.size <= limit
        and envelope.body != BODY_BINARYMIME
        and any(notice.action == FAILED for notice in notices)
    )


def build(report: Report, *, postmaster: Mailbox | None = None) -> tuple[Envelope, bytes]:
    """Envelope and content of `report`, ready for the spool: to the sender, or as a copy to the `postmaster`."""
    if postmaster is not None:
        report = replace(report, to=postmaster.text)
    content = compose(report)
    eight_bit = not content.isascii()
    envelope = Envelope(
        id=report.id,
        sender=NULL_PATH,
        recipients=(Recipient(postmaster or report.envelope.sender, NOTIFY_NEVER),),
        arrived=report.now,
        size=len(content),
        prefix=local_trace(report.hostname, report.id, report.now),
        body=BODY_8BITMIME if eight_bit else BODY_7BIT,
        eight_bit=eight_bit,
        smtputf8=needs_utf8(report),
        message_id=f"<{report.id}@{report.hostname}>",
        tags=() if postmaster is None else (COPY,),
        tls=TLS_REQUIRETLS if report.envelope.tls == TLS_REQUIRETLS else "",  # RFC 8689 5
    )
    return envelope, content
