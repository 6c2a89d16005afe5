"""`postroad-sendmail -bs`, and the writing of drops that it shares with all of sendmail.

The session is the server's own machine (RFC 5321); what it takes becomes a drop, so that it works without rights and
without the server. Whether a recipient is wanted is decided when the drop is taken in. A message for more recipients
than one transaction may have becomes several drops.
"""

import contextlib
from collections.abc import Sequence
from types import TracebackType
from typing import BinaryIO, Final, Self

from postroad.cli.exits import IO_ERROR, OK
from postroad.cli.postfix.dropplace import Place
from postroad.model.reply import Reply
from postroad.smtp import replies
from postroad.smtp.events import DataChunk, DataStarted, Event, Hello, MailFrom, MessageEnded, RcptTo
from postroad.smtp.extensions import Offer
from postroad.smtp.server import ServerSession
from postroad.store.drops import DropWriter, Letter

_READ: Final = 64 << 10


class Dropper:
    """One message on its way into the folder; leaving the context without `commit` leaves nothing there."""

    def __init__(self, place: Place, mail: MailFrom, recipients: Sequence[RcptTo]) -> None:
        """Begin; OSError when the folder cannot be written to."""
        self._limit = place.limits.message_size
        self._size = 0
        self._writers: list[DropWriter] = []
        most = place.limits.recipients_per_message
        try:
            for start in range(0, len(recipients), most):
                self._writers.append(DropWriter(place.folder, Letter(mail, tuple(recipients[start : start + most]))))
        except BaseException:
            self.abandon()
            raise

    @property
    def is_too_big(self) -> bool:
        """True when the message has more octets than the server would take; the rest was not written."""
        return self._size > self._limit

    def write(self, piece: bytes) -> None:
        """More content, every line ended by CRLF."""
        self._size += len(piece)
        if not self.is_too_big:
            for writer in self._writers:
                writer.write(piece)

    def commit(self) -> list[str]:
        """Make the message durable; the names of its drops."""
        names = []
        while self._writers:
            names.append(self._writers[0].commit())
            self._writers.pop(0)
        return names

    def abandon(self) -> None:
        """Leave nothing behind."""
        writers, self._writers = self._writers, []
        for writer in writers:
            with contextlib.suppress(OSError):
                writer.abandon()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing behind that was not committed."""
        self.abandon()


def speak(place: Place, stdin: BinaryIO, stdout: BinaryIO) -> int:
    """Serve one client on `stdin` and `stdout` until it quits."""
    talk = _Talk(place)
    try:
        while True:
            stdout.write(talk.session.data_to_send())
            stdout.flush()
            if talk.session.is_closed:
                return OK
            octets = stdin.raw.read(_READ) if hasattr(stdin, "raw") else stdin.read(_READ)
            if not octets:
                return OK if talk.session.mail is None else IO_ERROR
            talk.session.receive_data(octets)
            talk.go_on()
    finally:
        talk.discard()


class _Talk:
    """One session: what the machine asks, answered."""

    def __init__(self, place: Place) -> None:
        limits = place.limits
        self._place = place
        self.session = ServerSession(
            Offer(
                hostname=place.hostname,
                message_size=limits.message_size,
                recipients=limits.recipients_per_message,
                messages=limits.messages_per_session,
                command_line=limits.command_line,
                errors=limits.errors_per_session,
                junk=limits.junk_commands,
            )
        )
        self.session.greet(replies.banner(place.hostname))
        self._recipients: list[RcptTo] = []
        self._dropper: Dropper | None = None

    def go_on(self) -> None:
        """Answer everything that the client has asked."""
        while (event := self.session.next_event()) is not None:
            if isinstance(event, DataChunk):
                self._keep(event.data)
            elif (reply := self._answer(event)) is not None:
                self.session.answer(reply)

    def _answer(self, event: Event) -> Reply | None:
        match event:
            case Hello():
                return replies.OK
            case MailFrom():
                self._recipients = []
                return replies.SENDER_OK
            case RcptTo():
                self._recipients.append(event)
                return replies.RECIPIENT_OK
            case DataStarted():
                return self._start()
            case MessageEnded():
                return self._end(event)
            case _:
                self.discard()
                return None

    def _start(self) -> Reply:
        mail = self.session.mail
        if mail is None:
            raise AssertionError("content began without a transaction")
        try:
            self._dropper = Dropper(self._place, mail, self._recipients)
        except OSError:
            return replies.STORAGE_ERROR
        return replies.START_MAIL

    def _keep(self, data: bytes) -> None:
        if self._dropper is not None:
            try:
                self._dropper.write(data)
            except OSError:
                self.discard()  # the end of the content is answered with an error

    def _end(self, event: MessageEnded) -> Reply:
        dropper = self._dropper
        if event.defect is not None or dropper is None:
            self.discard()
            return event.defect or replies.STORAGE_ERROR
        try:
            names = dropper.commit()
        except OSError:
            return replies.STORAGE_ERROR
        finally:
            self.discard()
        return replies.queued(names[0])

    def discard(self) -> None:
        """Leave nothing of an unfinished message."""
        if self._dropper is not None:
            self._dropper.abandon()
            self._dropper = None
