"""A mail of our own to the postmaster: it enters the queue by the same door as all mail.

From the null reverse-path, so nobody is told when it fails, and marked as made by a machine (RFC 3834 5).
"""

from collections.abc import Callable

from postroad.message.dsn import local_trace
from postroad.message.trace import format_date
from postroad.model.address import NULL_PATH, Mailbox
from postroad.model.envelope import NOTIFY_NEVER, Envelope, Recipient
from postroad.model.errors import SpoolError
from postroad.model.queueid import QueueIds
from postroad.model.records import Emit, SpoolFaulted
from postroad.model.work import Stored, Work
from postroad.queue.announce import Putting


def compose(queue_id: str, hostname: str, to: Mailbox, subject: str, text: str, now: int) -> tuple[Envelope, bytes]:
    """Envelope and content; `subject` and `text` are ASCII."""
    lines = (
        f"From: Mail delivery <postmaster@{hostname}>",
        f"To: <{to}>",
        f"Subject: {subject}",
        f"Date: {format_date(now)}",
        f"Message-ID: <{queue_id}@{hostname}>",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        *text.splitlines(),
        "",
    )
    content = "\r\n".join(lines).encode("ascii", "replace")
    envelope = Envelope(
        id=queue_id,
        sender=NULL_PATH,
        recipients=(Recipient(to, NOTIFY_NEVER),),
        arrived=now,
        size=len(content),
        prefix=local_trace(hostname, queue_id, now),
        message_id=f"<{queue_id}@{hostname}>",
    )
    return envelope, content


class Notices:
    """Puts such mail into the queue."""

    def __init__(
        self, *, spool: Putting, admit: Callable[[Stored, list[Work]], None], emit: Emit, queue_ids: QueueIds
    ) -> None:
        """`admit` is the queue's one door."""
        self._spool = spool
        self._admit = admit
        self._emit = emit
        self._queue_ids = queue_ids

    def tell(self, hostname: str, to: Mailbox, subject: str, text: str, now: int) -> None:
        """Send it; a record tells when the spool refuses it."""

        def failed(error: SpoolError) -> None:
            self._emit(SpoolFaulted(at=now, reason=f"a mail to the postmaster is lost ({subject}): {error}"))

        envelope, content = compose(self._queue_ids.new(now), hostname, to, subject, text, now)
        self._spool.put(envelope, content, self._admit, failed)
