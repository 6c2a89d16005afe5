"""Reading journals: every valid frame, and every stretch of octets that is none.

After damage the reader looks for the next valid header and goes on there, so damage costs the frames it
hits and nothing else. What stands in a segment behind its trusted length (told by the segment after it)
was never promised and is not read. Memory stays flat: a window of the file at a time.
"""

import os
from collections.abc import Iterator
from typing import Final
from zlib import crc32

import msgspec
from msgspec import Struct

from postroad.spool.disk import Disk
from postroad.spool.frames import HEADER_LENGTH, MAGIC, Header, Kind, SegmentHead, decode_segment, read_header
from postroad.spool.layout import Layout

_WINDOW: Final = 1 << 20


class Segment(Struct, frozen=True):
    """One segment file: octets there are, and how many of them count (None: all, up to the last whole frame)."""

    journal: str
    number: int
    size: int
    trusted: int | None = None

    @property
    def end(self) -> int:
        """Where reading ends."""
        return self.size if self.trusted is None else min(self.size, self.trusted)

    def up_to(self, offset: int) -> "Segment":
        """The part of it before `offset`, which is known to be whole: its writer goes on behind it."""
        return Segment(self.journal, self.number, max(self.size, offset), offset)


class Frame(Struct, gc=False):
    """A frame as found; `damage` says which part does not fit its CRC ("", "head" or "body")."""

    offset: int
    header: Header
    head: bytes
    body: bytes
    damage: str = ""


class Hole(Struct, frozen=True, gc=False):
    """Octets that are no frame. `torn`: the unfinished end of a write that was never promised."""

    offset: int
    length: int
    reason: str
    torn: bool = False


def list_segments(layout: Layout, disk: Disk, journal: str, mark: bytes) -> list[Segment]:
    """The journal's segments that count, oldest first, with what their successors say about them."""
    found: list[tuple[int, int, SegmentHead | None]] = []
    for number in layout.segment_numbers(journal):
        fd = disk.open(layout.segment(journal, number), os.O_RDONLY)
        try:
            size = disk.size(fd)
            found.append((number, size, _segment_head(disk.pread(fd, 512, 0), mark)))
        finally:
            disk.close(fd)
    trusted: dict[int, int] = {}
    void: set[int] = set()
    numbers = [number for number, _, _ in found]
    for number, _, head in found:
        if head is not None and head.previous >= 0:
            trusted[head.previous] = head.trusted
            # Segments in between were begun and given up before anything in them was promised.
            void.update(other for other in numbers if head.previous < other < number)
    return [Segment(journal, number, size, trusted.get(number)) for number, size, _ in found if number not in void]


def _segment_head(start: bytes, mark: bytes) -> SegmentHead | None:
    header = read_header(start, 0, mark)
    if header is None or header.kind != Kind.SEGMENT:
        return None
    try:
        return decode_segment(start[HEADER_LENGTH : HEADER_LENGTH + header.head_length])
    except msgspec.DecodeError:
        return None


