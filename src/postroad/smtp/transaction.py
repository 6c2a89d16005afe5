"""One outgoing transaction without I/O: octets to send, replies taken, each recipient's answer kept apart.

With PIPELINING (RFC 2920 3.1) MAIL, every RCPT and DATA go out in one write and every reply is checked;
without it one command at a time. DATA answered 354 though no recipient was taken is ended by a lone dot.
BDAT waits for the replies to RCPT: content is never sent to a peer that may take it for commands. LMTP
gives one reply for each taken recipient after the content (RFC 2033 4.2).
"""

from collections.abc import Sequence
from itertools import repeat
from typing import Final

from postroad.model.errors import AddressError, PeerError
from postroad.model.reply import Reply
from postroad.smtp.clientparse import Extensions, ReplyReader

RSET: Final = "RSET"
MAIL: Final = "MAIL FROM"
RCPT: Final = "RCPT TO"
DATA: Final = "DATA"
CONTENT: Final = "end of DATA"


# Stages: whose reply is awaited first, or what is to be done next. Plain numbers: this is the hot path.
_RESET: Final = 0
_MAIL: Final = 1
_RECIPIENTS: Final = 2
_DATA: Final = 3
_CONTENT: Final = 4  # the content is ours to send
_FINAL: Final = 5
_ENDED: Final = 6

_AWAITING: Final = (RSET, MAIL, RCPT, DATA, CONTENT, CONTENT, "")


