"""What `postroad spool verify | rebuild | cat` do.

`verify` and `cat` only read, beside a running daemon too. `rebuild` makes the index anew from the journals and wants
the spool for itself; without a configuration it leaves lanes and deadlines to be worked out when mail is leased.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import apsw
from msgspec import Struct

from postroad.model.envelope import Envelope
from postroad.model.errors import SpoolError
from postroad.model.queueid import is_queue_id
from postroad.spool.clock import Clock
from postroad.spool.disk import Disk
from postroad.spool.draft import check_file
from postroad.spool.frames import Kind, decode_arrival
from postroad.spool.index import select
from postroad.spool.layout import Layout, Lock, read_mark
from postroad.spool.ledger import DeadlineOf, LaneOf
from postroad.spool.query import SpoolReader
from postroad.spool.reading import Reader, Unreadable
from postroad.spool.recover import Recovered, Recovery
from postroad.spool.segments import Hole, Segment, list_segments, read_frames

_PART: Final = 256 << 10


class Problem(Struct, frozen=True):
    """Something that is not as it should be, and where."""

    journal: str
    segment: int
    offset: int
    length: int
    reason: str

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.journal}/{self.segment} at {self.offset}, {self.length} octets: {self.reason}"


class Verified(Struct):
    """What verifying found. `torn` counts unfinished ends of writes that were never promised: no problem."""

    segments: int = 0
    frames: int = 0
    octets: int = 0
    messages: int = 0
    torn: int = 0
    problems: list[Problem] = []

    def lines(self) -> list[str]:
        """The report, one line each."""
        head = (
            f"{self.messages} messages wait; {self.segments} segments, {self.frames} frames, {self.octets} octets read"
        )
        torn = [f"{self.torn} unfinished writes at the end of segments, never promised"] if self.torn else []
        return [head, *torn, *(str(problem) for problem in self.problems), *([] if self.problems else ["no problems"])]


def verify(folder: Path, disk: Disk | None = None) -> Verified:
    """Read every frame and content file of the spool at `folder` and check them; SpoolError when there is none."""
    disk = disk or Disk()
    layout, mark = _spool(folder, disk)
    found = Verified(problems=[])
    live = {one.id for one in _index_rows(layout)}
    for journal in layout.journal_names():
        for segment in list_segments(layout, disk, journal, mark):
            found.segments += 1
            found.octets += segment.end
            _verify_segment(layout, disk, mark, segment, found=found, live=live)
    _verify_index(layout, disk, mark, found)
    found.messages = SpoolReader(folder, disk).counts().messages
    return found


def _verify_segment(
    layout: Layout, disk: Disk, mark: bytes, segment: Segment, *, found: Verified, live: set[str]
) -> None:
    for item in read_frames(layout, disk, segment, mark):
        if isinstance(item, Hole):
            if item.torn:
                found.torn += 1
            else:
                problem = Problem(segment.journal, segment.number, item.offset, item.length, item.reason)
                found.problems.append(problem)
            continue
        found.frames += 1
        reason = f"the frame's {item.damage} is damaged" if item.damage else ""
        if not reason and item.header.kind == Kind.ARRIVAL and item.header.id in live:
            ref = decode_arrival(item.head).file
            reason = "" if ref is None else check_file(disk, layout.file(item.header.id), ref)
        if reason:
            length = item.header.length
            found.problems.append(Problem(segment.journal, segment.number, item.offset, length, reason))


class _Row(Struct, array_like=True):
    id: str
    journal: str
    segment: int
    offset: int
    length: int


def _index_rows(layout: Layout) -> list[_Row]:
    try:
        db = apsw.Connection(str(layout.index), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return select(db, _Row, "SELECT id, journal, segment, offset, length FROM message")
        finally:
            db.close()
    except apsw.Error:
        return []


def _verify_index(layout: Layout, disk: Disk, mark: bytes, found: Verified) -> None:
    """Does the index fit the journals, and itself."""
    if not layout.index.exists():
        found.problems.append(Problem("index", 0, 0, 0, "there is none; the next start makes it"))
        return
    try:
        db = apsw.Connection(str(layout.index), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            answer = str(db.pragma("quick_check"))
        finally:
            db.close()
    except apsw.Error as error:
        answer = str(error)
    if answer != "ok":
        found.problems.append(Problem("index", 0, 0, 0, f"{answer}; `rebuild` makes it anew"))
        return
    segments = {
        (s.journal, s.number): s for name in layout.journal_names() for s in list_segments(layout, disk, name, mark)
    }
    for row in _index_rows(layout):
        segment = segments.get((row.journal, row.segment))
        if segment is None or row.offset + row.length > segment.end:
            reason = f"the frame of message {row.id} is not there"
            found.problems.append(Problem(row.journal, row.segment, row.offset, row.length, reason))


def rebuild(
    folder: Path,
    *,
    clock: Clock,
    lane_of: LaneOf | None = None,
    deadline_of: DeadlineOf | None = None,
    disk: Disk | None = None,
) -> Recovered:
    """Make the index of the spool at `folder` anew from its journals; SpoolError when a process uses the spool."""
    disk = disk or Disk()
    layout, _ = _spool(folder, disk)
    lock = Lock(folder)
    try:
        began = clock.monotonic()
        for suffix in ("", "-wal", "-shm"):
            disk.unlink(layout.index.with_name(layout.index.name + suffix))
        recovery = Recovery(layout, disk, "main", clock.now)
        recovery.lane_of, recovery.deadline_of = lane_of, deadline_of
        opened = recovery.run()
        opened.index.close()
        found = opened.found
        return Recovered(found.messages, found.replayed, found.drafts_swept, found.damaged, clock.monotonic() - began)
    finally:
        lock.release()


def cat(folder: Path, queue_id: str, disk: Disk | None = None) -> tuple[Envelope, Iterator[bytes]]:
    """The envelope of a message, and what would be sent: prefix and content. SpoolError when it cannot be had whole."""
    disk = disk or Disk()
    layout, mark = _spool(folder, disk)
    shown = SpoolReader(folder, disk).show(queue_id) if is_queue_id(queue_id) else None
    if shown is None:
        raise SpoolError(f"there is no message {queue_id} in the spool {folder}")
    frame = Reader(layout, disk, mark).frame(shown.listed.place)
    if isinstance(frame, Unreadable):
        raise SpoolError(f"message {queue_id} cannot be read: {frame.reason}")
    if frame.damage:
        raise SpoolError(f"message {queue_id} cannot be read: the frame's {frame.damage} is damaged")
    arrival = decode_arrival(frame.head)
    if arrival.file is not None:
        wrong = check_file(disk, layout.file(queue_id), arrival.file)
        if wrong:
            raise SpoolError(f"message {queue_id} cannot be read: {wrong}")
        return arrival.envelope, _file_parts(arrival.envelope, layout.file(queue_id))
    return arrival.envelope, iter((arrival.envelope.prefix.encode(), frame.body))


def _file_parts(envelope: Envelope, path: Path) -> Iterator[bytes]:
    yield envelope.prefix.encode()
    with path.open("rb") as file:
        while part := file.read(_PART):
            yield part


def _spool(folder: Path, disk: Disk) -> tuple[Layout, bytes]:
    layout = Layout(folder)
    mark = read_mark(layout, disk)
    if mark is None:
        raise SpoolError(f"there is no spool in {folder}")
    return layout, mark
