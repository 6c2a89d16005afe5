"""What goes through an intake and what comes out, as values: the arrival of a message, and the receipt for it.

Apart from intake.py because a value stays what msgspec makes of it, and modules that are compiled can define none
(decision 19).
"""

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from postroad.listener.transaction import Transaction
from postroad.model.envelope import Envelope, Recipient
from postroad.model.reply import Reply
from postroad.smtp.events import MessageEnded
from postroad.spool.draft import Draft


class Receipt(Struct, frozen=True, gc=False):
    """The reply for the peer and, when refused, the exact reason; `leave` ends the session with it."""

    reply: Reply
    detail: str = ""
    leave: bool = False


class Discarding(Protocol):
    """Content that comes to nothing."""

    def discard(self) -> None:
        """Forget it."""


class Arrival(Struct):
    """A whole message of which more is asked than its header before it is put.

    `head` is the beginning of its content; `became` are its recipients once aliases were looked up, `told` is called
    with the envelope when it is durable.
    """

    transaction: Transaction
    ended: MessageEnded
    gathering: Discarding
    content: bytes | Draft
    head: bytes
    message_id: str
    done: Callable[[Receipt], None]
    queue_id: str
    became: list[Recipient] | None = None
    told: Callable[[Envelope], None] | None = None

    def refuse(self, receipt: Receipt) -> None:
        """It is not taken."""
        self.gathering.discard()
        self.done(receipt)
