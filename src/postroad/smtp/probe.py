"""One question to a server without I/O: would it take mail for these recipients? Nothing is ever sent (RFC 5321 3.3).

MAIL and every RCPT, then nothing: the next user of the session begins with RSET. With PIPELINING (RFC 2920 3.1) all go
out in one write, DATA never does. Each recipient's reply is kept apart; one that was not asked about has None.
"""

from collections.abc import Sequence
from typing import Final

from postroad.model.errors import AddressError, PeerError
from postroad.model.reply import Reply
from postroad.smtp.clientparse import ReplyReader

_RSET: Final = "RSET"


class Probe:
    """MAIL and RCPT; the driver sends what `begin` and `receive` return until `ended`."""

    __slots__ = ("_commands", "_is_pipelined", "_left", "_reader", "_replies", "_resets", "closing")

    def __init__(self, reader: ReplyReader, mail: str, recipients: Sequence[str], *, is_pipelined: bool) -> None:
        """`mail` and `recipients` are whole commands without CRLF."""
        self._reader = reader
        self._is_pipelined = is_pipelined
        self._commands = [mail, *recipients]
        self._left: list[str] = []  # not sent yet
        self._replies: list[Reply] = []
        self._resets = 0  # replies to RSET that come first
        self.closing: Reply | None = None  # 421: the peer ends the session (RFC 5321 3.8)

    @property
    def ended(self) -> bool:
        """True when no further reply is awaited."""
        if self.closing is not None:
            return True
        is_refused = not self._is_pipelined and bool(self._replies) and self._replies[0].code >= 300
        return not self._resets and (is_refused or len(self._replies) == len(self._commands))

    @property
    def sender(self) -> Reply | None:
        """The reply to MAIL."""
        return self._replies[0] if self._replies else None

    @property
    def recipients(self) -> list[Reply | None]:
        """The reply to each RCPT."""
        answered: list[Reply | None] = [*self._replies[1:]]
        return answered + [None] * (len(self._commands) - 1 - len(answered))

    def begin(self, *, reset: bool) -> bytes:
        """The first octets to send, behind RSET if `reset`; AddressError when a command holds a control character."""
        if not "".join(self._commands).isprintable():
            raise AddressError("a command would hold a control character")
        self._resets = int(reset)
        self._left = [_RSET, *self._commands] if reset else list(self._commands)
        return self._next()

    def receive(self, data: bytes) -> bytes:
        """Take octets of the peer, give those to send now; PeerError when it breaks the protocol."""
        awaited = self._resets + len(self._commands) - len(self._replies) - len(self._left)
        for reply in self._reader.feed(data):
            if not awaited or 300 <= reply.code < 400:
                raise PeerError("the peer sends replies that answer nothing")
            awaited -= 1
            if reply.code == 421:
                self.closing = reply
                return b""
            if self._resets:
                self._resets = 0
                if reply.code >= 300:
                    raise PeerError("the peer refuses RSET")
            else:
                self._replies.append(reply)
        return b"" if awaited or self.ended else self._next()

    def _next(self) -> bytes:
        count = len(self._left) if self._is_pipelined else 1
        now, self._left = self._left[:count], self._left[count:]
        return "".join(f"{command}\r\n" for command in now).encode()
