"""What a peer did, as values: the server session asks with these and is answered with a reply.

`Hello`, `MailFrom`, `RcptTo`, `DataStarted` and `MessageEnded` wait for an answer, and no further event
comes before it (RFC 5321 4.1.4 fixes the order of commands). The others only tell.
"""

from msgspec import Struct

from postroad.model.address import Mailbox
from postroad.model.reply import Reply


class Hello(Struct, frozen=True, gc=False):
    """EHLO (`extended`) or HELO; `name` is what the peer calls itself."""

    name: str
    extended: bool


class MailFrom(Struct, frozen=True, gc=False):
    """A transaction begins: `size` as declared or 0, the rest as in the envelope."""

    path: Mailbox
    size: int = 0
    body: str = "7BIT"
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""


class RcptTo(Struct, frozen=True, gc=False):
    """One more recipient, with its DSN parameters (RFC 3461 4.1, 4.2)."""

    path: Mailbox
    notify: int = 0
    orcpt: str = ""


class DataStarted(Struct, frozen=True, gc=False):
    """DATA or the first BDAT: a negative answer refuses the content, 354 takes it."""


class DataChunk(Struct, frozen=True, gc=False):
    """A piece of content, dots unstuffed. Needs no answer."""

    data: bytes


class MessageEnded(Struct, frozen=True, gc=False):
    """All of the content came: `size` in octets; with a `defect` it must be refused with that reply."""

    size: int
    eight_bit: bool
    defect: Reply | None = None
    detail: str = ""


class Refused(Struct, frozen=True, gc=False):
    """Notice: the session itself refused a command; `detail` is the exact reason. Needs no answer."""

    stage: str
    reply: Reply
    detail: str


class Aborted(Struct, frozen=True, gc=False):
    """Notice: RSET, EHLO or QUIT ended a transaction whose content had begun. Needs no answer."""


Question = Hello | MailFrom | RcptTo | DataStarted | MessageEnded
Event = Question | DataChunk | Refused | Aborted
