"""A policy's answer: accept, reject, defer or discard; None means no opinion.

An `Adjust` is no answer but something to be done to the message if it is taken: the policies after it are asked all
the same, and the adjustments of a transaction add up. The reply is what the peer reads, catalogued in smtp/replies.py;
`reason` is the exact one, for the record and for `postroad explain`.
"""

from typing import Final

from msgspec import Struct

from postroad.model.address import Mailbox
from postroad.model.reply import Reply


class Adjust(Struct, frozen=True):
    """What is to be done to a message: the empty value of each field changes nothing.

    `tags` are added; `hold` is why its recipients are held instead of sent; `route` names the route they take; `tls` is
    what every hop must at least do ("required"). `headers` are fields, each whole, that go on top of the message, and
    `cuts` octets of its content, from and up to, that are not sent on. `sender` takes the place of the reverse-path,
    but for a null one: what is a report stays one (RFC 5321 4.5.5). At stage rcpt `redirect` stands for that recipient
    alone, at stage message for all of them; `add` are further recipients.
    """

    reason: str
    tags: tuple[str, ...] = ()
    hold: str = ""
    route: str = ""
    tls: str = ""
    headers: tuple[str, ...] = ()
    cuts: tuple[tuple[int, int], ...] = ()
    sender: Mailbox | None = None
    redirect: tuple[Mailbox, ...] = ()
    add: tuple[Mailbox, ...] = ()

    @property
    def is_stamp(self) -> bool:
        """True when it is about header fields alone."""
        rest = (self.tags, self.hold, self.route, self.tls, self.sender, self.redirect, self.add)
        return bool(self.headers or self.cuts) and not any(rest)


class Accept(Struct, frozen=True, gc=False):
    """Take it; no later policy of the stage is asked."""

    reason: str
    adjust: Adjust | None = None


class Reject(Struct, frozen=True, gc=False):
    """Refuse for good, with a 5xx reply; `leave` ends the session with it."""

    reply: Reply
    reason: str
    leave: bool = False


class Defer(Struct, frozen=True, gc=False):
    """Refuse for now, with a 4xx reply; `leave` ends the session with it."""

    reply: Reply
    reason: str
    leave: bool = False


class Discard(Struct, frozen=True, gc=False):
    """Say yes and throw it away: the message, or at stage rcpt that recipient. A record tells of it."""

    reason: str


Verdict = Accept | Reject | Defer | Discard
VERDICTS: Final = (Accept, Reject, Defer, Discard)  # for isinstance, quicker than the union
Answer = Verdict | Adjust
