"""What an intake asks of whoever signs mail, and how such a one is made: types alone.

Apart from `signing`, which is loaded only where a configuration has keys.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct

from postroad.listener.signsettings import DkimSettings
from postroad.listener.transaction import Transaction
from postroad.mailauth.dkim_facts import ReadSecret
from postroad.model.envelope import Envelope
from postroad.model.errors import PostroadError
from postroad.model.record import Record
from postroad.queue.own import SignOwn
from postroad.spool.draft import Draft

Signed = Callable[[Envelope, Record | None], None]  # the envelope to be stored, and what is to be told of it
Unreadable = Callable[[PostroadError], None]  # content that cannot be read, or a key that is kept elsewhere
# Puts signatures on top of the envelope's prefix. It is given the beginning of the content, with its whole header
# section, and the content; it calls one of the two functions, now or later.
Sign = Callable[[Transaction, Envelope, bytes, bytes | Draft, Signed, Unreadable], None]


class Signatures(Struct, frozen=True):
    """What the keys of one configuration sign: what an intake accepts, and mail that we make ourselves."""

    accepted: Sign
    own: SignOwn


MakeSign = Callable[[DkimSettings, ReadSecret], Signatures]


class KeyAnswer(Struct):
    """A key by its name in DNS, "" for none of them; whether it signs a message, and why or why not."""

    key: str
    signs: bool
    why: str


# What each key does with the message, given the domains of its authors and the time.
ExplainKeys = Callable[[DkimSettings, ReadSecret, Envelope, Sequence[str], int], list[KeyAnswer]]
