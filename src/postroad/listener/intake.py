"""The acceptance moment, and only that: content and envelope into the spool, then the queue id.

Collects a transaction's content (small in memory, large in a draft of the spool), judges its header
section, adds our Received field as prefix, and puts it. The caller answers the peer only when the
spool has made the message durable (RFC 5321 4.2.5, 6.1).
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from postroad.listener.consult import EXPAND_SECONDS, Announce, Consultation, Expand
from postroad.listener.receipt import Arrival, Receipt
from postroad.listener.settings import LimitsSettings
from postroad.listener.sign import Sign
from postroad.listener.transaction import Transaction
from postroad.message.trace import Hop, format_date, read_head, received_field
from postroad.model.envelope import Envelope, Recipient
from postroad.model.errors import PostroadError, SpoolError, SpoolFullError
from postroad.model.queueid import QueueIds
from postroad.model.records import Emit, MessageAccepted, MessageDiscarded, RecipientDiscarded, Record
from postroad.model.route import TLS_OPTIONAL
from postroad.model.work import Stored, Work
from postroad.policy.adjusting import adjusted, total, with_adjustments
from postroad.smtp import replies
from postroad.smtp.events import MessageEnded
from postroad.spool.draft import Draft

Rewrite = Callable[[Envelope], tuple[Envelope, list[Record]]]  # the routes' last word on who gets a message


class Spooling(Protocol):
    """What intake needs of the spool."""

    def has_room(self) -> bool:
        """False while new mail must get 452 4.3.1."""

    def draft(self, on_drain: Callable[[], None]) -> Draft:
        """Begin content that is too large for memory."""

    def expect(self, change: int) -> None:
        """So many messages more, or fewer, are on their way."""

    def put(
        self,
        envelope: Envelope,
        content: bytes | Draft,
        done: Callable[[Stored, list[Work]], None],
        failed: Callable[[SpoolError], None],
    ) -> None:
        """Make a message durable, then call back."""


class Gathering:
    """Content of one transaction while it comes in."""

    def __init__(self, spool: Spooling, *, inline: int, header_limit: int, on_drain: Callable[[], None]) -> None:
        """Keep up to `inline` octets in memory; look at most `header_limit` octets deep for the header's end."""
        self._spool = spool
        self._in_memory = inline
        self._header_limit = header_limit
        self._on_drain = on_drain
        self._pieces: list[bytes] = []
        self._held = 0
        self._draft: Draft | None = None
        self._head = b""  # the beginning of a drafted content, until its header section is complete
        self._head_open = True

    def append(self, piece: bytes) -> int:
        """Take one more piece; how many octets wait to be written."""
        if self._draft is None:
            self._pieces.append(piece)
            self._held += len(piece)
            if self._held > self._in_memory:
                self._begin_draft()
            return 0
        if self._head_open:
            self._look(piece)
        self._draft.append(piece)
        return self._draft.backlog

    def _begin_draft(self) -> None:
        self._draft = self._spool.draft(self._on_drain)
        whole = b"".join(self._pieces)
        self._pieces.clear()
        self._look(whole)
        self._draft.append(whole)

    def _look(self, piece: bytes) -> None:
        self._head += piece
        self._head_open = (
            not self._head.startswith(b"\r\n")
            and b"\r\n\r\n" not in self._head
            and len(self._head) <= self._header_limit
        )

    def finish(self) -> tuple[bytes | Draft, bytes]:
        """(content, its beginning with the whole header section)."""
        if self._draft is not None:
            return self._draft, self._head
        pieces = self._pieces
        content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return content, content

    def discard(self) -> None:
        """The transaction came to nothing."""
        self._pieces.clear()
        if self._draft is not None:
            self._draft.discard()


