"""The writer's end of one journal: append frames, one pwritev and one fdatasync a batch.

Invariant: everything before the good offset is durable; nothing after it was ever promised. A write that
fails is cut off again. After a failed fdatasync the kernel may have dropped our pages and report success
the next time, so that segment is never written again: the next one tells how much of it counts
(segments.py). Room is written ahead, as zeros: a sync that need not note the file's new size costs half the CPU and
half the time (measured). Used by one thread at a time.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from postroad.spool.disk import Buffer, Disk, is_full, write_all
from postroad.spool.frames import SegmentHead, pack_segment
from postroad.spool.layout import Layout

NOTHING: Final = -1
AHEAD: Final = 256 << 10  # octets of room written ahead, once for some dozens of batches
_ZEROS: Final = memoryview(bytes(AHEAD))


class Journal:
    """Appends to segment after segment of one journal."""

    def __init__(self, layout: Layout, disk: Disk, mark: bytes, *, name: str, segment_size: int) -> None:
        """Begin with no segment open; `resume` tells what is there."""
        self._layout = layout
        self._disk = disk
        self._mark = mark
        self._segment_size = segment_size
        self._fd = NOTHING
        self._previous = NOTHING  # the last segment that counts, closed
        self._trusted = 0
        self._next = 1
        self.name = name
        self.number = NOTHING  # the open segment
        self.offset = 0  # the good offset: where the next batch begins
        self._room = 0  # where the zeros that were written ahead end

    def resume(self, previous: int, trusted: int, following: int) -> None:
        """Continue after segment `previous`, of which `trusted` octets count, with number `following`."""
        self._previous = previous
        self._trusted = trusted
        self._next = following

    @property
    def is_open(self) -> bool:
        """True when there is a segment that the next batch may go to."""
        return self._fd != NOTHING

    def append(self, buffers: Sequence[Buffer], length: int) -> tuple[int, int]:
        """Make the frames in `buffers`, `length` octets in all, durable; (segment, offset of the first).

        OSError: they are not, and nothing of them counts.
        """
        if self._fd != NOTHING and self.offset + length > self._segment_size:
            self.close()
        if self._fd == NOTHING:
            return self._begin(buffers, length)
        offset = self.offset
        try:
            if offset + length <= self._room or not self._append_ahead(buffers, length):
                write_all(self._disk, self._fd, buffers, offset)
        except OSError:
            self._cut()
            raise
        try:
            self._disk.fdatasync(self._fd)
        except OSError:
            self._cut()
            self.close()
            raise
        self.offset = offset + length
        return self.number, offset

    def _append_ahead(self, buffers: Sequence[Buffer], length: int) -> bool:
        """Write `buffers` and room behind them; False when the disk has no such room: they may fit alone."""
        end = self.offset + length
        room = min(end + AHEAD, self._segment_size)
        if room <= end:
            return False
        try:
            write_all(self._disk, self._fd, [*buffers, _ZEROS[: room - end]], self.offset)
        except OSError as error:
            if not is_full(error):
                raise
            return False
        self._room = room
        return True

    def close(self) -> None:
        """End the open segment, without what was written ahead; the next append begins another."""
        if self._fd == NOTHING:
            return
        fd, self._fd = self._fd, NOTHING
        if self._room > self.offset:
            with suppress(OSError):  # zeros at its end do no harm
                self._disk.truncate(fd, self.offset)
        self._room = 0
        self._previous, self._trusted = self.number, self.offset
        self.number = NOTHING
        self._disk.close(fd)

    def _begin(self, buffers: Sequence[Buffer], length: int) -> tuple[int, int]:
        """A new segment, with its first batch in the same write."""
        number = self._next
        self._next = number + 1
        head = pack_segment(self._mark, SegmentHead(number, self._previous, self._trusted))
        path = self._layout.segment(self.name, number)
        fd = self._disk.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            write_all(self._disk, fd, [head, *buffers], 0)
            self._disk.fdatasync(fd)
            self._disk.sync_folder(path.parent)
        except OSError:
            self._give_up(fd, number)
            raise
        self._fd, self.number = fd, number
        self.offset = len(head) + length
        return number, len(head)

    def _give_up(self, fd: int, number: int) -> None:
        """A segment that could not be begun: remove it, or leave it empty; it counts for nothing either way."""
        disk = self._disk
        with suppress(OSError):
            disk.truncate(fd, 0)
        with suppress(OSError):
            disk.close(fd)
        with suppress(OSError):
            disk.unlink(self._layout.segment(self.name, number))

    def _cut(self) -> None:
        """Take what was written after the good offset away again; a segment that cannot be cut is ended."""
        self._room = 0
        try:
            self._disk.truncate(self._fd, self.offset)
        except OSError:
            self.close()
