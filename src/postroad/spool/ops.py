"""Changes on their way into the index, as plain rows: made on the event loop, applied by the index thread.

Every value is absolute, so applying a set of changes again after a failure is harmless.
"""

from typing import NamedTuple

from msgspec import Struct

from postroad.model.envelope import Envelope
from postroad.model.work import Place


class MessageRow(NamedTuple):
    """A message as the index has it; `num` is the index's own number for it, `file` tells of content in a file."""

    num: int
    id: str
    journal: str
    segment: int
    offset: int
    length: int
    sender: str
    size: int
    arrived: int
    recipients: int
    file: bool


def message_row(num: int, envelope: Envelope, place: Place, *, has_file: bool) -> MessageRow:
    """The row of the message `num`, whose frame lies at `place`."""
    return MessageRow(
        num,
        envelope.id,
        place.journal,
        place.segment,
        place.offset,
        place.length,
        envelope.sender.text,
        envelope.size,
        envelope.arrived,
        len(envelope.recipients),
        has_file,
    )


class RecipientRow(NamedTuple):
    """A recipient as the index has it; `leased`: its work is in memory. A `deadline` of None is found when leased."""

    num: int
    idx: int
    address: str
    lane: str
    due: int
    deadline: int | None
    status: int
    attempts: int
    warned: bool
    reply: str
    leased: bool
    moved: bool = False


class Update(NamedTuple):
    """New state of a recipient; `leased` and `lane` stay as they are when None. `moved`: `lane` was decided about."""

    num: int
    idx: int
    status: int
    due: int
    deadline: int | None
    attempts: int
    warned: bool
    reply: str
    leased: bool | None
    lane: str | None
    moved: bool = False


class Position(NamedTuple):
    """All frames of `journal` before this place are in the index."""

    journal: str
    segment: int
    offset: int


class Ops(Struct):
    """One set of changes, applied in one transaction, in the order of the fields; `trails` come with other changes."""

    messages: list[MessageRow]
    recipients: list[RecipientRow]
    updates: dict[tuple[int, int], Update]
    moved: dict[int, Place]
    removed: list[int]
    trails: dict[tuple[int, int], str]
    position: Position | None = None
    others: tuple[Position, ...] = ()  # of journals that other processes write

    def update(self, change: Update) -> None:
        """Take `change`; a lease that was given back by an earlier one stays given back."""
        key = (change.num, change.idx)
        earlier = self.updates.get(key)
        if earlier is not None:
            leased = earlier.leased if change.leased is None else change.leased
            lane = earlier.lane if change.lane is None else change.lane
            change = change._replace(leased=leased, lane=lane)
        self.updates[key] = change

    @property
    def is_empty(self) -> bool:
        """True when applying would change no row."""
        return not (self.messages or self.updates or self.moved or self.removed)


def new_ops() -> Ops:
    """An empty set."""
    return Ops([], [], {}, {}, [], {})
