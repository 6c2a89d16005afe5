"""How an intake ended, told to whoever brought the message: a session, or the drop folder.

Apart from intake.py because a value stays what msgspec makes of it, and modules that are compiled can define none
(decision 19).
"""

from msgspec import Struct

from postroad.model.reply import Reply


class Receipt(Struct, frozen=True, gc=False):
    """The reply for the peer and, when refused, the exact reason."""

    reply: Reply
    detail: str = ""