class _Window:
    """A part of the file in memory, moved along as it is read."""

    def __init__(self, disk: Disk, fd: int, end: int) -> None:
        self._disk = disk
        self._fd = fd
        self._end = end
        self._start = 0
        self._octets = b""

    def get(self, offset: int, length: int) -> bytes:
        """The octets from `offset`, fewer than `length` only at the end."""
        skip = offset - self._start
        if skip < 0 or skip + length > len(self._octets):
            self._start = offset
            self._octets = self._read(offset, min(max(length, _WINDOW), self._end - offset))
            skip = 0
        return self._octets[skip : skip + length]

    def _read(self, offset: int, length: int) -> bytes:
        parts = []
        while length > 0:
            part = self._disk.pread(self._fd, length, offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def read_frames(layout: Layout, disk: Disk, segment: Segment, mark: bytes, start: int = 0) -> Iterator[Frame | Hole]:
    """Every frame of `segment` from `start` on, in order, and every hole between them."""
    fd = disk.open(layout.segment(segment.journal, segment.number), os.O_RDONLY)
    try:
        yield from _scan(_Window(disk, fd, segment.end), segment, mark, start)
    finally:
        disk.close(fd)
    if segment.trusted is not None and segment.size < segment.trusted:
        begin = max(segment.size, start)
        yield Hole(
            begin, segment.trusted - begin, f"the segment was cut from {segment.trusted} to {segment.size} octets"
        )


def _scan(window: _Window, segment: Segment, mark: bytes, start: int) -> Iterator[Frame | Hole]:
    end = segment.end
    offset = start
    while offset < end:
        header = read_header(window.get(offset, HEADER_LENGTH), 0, mark)
        if header is None:
            following = _next_header(window, offset + 1, end, mark)
            yield _hole(window, offset, following or end, segment)
            offset = following or end
            continue
        stop = offset + header.length
        if stop > end:
            following = _next_header(window, offset + HEADER_LENGTH, end, mark)
            torn = following is None and segment.trusted is None
            yield Hole(offset, (following or end) - offset, "the frame is incomplete", torn)
            offset = following or end
            continue
        frame = _frame(window.get(offset, header.length), offset, header)
        if frame.damage and _is_unfinished(window, offset, stop, segment, mark):
            yield Hole(offset, end - offset, "the end of a write that did not finish", torn=True)
            return
        if frame.damage and stop < end and read_header(window.get(stop, HEADER_LENGTH), 0, mark) is None:
            # Octets may be missing here: the next frame may begin within what should be this one.
            following = _next_header(window, offset + HEADER_LENGTH, end, mark)
            if following is not None and following < stop:
                yield Hole(offset, following - offset, f"the frame's {frame.damage} is damaged")
                offset = following
                continue
        yield frame
        offset = stop


def _frame(octets: bytes, offset: int, header: Header) -> Frame:
    cut = HEADER_LENGTH + header.head_length
    head, body = octets[HEADER_LENGTH:cut], octets[cut:]
    if crc32(head) != header.head_crc:
        return Frame(offset, header, head, body, "head")
    if body and crc32(body) != header.body_crc:
        return Frame(offset, header, head, body, "body")
    return Frame(offset, header, head, body)


def _is_unfinished(window: _Window, offset: int, stop: int, segment: Segment, mark: bytes) -> bool:
    """True when a frame that is not whole is the last thing in room written ahead (journal.py): nobody was promised it.

    Only a segment whose writer did not end it, by a crash, has such room: zeros up to its end, and no frame in them.
    """
    end = segment.end
    if segment.trusted is not None or stop >= end:
        return False
    if _next_header(window, offset + HEADER_LENGTH, end, mark) is not None:
        return False
    return not any(window.get(at, min(_WINDOW, end - at)).strip(b"\0") for at in range(stop, end, _WINDOW))


def _next_header(window: _Window, offset: int, end: int, mark: bytes) -> int | None:
    """Where the next valid header of this spool begins."""
    signature = MAGIC + mark
    while offset < end:
        octets = window.get(offset, min(_WINDOW, end - offset))
        at = octets.find(signature)
        if at < 0:
            offset += max(len(octets) - len(signature) + 1, 1)
            continue
        offset += at
        if read_header(window.get(offset, HEADER_LENGTH), 0, mark) is not None:
            return offset
        offset += 1
    return None


def _hole(window: _Window, offset: int, stop: int, segment: Segment) -> Hole:
    length = stop - offset
    if stop == segment.end and segment.trusted is None:
        begun = window.get(offset, min(length, _WINDOW)).rstrip(b"\0")
        if len(begun) < HEADER_LENGTH and begun.startswith(MAGIC[: len(begun)]):
            return Hole(offset, length, "the end of a write that did not finish", torn=True)
    return Hole(offset, length, "no valid frame header")


def read_frame(disk: Disk, fd: int, offset: int, length: int, mark: bytes) -> Frame | None:
    """The one frame at `offset`; None when there is none of that length."""
    octets = disk.pread(fd, length, offset)
    header = read_header(octets, 0, mark)
    if header is None or header.length != length or len(octets) != length:
        return None
    return _frame(octets, offset, header)
