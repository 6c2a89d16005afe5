"""Mail that other processes have accepted comes in: their journals are read and each message is held like one of ours.

They say how far each journal is durable, and ring; how often does not matter, only how far counts. What happens to
such a message is written into our own journal. Their old segments are ours to remove, and while one is left that may
hold the arrival of a message, the segments of ours that may hold its end stay too: what is finished must not come back
when the index is made anew. Everything here is called on the event loop.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from postroad.model.content import Content
from postroad.model.records import Emit, SpoolFaulted
from postroad.model.work import Place, Stored, Work
from postroad.spool.catalog import Catalog
from postroad.spool.clock import Clock
from postroad.spool.damage import Damage
from postroad.spool.draft import StoredFile
from postroad.spool.frames import Arrival, Kind, decode_arrival
from postroad.spool.layout import END, Layout, Reach
from postroad.spool.ledger import Ledger
from postroad.spool.ops import Position
from postroad.spool.reading import Reader
from postroad.spool.segments import Frame, Hole
from postroad.spool.tail import Tail
from postroad.spool.worker import Worker

MANY: Final = 4  # segments of our own journal that may be kept for the sake of others
Admit = Callable[[Stored, list[Work]], None]


class Others(Protocol):
    """The processes that write other journals of this spool."""

    def reaches(self) -> Mapping[str, Reach]:
        """Up to where each journal that a process may write to is durable."""

    def ask_to_end(self, journal: str, segment: int) -> None:
        """Let its writer go on in another segment."""


class Nobody:
    """There are no other processes. An `Others`."""

    def reaches(self) -> Mapping[str, Reach]:
        """None."""
        return {}

    def ask_to_end(self, journal: str, segment: int) -> None:
        """There is nobody to be asked."""


class _Followed(Struct):
    """A journal: its tail, and its segments by the segment of ours that was open when the first message came."""

    tail: Tail
    born: dict[int, int]


class Followers:
    """All journals of others, one `Tail` each."""

    def __init__(  # noqa: PLR0913  parts of one spool, passed by name
        self,
        reader: Reader,
        mark: bytes,
        catalog: Catalog,
        ledger: Ledger,
        *,
        reading: Worker,
        clock: Clock,
        emit: Emit,
        end: Callable[[], Reach],
        others: Others,
    ) -> None:
        """`end` is behind the newest durable frame of our own journal."""
        self._reader = reader
        self._mark = mark
        self._catalog = catalog
        self._ledger = ledger
        self._reading = reading
        self._clock = clock
        self._emit = emit
        self._end = end
        self._others = others
        self._followed: dict[str, _Followed] = {}
        self._admit: Admit | None = None
        self._is_scheduled = False
        self._fault = ""
        self.added: Callable[[str], None] = _nothing  # hears of a journal that was not known

    @property
    def layout(self) -> Layout:
        """Where the journals are."""
        return self._reader.layout

    def know(self, journal: str, position: Reach) -> None:
        """There is a journal, taken in up to `position`; its segments may hold mail that is older than ours."""
        layout, disk = self.layout, self._reader.disk
        tail = Tail(layout, disk, self._mark, journal, position)
        numbers = layout.segment_numbers(journal)
        born = {one: 0 for one in numbers if one <= position[0] and layout.segment(journal, one).stat().st_size}
        self._followed[journal] = _Followed(tail, born)
        self.added(journal)

    def names(self) -> tuple[str, ...]:
        """The journals that are known."""
        return tuple(self._followed)

    def start(self, admit: Admit) -> None:
        """Take in what is new from now on: `admit` gets each message, with its works."""
        self._admit = admit
        self.look()

    def stop(self) -> None:
        """Take in nothing more."""
        self._admit = None

    def look(self) -> None:
        """Somebody rang: take in what is new."""
        if self._is_scheduled:
            return
        self._is_scheduled = True
        asyncio.get_running_loop().call_soon(self._take_in)

    def _take_in(self) -> None:
        self._is_scheduled = False
        if self._admit is None or self._catalog.is_held:
            return
        for journal, reach in self._others.reaches().items():
            if journal not in self._followed:
                self.know(journal, (0, 0))
            followed = self._followed[journal]
            if followed.tail.position < reach:
                can_go_on = self._read(followed, reach, self._admit)
                if can_go_on and followed.tail.position < reach:
                    self.look()

    def _read(self, followed: _Followed, reach: Reach, admit: Admit) -> bool:
        """Take in a portion; False when that was not possible."""
        try:
            for piece in followed.tail.read(reach):
                if isinstance(piece.item, Hole):
                    self._hole(followed.tail.journal, piece.segment, piece.item)
                elif piece.item.header.kind == Kind.ARRIVAL:
                    self._arrival(followed, piece.segment, piece.item, admit)
        except OSError as error:  # asked again when somebody rings, and once in an index interval
            self._tell(error)
            return False
        self._fault = ""
        return True

    def _tell(self, error: OSError) -> None:
        reason = f"mail that another process has accepted cannot be read yet: {error}"
        if reason != self._fault:
            self._fault = reason
            self._emit(SpoolFaulted(at=self._clock.now(), reason=reason))

    def _arrival(self, followed: _Followed, segment: int, frame: Frame, admit: Admit) -> None:
        journal = followed.tail.journal
        arrival = _arrival_of(frame)
        if arrival is None:
            self._set_aside(journal, segment, frame.offset, frame.header.length, "the frame's head is damaged")
            return
        envelope, file = arrival.envelope, arrival.file
        content: Content | None = frame.body
        if file is not None:
            path = self.layout.file(envelope.id)
            content = StoredFile(self._reader.disk, self._reading, path, file.size)
        elif frame.damage:
            content = None  # who delivers it reads it again, and finds out
        place = Place(journal, segment, frame.offset, frame.header.length)
        followed.born.setdefault(segment, self._end()[0])
        stored = Stored(envelope, place, content, len(envelope.recipients))
        works = self._ledger.arrive(stored, self._ledger.plan(envelope), file)
        self._catalog.taken_in += place.length
        self._catalog.watch()
        admit(stored, works)

    def _hole(self, journal: str, segment: int, hole: Hole) -> None:
        if not hole.torn:
            self._set_aside(journal, segment, hole.offset, hole.length, hole.reason)

    def _set_aside(self, journal: str, segment: int, offset: int, length: int, reason: str) -> None:
        damage = Damage(self.layout, self._reader.disk, self._clock.now())
        self._emit(damage.octets(journal, segment, offset, length, reason))

    # -- what the index and the housekeeping want to know ----------------------------------------

    def positions(self) -> tuple[Position, ...]:
        """Up to where each journal has been taken in."""
        return tuple(Position(name, *followed.tail.position) for name, followed in self._followed.items())

    def limit(self, journal: str) -> int:
        """The first segment that must stay, whatever lives in it: its writer, or we, are not done with it."""
        reach = self._others.reaches().get(journal)
        number, offset = self._followed[journal].tail.position
        if reach is None:
            return number + 1
        return number + 1 if reach <= (number, offset) and reach[1] == END else number

    def barrier(self) -> int:
        """The first segment of our own that must stay, for the sake of segments of others."""
        return min((min(one.born.values()) for one in self._followed.values() if one.born), default=END)

    def dropped(self, journal: str, number: int) -> None:
        """A segment is gone."""
        self._followed[journal].born.pop(number, None)

    def is_in_the_way(self, journal: str, number: int, oldest: int) -> bool:
        """True when many segments of ours, from `oldest` on, stay because of this one; its writer is told."""
        if self._end()[0] - oldest <= MANY or self._followed[journal].born.get(number, END) > oldest:
            return False
        if number >= self.limit(journal):
            self._others.ask_to_end(journal, number)
            return False
        return True


def _arrival_of(frame: Frame) -> Arrival | None:
    if frame.damage == "head":
        return None
    try:
        return decode_arrival(frame.head)
    except msgspec.MsgspecError:
        return None


def _nothing(_: str) -> None:
    """Until somebody wants to know."""