class Transaction:
    """MAIL to the end of the content for some recipients.

    The driver sends what `begin` and `receive` return, sends the content when `wants_content`, tells
    so by `chunk_sent` and `content_sent`, and goes on receiving until `ended`. Then `answers` holds the result.
    `is_clean` False: the session cannot be used again. `needs_reset`: RSET comes before the next MAIL.
    """

    __slots__ = (
        "_chunks",
        "_commands",
        "_data",
        "_finals",
        "_group",
        "_is_chunked",
        "_is_lmtp",
        "_mail",
        "_reader",
        "_replies",
        "_stage",
        "accepted",
        "answered",
        "closed_at",
        "closing",
        "content_is_sent",
        "is_clean",
        "is_pipelined",
        "needs_reset",
        "recipients",
    )

    def __init__(
        self,
        reader: ReplyReader,
        extensions: Extensions,
        mail: str,
        recipients: list[str],
        *,
        is_chunked: bool = False,
        is_lmtp: bool = False,
    ) -> None:
        """`mail` and `recipients` are whole commands without CRLF; `is_chunked`: BDAT instead of DATA."""
        self._reader = reader
        self.is_pipelined = extensions.pipelining
        self._is_chunked = is_chunked
        self._is_lmtp = is_lmtp
        self._commands = [mail, *recipients]
        self.recipients = len(recipients)
        # How many replies a pipelined MAIL, RCPT and DATA get.
        self._group = len(recipients) + 2 if extensions.pipelining and not is_chunked else -1
        self._mail: Reply | None = None
        self._replies: list[Reply] = []
        self._data: Reply | None = None
        self._finals: list[Reply] = []
        self._chunks = 0  # chunks but the last one whose replies are awaited
        self.accepted = 0
        self.answered = 0  # replies taken so far
        self.closing: Reply | None = None  # 421: the peer ends the session (RFC 5321 3.8)
        self.closed_at = ""  # the command it answers
        self.content_is_sent = False
        self.is_clean = True
        self.needs_reset = False
        self._stage = _MAIL

    @property
    def awaiting(self) -> str:
        """The command whose reply comes next, in the words of the log."""
        return _AWAITING[self._stage]

    @property
    def wants_content(self) -> bool:
        """True when the driver is to send the content now."""
        return self._stage == _CONTENT

    @property
    def ended(self) -> bool:
        """True when no further reply is awaited."""
        return self._stage == _ENDED

    @property
    def has_begun(self) -> bool:
        """True when the peer took MAIL: before that, a broken session proves nothing about the peer."""
        return self._mail is not None and self._mail.code < 400

    def begin(self, *, reset: bool = False) -> bytes:
        """The first octets to send, behind RSET if `reset`; AddressError when a command holds a control character."""
        commands = self._commands
        # Whatever checked the addresses before: no command ever carries a second one.
        if not "".join(commands).isprintable():
            raise AddressError("a command would hold a control character")
        if reset:
            self._stage = _RESET
            commands = [RSET, *commands]
        if not self.is_pipelined:
            return f"{commands[0]}\r\n".encode()
        text = "\r\n".join(commands)
        return f"{text}\r\n".encode() if self._is_chunked else f"{text}\r\nDATA\r\n".encode()

    def receive(self, data: bytes) -> bytes:
        """Take octets of the peer, give those to send now; PeerError when it breaks the protocol."""
        out = b""
        replies = self._reader.feed(data)
        if self._took_whole_group(replies):
            return out
        for reply in replies:
            if out:
                self.is_clean = False
                raise PeerError("a reply came before its command was sent")
            self.answered += 1
            if reply.code == 421:
                self.closing = reply
                self.closed_at = self.awaiting
                self.is_clean = False
                self._stage = _ENDED
                break
            out = self._take(reply)
        return out

    def chunk_sent(self) -> None:
        """A chunk that is not the last went out by BDAT."""
        self._chunks += 1

    def content_sent(self) -> None:
        """The content's end went out: from now on the peer may have the message."""
        self.content_is_sent = True
        self._stage = _FINAL

    @property
    def granted(self) -> Reply | None:
        """The reply to the content when the peer took the message for every recipient with one reply."""
        finals = self._finals
        if len(finals) != 1 or finals[0].code >= 400 or self.accepted != self.recipients:
            return None
        return None if self._is_lmtp and self.recipients > 1 else finals[0]

    def answers(self) -> list[tuple[Reply | None, str]]:
        """For each recipient the reply that decided, and the command it answers; None where none came."""
        if self._mail is None or self._mail.code >= 400:
            return [(self._mail, MAIL)] * self.recipients
        finals = iter(self._finals) if self._is_lmtp else repeat(self._finals[0] if self._finals else None)
        answers: list[tuple[Reply | None, str]] = []
        for reply in self._replies:
            if reply.code >= 400:
                answers.append((reply, RCPT))
            elif self._data is not None:
                answers.append((self._data, DATA))
            else:
                answers.append((next(finals, None), CONTENT))
        answers.extend([(None, RCPT)] * (self.recipients - len(answers)))
        return answers

    def _took_whole_group(self, replies: Sequence[Reply]) -> bool:
        """Take the usual answer to a whole pipelined group at once: everything was granted."""
        if self._stage != _MAIL or len(replies) != self._group or replies[-1].code != 354:
            return False
        taken = replies[1:-1]
        if replies[0].code >= 300 or max([reply.code for reply in taken]) >= 300:
            return False
        self._mail = replies[0]
        self._replies = list(taken)
        self.accepted = self.recipients
        self.answered = len(replies)
        self.needs_reset = True
        self._stage = _CONTENT
        return True

    def _take(self, reply: Reply) -> bytes:
        stage = self._stage
        code = reply.code
        if 300 <= code < 400 and stage != _DATA:
            raise PeerError(f"reply {code} to {self.awaiting or 'nothing'} makes no sense")
        if stage == _RECIPIENTS:
            return self._take_recipient(reply)
        if stage == _MAIL:
            self._mail = reply
            self.needs_reset = code < 400
            self._stage = _RECIPIENTS
            if self.is_pipelined:
                return b""
            return self._next_recipient() if code < 400 else self._end()
        if stage == _DATA:
            return self._take_data(reply)
        if stage in (_FINAL, _CONTENT):
            self._take_final(reply)
            return b""
        if stage == _RESET and code < 300:
            self._stage = _MAIL
            return b"" if self.is_pipelined else f"{self._commands[0]}\r\n".encode()
        self.is_clean = False
        raise PeerError("RSET was refused" if stage == _RESET else "a reply came that answers nothing")

    def _take_recipient(self, reply: Reply) -> bytes:
        replies = self._replies
        replies.append(reply)
        if reply.code < 400 and self.needs_reset:  # RCPT counts only behind a MAIL that was taken
            self.accepted += 1
        if len(replies) < self.recipients:
            return b"" if self.is_pipelined else self._next_recipient()
        if self._is_chunked:
            self._stage = _CONTENT if self.accepted else _ENDED
            return b""
        if self.is_pipelined:
            self._stage = _DATA
            return b""
        if not self.accepted:
            return self._end()
        self._stage = _DATA
        return b"DATA\r\n"

    def _take_data(self, reply: Reply) -> bytes:
        if reply.code == 354:
            if self.accepted:
                self._stage = _CONTENT
                return b""
            if self._is_lmtp:  # RFC 2033 4.2: must be 503; how many replies would follow a dot, nobody can tell
                raise PeerError("354 without a recipient")
            self._stage = _FINAL
            return b".\r\n"
        if reply.code < 400:
            raise PeerError(f"reply {reply.code} to {DATA} makes no sense")
        self._data = reply
        return self._end()

    def _take_final(self, reply: Reply) -> None:
        early = self._stage == _CONTENT
        if self._chunks:
            self._chunks -= 1
            if reply.code < 400:
                return
            early = True  # a refused chunk refuses the message, and replies to later chunks may still come
        if early and reply.code < 400:
            raise PeerError(f"reply {reply.code} came before the end of the content")
        if early:
            self._finals = [reply]
            self._is_lmtp = False  # this one reply is for all
            self.is_clean = False
            self._stage = _ENDED
            return
        self._finals.append(reply)
        if not self._is_lmtp or len(self._finals) == self.accepted:
            self.needs_reset = self._is_chunked and reply.code >= 400  # RFC 3030 2
            self._stage = _ENDED

    def _next_recipient(self) -> bytes:
        return f"{self._commands[1 + len(self._replies)]}\r\n".encode()

    def _end(self) -> bytes:
        self._stage = _ENDED
        return b""
