"""Accepted mail while it lives in memory: what the spool hands to the queue and takes back.

A `Stored` is one accepted message, shared by its recipients; a `Work` is one recipient's delivery
and the only mutable noun, changed by the queue and the spool alone, on the event loop. A `Change`
is what the queue decided about one work and the spool is to make durable.
"""

from enum import IntEnum

from msgspec import Struct

from postroad.model.content import Content
from postroad.model.envelope import Envelope, Recipient


class Status(IntEnum):
    """State of one recipient; DELIVERED, FAILED and DROPPED are final."""

    PENDING = 0
    HELD = 1
    DELIVERED = 2
    FAILED = 3
    DROPPED = 4

    @property
    def is_final(self) -> bool:
        """True when the recipient needs nothing more."""
        return self >= Status.DELIVERED


class Place(Struct, frozen=True, gc=False):
    """Where a frame lies: the journal's name, the segment's number, the octet it begins at, its length."""

    journal: str
    segment: int
    offset: int
    length: int


class Stored(Struct, gc=False):
    """One accepted message. `content` is None when only the spool has it (`Spool.body`)."""

    envelope: Envelope
    place: Place
    content: Content | None = None
    open: int = 0  # recipients not yet final

    @property
    def id(self) -> str:
        """The queue id."""
        return self.envelope.id


class Work(Struct, gc=False):
    """One recipient's delivery: `index` in the envelope, `due` and `deadline` in microseconds since 1970.

    `attempts` counts tries that reached a decision, `warned` that a delay DSN went out, `reply` is the
    last reason in words, `trail` the last attempts (model/trail.py). `stamp` is the monotonic instant it became ready,
    for the log's delays. `moved`: its lane was decided about and stands, whatever the routes say.
    """

    stored: Stored
    index: int
    lane: str
    due: int = 0
    deadline: int = 0
    attempts: int = 0
    warned: bool = False
    reply: str = ""
    status: Status = Status.PENDING
    stamp: float = 0.0
    trail: str = ""
    moved: bool = False

    @property
    def recipient(self) -> Recipient:
        """The recipient in the envelope."""
        return self.stored.envelope.recipients[self.index]


class Change(Struct, gc=False):
    """A decision about one work, to be made durable: its new status and, unless final, when it is due again.

    `lane` moves it to another lane for good, whatever the routes say; "" leaves it where it is. `trail` is its trail
    with one more attempt; "" leaves it as it is.
    """

    work: Work
    status: Status
    due: int = 0
    deadline: int = 0
    attempts: int = 0
    warned: bool = False
    reply: str = ""
    lane: str = ""
    trail: str = ""
