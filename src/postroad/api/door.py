"""One message on its way in: judged like a transaction of SMTP, then given to the one intake.

Invariant: a message is taken for all of its recipients or for none, so that repeating it never doubles it. Its sender,
in the envelope and in From, is one that its key may use. Whatever is refused has the record that SMTP's refusals have.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import Final

from msgspec import Struct

from postroad.api.addresses import mailbox_of, sender_of
from postroad.api.compose import Texts, compose, people_of
from postroad.api.keys import Scope
from postroad.api.problem import (
    FAULT,
    FORBIDDEN,
    TOO_LARGE,
    ApiError,
    Refusal,
    invalid,
    refused,
    told,
)
from postroad.api.schema import Envelope, Fault, Message
from postroad.api.templates import Templates
from postroad.listener.intake import Intake
from postroad.listener.receipt import Receipt
from postroad.listener.settings import LimitsSettings
from postroad.listener.transaction import Transaction
from postroad.message.addresslist import addresses
from postroad.message.headers import fields, header_section
from postroad.message.trace import format_date
from postroad.model.address import Mailbox, parse_mailbox
from postroad.model.envelope import (
    NOTIFY_DELAY,
    NOTIFY_FAILURE,
    NOTIFY_NEVER,
    NOTIFY_SUCCESS,
    Origin,
    Recipient,
)
from postroad.model.errors import AddressError
from postroad.model.queueid import QueueIds
from postroad.model.records import CommandRefused, DeskFaulted, Emit
from postroad.model.reply import Reply
from postroad.net.clock import Clock
from postroad.policy.context import Peer
from postroad.policy.stages import Stages
from postroad.smtp import replies
from postroad.smtp.client import encode_xtext
from postroad.smtp.command import ENVID_LIMIT
from postroad.smtp.data import ContentCheck, mend_newlines
from postroad.smtp.events import DataChunk, MailFrom

PROTOCOL: Final = "HTTP"
PIECE: Final = 256 << 10
_NOTIFY: Final = (
    ("never", NOTIFY_NEVER),
    ("success", NOTIFY_SUCCESS),
    ("failure", NOTIFY_FAILURE),
    ("delay", NOTIFY_DELAY),
)
_RET: Final = (("", ""), ("full", "FULL"), ("headers", "HDRS"))


Everyone = tuple[tuple[Mailbox, str], ...]  # with the place in the request
Wanted = dict[Recipient, str]  # likewise


class Parts(Struct, frozen=True, kw_only=True):
    """What the way in needs of the rest of the server, from the configuration in force."""

    clock: Clock
    emit: Emit
    stages_of: Callable[[str], Stages]
    intake: Intake
    limits: LimitsSettings
    queue_ids: QueueIds
    postmaster: Mailbox
    hostname: str
    templates: Templates


class Prepared(Struct, frozen=True):
    """A message that nothing speaks against so far; `id` is the queue id that it will have."""

    id: str
    transaction: Transaction
    content: bytes


class Door:
    """The way in for the messages of one request."""

    def __init__(self, parts: Parts, scope: Scope, ip: str, port: int, composers: Executor) -> None:
        """The request came with the key of `scope` from `ip`; `composers` write messages."""
        self._parts = parts
        self._composers = composers
        self._scope = scope
        session = parts.queue_ids.new(parts.clock.now())
        self._origin = Origin(ip, port, scope.name, PROTOCOL, scope.listener, session, scope.name)
        self._peer = Peer(ip, relays=scope.relay)

    async def prepare(self, message: Message) -> Prepared:
        """Make a mail of `message` and ask the policies; ApiError when it is not taken."""
        parts = self._parts
        queue_id = parts.queue_ids.new(parts.clock.now())
        if message.raw is not None:
            mail, recipients, content = self._raw(message, message.raw)
        else:
            mail, recipients, content = await self._composed(message, queue_id)
        if len(content) > parts.limits.message_size:
            self._tell("message", replies.MESSAGE_TOO_BIG, f"has {len(content)} octets", mail, "")
            raise ApiError(told(TOO_LARGE, replies.MESSAGE_TOO_BIG.text))
        return Prepared(queue_id, await self._judge(mail, recipients), content)

    async def put(self, prepared: Prepared, taken: Callable[[str], None]) -> None:
        """Return when the message is durable; ApiError if it is refused. `taken` is called before the queue has it."""
        parts, mail = self._parts, prepared.transaction.mail
        check = ContentCheck(limit=parts.limits.message_size, normalise=False, binary=False)
        gathering = parts.intake.gather(_nothing)
        for piece in _pieces(prepared.content):
            chunk = check.take(piece)
            if isinstance(chunk, DataChunk):
                gathering.append(chunk.data)
        answer: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()

        def done(receipt: Receipt) -> None:
            if receipt.reply.is_positive:
                taken(prepared.id)
            if not answer.done():
                answer.set_result(receipt)

        parts.intake.accept(prepared.transaction, gathering, check.ended(), done, prepared.id)
        receipt = await answer
        if not receipt.reply.is_positive:
            self._tell("message", receipt.reply, receipt.detail, mail, "")
            raise refused((Refusal(receipt.reply),))

    def now(self) -> int:
        """The time, in microseconds since 1970."""
        return self._parts.clock.now()

    def fault(self, detail: str) -> ApiError:
        """A message hit a bug of ours, with this traceback."""
        self._parts.emit(DeskFaulted(at=self.now(), page="a message", detail=detail))
        return ApiError(FAULT)

    # -- what comes in ---------------------------------------------------------------------------

    def _raw(self, message: Message, raw: bytes) -> tuple[MailFrom, Wanted, bytes]:
        if message.envelope is None or message.envelope.to is None or message.envelope.sender is None:
            raise invalid("/envelope", 'a raw message needs an envelope with "from" and "to"')
        for name in ("sender", "to", "cc", "bcc", "reply_to", "subject", "text", "html", "headers", "attachments"):
            if getattr(message, name):
                raise invalid("/raw", "stands for the whole message: no parts beside it")
        if message.template:
            raise invalid("/raw", "stands for the whole message: no template beside it")
        content = mend_newlines(raw)
        section = header_section(content)
        if not self._scope.senders.any:
            self._check_authors(section)
        return *self._path(message.envelope, None, (), utf8=not section.isascii(), plain=content.isascii()), content

    def _check_authors(self, section: bytes) -> None:
        for value in fields(section, b"from"):
            for text in addresses(value.decode("utf-8", "replace")):
                try:
                    self._may_send(parse_mailbox(text), "/raw")
                except AddressError:
                    raise ApiError(told(FORBIDDEN, f"From has no address that could be checked: {text}")) from None

    async def _composed(self, message: Message, queue_id: str) -> tuple[MailFrom, Wanted, bytes]:
        parts = self._parts
        people = people_of(message)
        self._may_send(people.author, "/from")
        path = message.envelope or Envelope()
        mail, recipients = self._path(path, people.author, people.everyone, utf8=people.utf8, plain=True)
        date, name = format_date(parts.clock.now()), f"<{queue_id}@{parts.hostname}>"

        def make() -> bytes:
            texts = Texts(message.subject or "", message.text, message.html)
            if message.template:
                texts = parts.templates.fill(message)
            elif message.variables:
                raise invalid("/variables", "there is no template that they could fill")
            return compose(message, texts, date=date, message_id=name, utf8=people.utf8)

        return mail, recipients, await asyncio.get_running_loop().run_in_executor(self._composers, make)

    def _path(
        self, path: Envelope, author: Mailbox | None, everyone: Everyone, *, utf8: bool, plain: bool
    ) -> tuple[MailFrom, Wanted]:
        sender = (
            author if path.sender is None and author is not None else sender_of(path.sender or "", "/envelope/from")
        )
        self._may_send(sender, "/envelope/from")
        if path.to is not None:
            places = [(f"/envelope/to/{at}", text) for at, text in enumerate(path.to)]
            everyone = tuple((mailbox_of(text, place), place) for place, text in places)
        notify = sum(bit for word, bit in _NOTIFY if word in path.notify)
        if notify & NOTIFY_NEVER and notify != NOTIFY_NEVER:
            raise invalid("/envelope/notify", '"never" stands alone')
        utf8 = utf8 or any(one.needs_utf8 for one in (sender, *(one for one, _ in everyone)))
        mail = MailFrom(sender, 0, "7BIT" if plain else "8BITMIME", utf8, dict(_RET)[path.ret], _xtext(path.envid))
        wanted: Wanted = {}
        for one, place in everyone:
            wanted.setdefault(Recipient(one, notify), place)
        most = self._parts.limits.recipients_per_message
        if not 0 < len(wanted) <= most:
            raise invalid("/to", f"there are {len(wanted)} recipients; 1 to {most} are taken")
        return mail, wanted

    def _may_send(self, mailbox: Mailbox, pointer: str) -> None:
        if not self._scope.may_send_as(mailbox):
            text = f"the key may not send as <{mailbox.text}>"
            self._tell("mail", replies.SENDER_NOT_ALLOWED, text, MailFrom(mailbox), "")
            raise ApiError(told(FORBIDDEN, text, Fault(text, pointer)))

    # -- what the policies say -------------------------------------------------------------------

    async def _judge(self, mail: MailFrom, wanted: Wanted) -> Transaction:
        parts = self._parts
        places: dict[Recipient, str] = {}
        for recipient, place in wanted.items():
            path = recipient.address
            if path.local == "postmaster" and path.domain == parts.hostname:
                path = parts.postmaster  # RFC 5321 4.5.1
            places[Recipient(path, recipient.notify)] = place
        transaction = Transaction(parts.stages_of(self._scope.listener), self._peer, self._origin, mail)
        against: list[Refusal] = []
        for recipient, notice in await transaction.judge(places):
            self._tell(notice.stage, notice.reply, notice.detail, mail, recipient.address.text)
            against.append(Refusal(notice.reply, places[recipient]))
        if against:
            raise refused(tuple(against))
        return transaction

    def _tell(self, stage: str, reply: Reply, detail: str, mail: MailFrom, recipient: str) -> None:
        self._parts.emit(
            CommandRefused(
                at=self._parts.clock.now(),
                origin=self._origin,
                stage=stage,
                reply=reply,
                detail=detail,
                sender=mail.path.text,
                recipient=recipient,
            )
        )


def _pieces(content: bytes) -> Iterator[bytes]:
    """`content` as it would come over a connection: in parts that do not end inside of a CRLF."""
    at = 0
    while at < len(content):
        end = at + PIECE
        end += content[end - 1 : end] == b"\r"
        yield content[at:end]
        at = end


def _nothing() -> None:
    """All content is in memory already: nobody waits until the disk has taken a part of it."""


def _xtext(text: str) -> str:
    """`text` as xtext (RFC 3461 4)."""
    if not text.isascii() or not text.isprintable():
        raise invalid("/envelope/envid", "is not printable ASCII")
    found = encode_xtext(text)
    if len(found) > ENVID_LIMIT:
        raise invalid("/envelope/envid", f"is longer than {ENVID_LIMIT} characters in xtext")
    return found