class Intake:
    """Turns finished transactions into durable messages, for all listeners."""

    def __init__(  # noqa: PLR0913  the composition root passes the parts by name
        self,
        *,
        spool: Spooling,
        admit: Callable[[Stored, list[Work]], None],
        emit: Emit,
        now: Callable[[], int],
        hostname: str,
        queue_ids: QueueIds,
        limits: LimitsSettings,
        inline: int,
        expand: Expand | None = None,
        announce: Announce | None = None,
        rewrite: Rewrite | None = None,
        sign: Sign | None = None,
        patience: float = EXPAND_SECONDS,
    ) -> None:
        """`admit` is the queue's one door; `now` gives microseconds since 1970; `inline` octets stay in memory.

        `expand` may change recipients, within `patience` seconds; `announce` tells a sender that asked for it which of
        them became several; `rewrite` replaces recipients of the envelope, and tells what is to be reported of it.
        `sign` comes last, when nothing of the message changes any more.
        """
        self.rewrite = rewrite  # a reload replaces it together with the routes
        self._sign = sign
        self._spool = spool
        self._admit = admit
        self._emit = emit
        self._now = now
        self._hostname = hostname
        self._queue_ids = queue_ids
        self._limits = limits
        self._in_memory = inline
        self._expand = expand
        self._consultation = Consultation(
            put=self._put_consulted,
            discard=self._discard,
            emit=emit,
            now=now,
            expand=expand,
            announce=announce,
            patience=patience,
        )
        self._date_second = -1
        self._date = ""

    def has_room(self) -> bool:
        """False while the disk is too full for new mail."""
        return self._spool.has_room()

    def expect(self, change: int) -> None:
        """So many messages more, or fewer, are on their way in."""
        self._spool.expect(change)

    def gather(self, on_drain: Callable[[], None]) -> Gathering:
        """Begin to take content; `on_drain` is called when a large backlog has been written."""
        return Gathering(self._spool, inline=self._in_memory, header_limit=self._limits.header_size, on_drain=on_drain)

    def accept(
        self,
        transaction: Transaction,
        gathering: Gathering,
        ended: MessageEnded,
        done: Callable[[Receipt], None],
        queue_id: str = "",
    ) -> None:
        """Put the message of `transaction` into the spool and call `done` once, when it is durable or refused.

        `queue_id` is for a message that has one already.
        """
        if ended.defect is not None:
            gathering.discard()
            done(Receipt(ended.defect, ended.detail))
            return
        content, beginning = gathering.finish()
        head = read_head(beginning)
        if head.hops > self._limits.hops or head.size > self._limits.header_size:
            gathering.discard()
            done(
                Receipt(replies.LOOP, f"{head.hops} Received fields")
                if head.hops > self._limits.hops
                else Receipt(replies.HEADERS_TOO_BIG, f"header section of {head.size} octets")
            )
            return
        if head.waives_tls and not transaction.tls:
            transaction.tls = TLS_OPTIONAL  # REQUIRETLS goes before it (RFC 8689 4.2.2)
        if (
            self._expand is None
            and transaction.stages.message is None
            and not transaction.adjustments
            and not transaction.left_out
            and not transaction.discarded
        ):
            self._put(transaction, ended, head.message_id, content, done, queue_id, beginning)
        else:
            self._consultation.begin(
                Arrival(transaction, ended, gathering, content, beginning, head.message_id, done, queue_id)
            )

    def _put_consulted(self, arrival: Arrival) -> None:
        self._put(
            arrival.transaction,
            arrival.ended,
            arrival.message_id,
            arrival.content,
            arrival.done,
            arrival.queue_id,
            arrival.head,
            became=arrival.became,
            told=arrival.told,
        )

    def _discard(self, arrival: Arrival, reason: str) -> None:
        """Say that it is queued, and throw it away."""
        transaction, now = arrival.transaction, self._now()
        queue_id = arrival.queue_id or self._queue_ids.new(now)
        self._emit(
            MessageDiscarded(
                at=now,
                id=queue_id,
                origin=transaction.origin,
                sender=transaction.mail.path.text,
                recipients=len(transaction.recipients),
                size=arrival.ended.size,
                message_id=arrival.message_id,
                reason=reason,
            )
        )
        for recipient, why in transaction.left_out:
            self._emit(RecipientDiscarded(at=now, id=queue_id, recipient=recipient.address.text, reason=why))
        arrival.refuse(Receipt(replies.queued(queue_id)))

    def _put(  # noqa: PLR0913, PLR0917  once a message: no object is made to carry these
        self,
        transaction: Transaction,
        ended: MessageEnded,
        message_id: str,
        content: bytes | Draft,
        done: Callable[[Receipt], None],
        queue_id: str,
        beginning: bytes,
        *,
        became: list[Recipient] | None = None,
        told: Callable[[Envelope], None] | None = None,
    ) -> None:
        """Make the message durable for its recipients, or for what they `became`; `told` is called when it is."""
        envelope = self._envelope(
            transaction, transaction.recipients if became is None else became, ended, message_id, queue_id
        )
        notes: Sequence[Record] = ()
        if transaction.adjustments:
            adjust = total(transaction.adjustments)
            envelope = with_adjustments(envelope, adjust)
            if adjust.reason or not adjust.is_stamp:
                notes = [adjusted(envelope, adjust)]
        for recipient, why in transaction.left_out:
            left = RecipientDiscarded(at=envelope.arrived, id=envelope.id, recipient=recipient.address.text, reason=why)
            notes = [*notes, left]
        if self.rewrite is not None:
            envelope, more = self.rewrite(envelope)
            notes = [*notes, *more]
        if self._sign is None:
            self._store(envelope, content, notes, done, told)
            return

        def signed(envelope: Envelope, note: Record | None) -> None:
            self._store(envelope, content, notes if note is None else [*notes, note], done, told)

        def unreadable(error: PostroadError) -> None:
            if not isinstance(content, bytes):
                content.discard()
            done(Receipt(replies.STORAGE_ERROR, str(error)))

        self._sign(transaction, envelope, beginning, content, signed, unreadable)

    def _store(
        self,
        envelope: Envelope,
        content: bytes | Draft,
        notes: Sequence[Record],
        done: Callable[[Receipt], None],
        told: Callable[[Envelope], None] | None,
    ) -> None:
        def durable(stored: Stored, works: list[Work]) -> None:
            self._emit(
                MessageAccepted(
                    at=envelope.arrived,
                    id=envelope.id,
                    origin=envelope.origin,
                    sender=envelope.sender.text,
                    recipients=len(envelope.recipients),
                    size=envelope.size,
                    message_id=envelope.message_id,
                )
            )
            for note in notes:
                self._emit(note)
            done(Receipt(replies.queued(envelope.id)))
            self._admit(stored, works)
            if told is not None:
                told(envelope)

        def failed(error: SpoolError) -> None:
            full = isinstance(error, SpoolFullError)
            done(Receipt(replies.STORAGE_FULL if full else replies.STORAGE_ERROR, str(error)))

        self._spool.put(envelope, content, durable, failed)

    def _envelope(
        self,
        transaction: Transaction,
        recipients: list[Recipient],
        ended: MessageEnded,
        message_id: str,
        queue_id: str,
    ) -> Envelope:
        now = self._now()
        second = now // 1_000_000
        if second != self._date_second:
            self._date_second = second
            self._date = format_date(now)
        mail, origin, given = transaction.mail, transaction.origin, transaction.recipients
        queue_id = queue_id or self._queue_ids.new(now)
        adjustments = transaction.adjustments
        is_plain = not adjustments or all(one.is_stamp for one in adjustments)  # else never what an alias hides
        only = given[0].address.text if is_plain and len(given) == 1 else ""
        protocol = origin.protocol
        if mail.smtputf8 and protocol != "HTTP":  # RFC 6531 4.3; a drop says "local"
            protocol = f"UTF8{protocol.removeprefix('E')}" if protocol.startswith("E") else "UTF8SMTP"
        state = transaction.peer.tls
        tls = "" if state is None else f"{state.version} with cipher {state.cipher} ({state.bits}/{state.bits} bits)"
        proved = state.fingerprint if state is not None and state.is_verified else ""
        hop = Hop(origin.helo, origin.ip, self._hostname, protocol, queue_id, only, tls, proved)
        return Envelope(
            id=queue_id,
            sender=mail.path,
            recipients=tuple(recipients),
            arrived=now,
            size=ended.size,
            origin=origin,
            prefix=received_field(hop, self._date),
            body=mail.body,
            eight_bit=ended.eight_bit,
            smtputf8=mail.smtputf8,
            ret=mail.ret,
            envid=mail.envid,
            message_id=message_id,
            tls=transaction.tls,
        )
