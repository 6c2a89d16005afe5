"""Recipients before and after the door that may change them: what is asked there, and the three parts of the answer.

Asked once a message, when its content is complete and before its envelope is made. An expansion is the operator's
word: it may lead anywhere, and access was decided about the address the peer gave.
"""

from msgspec import Struct

from postroad.model.address import Mailbox
from postroad.model.envelope import Origin, Recipient
from postroad.model.reply import Reply


class Incoming(Struct, frozen=True):
    """A message on its way in: `recipients` as the peer gave them, `size` in octets of content."""

    sender: Mailbox
    recipients: list[Recipient]
    origin: Origin
    size: int


class Expansion(Struct, frozen=True):
    """One given recipient that became others: `to` are their addresses, at least one."""

    recipient: Recipient
    to: tuple[str, ...]


class Expanded(Struct, frozen=True):
    """The recipients to deliver to, each once, and how those came about that were not given."""

    recipients: list[Recipient]
    expansions: tuple[Expansion, ...] = ()


class Unexpanded(Struct, frozen=True):
    """The message cannot be taken: what the peer is told, and the exact reason."""

    reply: Reply
    reason: str
