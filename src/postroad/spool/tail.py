"""Reading a journal that another process writes: everything up to where that process says it is durable.

What stands in front of that is whole, so whatever cannot be read there is damage. A segment that its writer has left
behind (`END`) is read to its end, where a write that a kill cut off counts for nothing. In portions, so that a long
tail never holds the event loop up.
"""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from postroad.spool.disk import Disk
from postroad.spool.layout import END, Layout, Reach
from postroad.spool.segments import Frame, Hole, Segment, list_segments, read_frames

PORTION: Final = 1 << 20  # octets read at once


class Piece(Struct):
    """Something found, and where."""

    segment: int
    item: Frame | Hole


class Tail:
    """One such journal, and how far it has been read."""

    def __init__(self, layout: Layout, disk: Disk, mark: bytes, journal: str, position: Reach) -> None:
        """Everything before `position` is known already."""
        self._layout = layout
        self._disk = disk
        self._mark = mark
        self.journal = journal
        self.position = position

    def read(self, reach: Reach) -> Iterator[Piece]:
        """A portion of what is new before `reach`; `position` moves behind a piece when the next is asked for.

        OSError: try again later.
        """
        octets = 0
        while self.position < reach and octets < PORTION:
            segment = self._segment(reach)
            if segment is None:
                if reach[1] != END:
                    raise FileNotFoundError(f"segment {reach[0]} of the journal {self.journal} is not there")
                self.position = reach
                break
            number, offset = segment.number, self.position[1] if segment.number == self.position[0] else 0
            for item in read_frames(self._layout, self._disk, segment, self._mark, offset):
                length = item.length if isinstance(item, Hole) else item.header.length
                yield Piece(number, item)
                octets += length
                self.position = (number, item.offset + length)
                if octets >= PORTION:
                    break
            else:
                self.position = reach if number == reach[0] else (number + 1, 0)

    def _segment(self, reach: Reach) -> Segment | None:
        """The one to read next."""
        number, offset = reach
        if self.position[0] == number and offset != END:
            return Segment(self.journal, number, offset, offset)
        for segment in list_segments(self._layout, self._disk, self.journal, self._mark):
            if self.position[0] <= segment.number <= number:
                return segment.up_to(offset) if segment.number == number and offset != END else segment
        return None
