"""What a server session does whatever the verb: octets in and out, content, refusals, the end of a transaction.

The base of smtp/server.py, which has the events, their answers and a method for each verb; together they are one
machine without I/O. Content is dot-stuffed after DATA (RFC 5321 4.5.2) or counted after BDAT (RFC 3030 2); a refused
chunk is read to its end all the same.
"""

from collections import deque

from postroad.model.reply import Reply
from postroad.smtp import replies
from postroad.smtp.data import ChunkReader, ContentCheck, DotReader, Input
from postroad.smtp.events import Aborted, ClientNamed, Event, MailFrom, Refused, StartTls
from postroad.smtp.extensions import Offer
from postroad.smtp.state import AUTH_LINE, LINES_A_TURN, State
from postroad.smtp.tally import Tally


class Dialogue:
    """One session, without its verbs."""

    def __init__(self, offer: Offer) -> None:
        """Begin a session on the terms of `offer`; the caller calls `greet` first."""
        self._offer = offer
        self._needs_tls = offer.needs_tls
        self._line_limit = offer.command_line - 2
        self._input = Input(max(offer.command_line, AUTH_LINE) if offer.auth else offer.command_line)
        self.receive_data = self._input.add  # takes octets from the peer
        self._lines_left = LINES_A_TURN
        self._out: list[bytes] = []
        self._waiting: Event | None = None
        self._queue: deque[Event] = deque()
        self._dots: DotReader  # made when content begins, as is its check
        self._check: ContentCheck
        self._chunks: ChunkReader | None = None
        self._last_chunk = False
        self._skip: tuple[Reply, str] | None = None  # a refused chunk is read to its end, then this is said
        self.state = State.BANNER
        self.hello = ""
        self.extended = False
        self.extras: tuple[str, ...] = ()  # keywords of EHLO that not everybody is offered
        self.needs_login = offer.auth_required
        self.has_login = False
        self.mail: MailFrom | None = None
        self.taken = 0  # recipients of this transaction
        self.rejected = 0  # refused ones
        self.messages = 0
        self.left = ""  # why the session is over
        self.tally = Tally(offer)

    # -- octets in and out ---------------------------------------------------------------------

    @property
    def has_input(self) -> bool:
        """True when octets were taken that no event has used yet."""
        return bool(self._input.octets)

    @property
    def buffered(self) -> int:
        """Octets taken that no event has used yet; the caller stops reading when it grows."""
        return len(self._input)

    @property
    def is_behind(self) -> bool:
        """True when enough was obeyed for now: send what there is to send, then take events again."""
        return not self._lines_left and self._waiting is None and self.state is not State.CLOSED

    def data_to_send(self) -> bytes:
        """The replies since the last call, as one piece; begins the next turn."""
        self._lines_left = LINES_A_TURN
        out = self._out
        if not out:
            return b""
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        return data

    def greet(self, reply: Reply) -> None:
        """Answer the connection itself: the banner, or a refusal after which the session is over."""
        self._out.append(replies.encode(reply))
        if reply.is_positive:
            self.state = State.GREETED
        else:
            self._leave("refused at connect")

    def trust(self, offer: Offer) -> None:
        """Go on with an `offer` of more, for a peer that may have it."""
        self._offer = offer

    def _begin_anew(self, client: ClientNamed) -> None:
        """The peer speaks for `client`: what was said before is not that one's, so the greeting comes next."""
        self.hello = client.helo or ""
        self.extended = client.protocol != "SMTP"
        self.state = State.READY if self.hello else State.GREETED
        self.has_login = bool(client.login)
        self.needs_login = self._offer.auth_required and not self.has_login

    def close(self, reply: Reply, reason: str) -> None:
        """Say `reply` (a 421 or 554) and end the session (RFC 5321 3.8)."""
        if self.state is not State.CLOSED:
            self._out.append(replies.encode(reply))
            self._leave(reason)

    def leave(self, reason: str) -> None:
        """End the session with what was said last."""
        if self.state is not State.CLOSED:
            self._leave(reason)

    def expect_handshake(self) -> None:
        """Answer STARTTLS with yes: after what is to be sent now comes the handshake, then `secure`."""
        assert isinstance(self._waiting, StartTls), "a handshake without STARTTLS"
        self._out.append(replies.encode(replies.READY_FOR_TLS))

    def secure(self, offer: Offer) -> None:
        """TLS has begun: go on by `offer`, and know nothing of what was said before (RFC 3207 4.2)."""
        self._waiting = None
        if self.state is State.CLOSED:
            return
        self._offer = offer
        self._needs_tls = offer.needs_tls
        self._input.put_back(b"")
        self._queue.clear()
        self.hello = ""
        self.extended = False
        self.extras = ()
        self.has_login = False
        self.needs_login = offer.auth_required
        self._end_transaction()

    @property
    def is_closed(self) -> bool:
        """True when nothing more will be read: write, then close."""
        return self.state is State.CLOSED

    @property
    def waiting(self) -> bool:
        """True while an event has no answer yet."""
        return self._waiting is not None

    @property
    def in_content(self) -> bool:
        """True while the peer sends content."""
        return self.state is State.DATA or self.state is State.CHUNK

    # -- content -------------------------------------------------------------------------------

    def _read_dots(self) -> Event | None:
        dots = self._dots
        piece, rest = dots.feed(self._input.everything())
        if rest:
            self._input.put_back(rest)
        chunk = self._check.take(piece)
        if not dots.ended:
            return chunk
        self.state = State.CHUNKS  # the content is complete; only its answer is open
        return self._end_content(chunk)

    def _read_chunk(self) -> Event | None:
        chunks = self._chunks
        assert chunks is not None, "a chunk without BDAT"
        piece = chunks.feed(self._input, last=self._last_chunk)
        if self._skip is not None:
            if not chunks.left:
                self._skipped(*self._skip)
            return None
        chunk = self._check.take(piece)
        if chunks.left:
            return chunk
        self.state = State.CHUNKS
        if self._check.is_sound and not self._last_chunk:
            self._out.append(replies.chunk_taken(chunks.size).encode())
            return chunk
        return self._end_content(chunk)

    def _end_content(self, chunk: Event | None) -> Event:
        """The event of the content's end, behind its last `chunk` if there is one."""
        self._queue.append(self._check.ended())
        return chunk or self._queue.popleft()

    def _skipped(self, reply: Reply, detail: str) -> None:
        """A refused chunk has been read: say so; the transaction, if there was one, goes on only without recipients."""
        self._skip = None
        if self.taken or self.mail is None:
            self._end_transaction()
        else:
            self._chunks = None
            self.state = State.MAIL
        self._refuse("bdat", reply, detail)

    def _answer_start(self, reply: Reply, *, positive: bool) -> bool:
        """Open the content; False when nothing is to be said before it, as with BDAT (RFC 3030 2)."""
        binary = self.mail is not None and self.mail.body == "BINARYMIME"
        self._check = ContentCheck(limit=self._offer.message_size, normalise=self._offer.normalise, binary=binary)
        if self._chunks is not None:
            self.state = State.CHUNK
            if not positive:
                self._skip = (reply, "refused before the content")
            return False
        if positive:
            self._dots = DotReader()
            self.state = State.DATA
        else:
            self._end_transaction()
        return True

    # -- refusals and ends ---------------------------------------------------------------------

    def _refuse(self, stage: str, reply: Reply, detail: str) -> None:
        self._out.append(replies.encode(reply))
        self._queue.append(Refused(stage, reply, detail))
        self._count_error(reply)

    def _count_error(self, reply: Reply) -> None:
        if not self.tally.refusal(reply):
            self._lose_patience()

    def _lose_patience(self) -> None:
        self._queue.append(Refused("command", replies.TOO_MANY_ERRORS, "limits.errors_per_session"))
        self.close(replies.TOO_MANY_ERRORS, "too many errors")

    def _abandon(self) -> None:
        """End a transaction that brought no message."""
        if self.state is State.CHUNKS:
            self._queue.append(Aborted())
        self._end_transaction()

    def _end_transaction(self) -> None:
        self.mail = None
        self.taken = self.rejected = 0
        self._chunks = None
        if self.state is not State.CLOSED:
            self.state = State.READY if self.hello else State.GREETED

    def _leave(self, reason: str) -> None:
        self.state = State.CLOSED
        self.left = reason
        self._input.put_back(b"")
