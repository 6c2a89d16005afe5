"""What a peer did, as values: the server session asks with these and is answered with a reply.

Those that ask wait for an answer, and no further event comes before it (RFC 5321 4.1.4 fixes the order of commands).
The others only tell.
"""

from typing import ClassVar

from msgspec import Struct

from postroad.model.address import Mailbox
from postroad.model.reply import Reply


class Hello(Struct, frozen=True, gc=False):
    """EHLO (`extended`) or HELO; `name` is what the peer calls itself."""

    asks: ClassVar[bool] = True

    name: str
    extended: bool


class MailFrom(Struct, frozen=True, gc=False):
    """A transaction begins: `size` as declared or 0, the rest as in the envelope."""

    asks: ClassVar[bool] = True

    path: Mailbox
    size: int = 0
    body: str = "7BIT"
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""
    requiretls: bool = False


class RcptTo(Struct, frozen=True, gc=False):
    """One more recipient, with its DSN parameters (RFC 3461 4.1, 4.2)."""

    asks: ClassVar[bool] = True

    path: Mailbox
    notify: int = 0
    orcpt: str = ""


class DataStarted(Struct, frozen=True, gc=False):
    """DATA or the first BDAT: a negative answer refuses the content, 354 takes it."""

    asks: ClassVar[bool] = True


class DataChunk(Struct, frozen=True, gc=False):
    """A piece of content, dots unstuffed. Needs no answer."""

    asks: ClassVar[bool] = False

    data: bytes


class MessageEnded(Struct, frozen=True, gc=False):
    """All of the content came: `size` in octets; with a `defect` it must be refused with that reply."""

    asks: ClassVar[bool] = True

    size: int
    eight_bit: bool
    defect: Reply | None = None
    detail: str = ""


class ClientNamed(Struct, frozen=True, gc=False):
    """XCLIENT: the peer speaks for this client; None for what it did not say, "" or 0 for what it does not know.

    After a positive answer the session begins anew, with the greeting.
    """

    asks: ClassVar[bool] = True

    ip: str | None = None
    port: int | None = None
    protocol: str | None = None
    helo: str | None = None
    login: str | None = None


class Refused(Struct, frozen=True, gc=False):
    """Notice: the session itself refused a command; `detail` is the exact reason. Needs no answer."""

    asks: ClassVar[bool] = False

    stage: str
    reply: Reply
    detail: str


class Aborted(Struct, frozen=True, gc=False):
    """Notice: RSET, EHLO or QUIT ended a transaction whose content had begun. Needs no answer."""

    asks: ClassVar[bool] = False


class StartTls(Struct, frozen=True, gc=False):
    """STARTTLS: after a positive answer the handshake comes first, then a new EHLO (RFC 3207 4.2)."""

    asks: ClassVar[bool] = True


class AuthStarted(Struct, frozen=True, gc=False):
    """AUTH: `initial` is the initial response, decoded, or None without one (RFC 4954 4)."""

    asks: ClassVar[bool] = True

    mechanism: str
    initial: bytes | None = None

    def __repr__(self) -> str:
        """Without what could be a password."""
        return f"AuthStarted({self.mechanism!r})"


class AuthResponse(Struct, frozen=True, gc=False):
    """The peer's answer to our challenge, decoded; the answer is a further challenge (334), or the end."""

    asks: ClassVar[bool] = True

    data: bytes

    def __repr__(self) -> str:
        """Without what could be a password."""
        return "AuthResponse(hidden)"


Question = Hello | ClientNamed | MailFrom | RcptTo | DataStarted | MessageEnded | StartTls | AuthStarted | AuthResponse
Event = Question | DataChunk | Refused | Aborted
