"""Records of what policies did to messages that were taken. Everybody imports them from `records`.

What was refused is in `CommandRefused`. Each of these has the policy's own words as its reason.
"""

from postroad.model.envelope import Origin
from postroad.model.record import Record


class MessageAdjusted(Record, frozen=True, tag="MessageAdjusted"):
    """Policies changed what becomes of a message: its tags, why it is held, its route, TLS it needs, its addresses.

    `sender` is its reverse-path from now on where that has changed; `redirected` are those that stand for all others,
    `added` further ones.
    """

    id: str
    reason: str
    tags: tuple[str, ...] = ()
    held: str = ""
    route: str = ""
    tls: str = ""
    sender: str = ""
    redirected: tuple[str, ...] = ()
    added: tuple[str, ...] = ()


class MessageDiscarded(Record, frozen=True, tag="MessageDiscarded"):
    """A message got its 250 and was thrown away because a policy said so; `recipients` counts those it had left."""

    id: str
    origin: Origin
    sender: str
    recipients: int
    size: int
    message_id: str
    reason: str


class RecipientDiscarded(Record, frozen=True, tag="RecipientDiscarded"):
    """A recipient was taken and thrown away because a policy said so; the message goes on without it."""

    id: str
    recipient: str
    reason: str


class MessageSigned(Record, frozen=True, tag="MessageSigned"):
    """A message got DKIM signatures by `keys`, as DNS names them, for the domains in its From field."""

    id: str
    keys: tuple[str, ...]
    reason: str


class MessageUnsigned(Record, frozen=True, tag="MessageUnsigned"):
    """A message of somebody who may relay got no DKIM signature though there are keys; `reason` tells why."""

    id: str
    reason: str
