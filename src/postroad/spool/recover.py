"""Opening a spool, whatever state it was left in.

Sweeps drafts, opens the index (an unreadable one is set aside and made anew), replays the journals, and holds what
cannot be read, with the reason, where an operator sees it. Nothing here blocks the start but a lock held by
another process and a disk that refuses. Synchronous: runs on the index thread, or in a command.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import apsw
from msgspec import Struct

from postroad.model.errors import SpoolError
from postroad.model.records import SpoolDamaged
from postroad.spool.damage import Damage
from postroad.spool.disk import Disk
from postroad.spool.index import Index, connect, is_outdated, number, select
from postroad.spool.layout import Layout, Reach, ensure_mark
from postroad.spool.leases import SegmentUse, end_leases, set_aside, usage
from postroad.spool.ledger import DeadlineOf, LaneOf
from postroad.spool.ops import Position
from postroad.spool.replay import Replay
from postroad.spool.room import make_way
from postroad.spool.segments import list_segments

BROKEN: Final = (apsw.CorruptError, apsw.NotADBError, apsw.SQLError, apsw.MismatchError)


class Recovered(Struct, frozen=True):
    """What opening found: messages that wait, frames replayed, drafts swept, stretches of damage, seconds it took."""

    messages: int
    replayed: int
    drafts_swept: int
    damaged: int
    seconds: float = 0.0


class Opened(Struct):
    """A spool ready for use: `previous` and `following` tell the journal where to continue."""

    mark: bytes
    index: Index
    found: Recovered
    records: list[SpoolDamaged]
    used: list[SegmentUse]
    sizes: dict[tuple[str, int], int]
    ends: dict[str, Position]  # up to where each journal was read
    previous: int
    trusted: int
    following: int


class Recovery:
    """The steps of opening the spool at `layout`, whose lock the caller holds."""

    def __init__(self, layout: Layout, disk: Disk, journal: str, now: Callable[[], int]) -> None:
        """`journal` is the one that this process writes."""
        self._layout = layout
        self._disk = disk
        self._journal = journal
        self._damage = Damage(layout, disk, now())
        self._records: list[SpoolDamaged] = []
        self.lane_of: LaneOf | None = None
        self.deadline_of: DeadlineOf | None = None
        self.beside: Mapping[str, Reach] | None = None  # other processes write these journals meanwhile, up to here

    def run(self) -> Opened:
        """Do it all; SpoolError when the disk refuses."""
        try:
            return self._run()
        except (OSError, apsw.Error) as error:
            raise SpoolError(f"the spool {self._layout.folder} cannot be opened: {error}") from error

    def _run(self) -> Opened:
        layout, disk = self._layout, self._disk
        layout.make(disk, self._journal)
        make_way(layout, disk)
        mark = ensure_mark(layout, disk)
        drafts = self._sweep_drafts()
        if layout.rebuild.exists():
            self._records.append(self._damage.move_index("the index was found damaged and is rebuilt"))
            disk.unlink(layout.rebuild)
        try:
            return self._open(mark, drafts)
        except BROKEN as error:
            self._records = [self._damage.move_index(f"the index cannot be read and is rebuilt: {error}")]
        return self._open(mark, drafts)

    def _open(self, mark: bytes, drafts: int) -> Opened:
        """One attempt; the index is closed again when it fails."""
        layout = self._layout
        if is_outdated(layout.index):
            self._disk.unlink(layout.index)  # another version of this program wrote it
        if not layout.index.exists():
            for suffix in ("-wal", "-shm"):
                self._disk.unlink(layout.index.with_name(layout.index.name + suffix))
        index = Index(connect(layout.index))
        try:
            return self._fill(index, mark, drafts)
        except BaseException:
            index.db.close(True)
            raise

    def _fill(self, index: Index, mark: bytes, drafts: int) -> Opened:
        """Bring the index up to date and compare it with what is on the disk."""
        replay = self._replay(index, mark)
        end_leases(index)
        sizes = self._check_segments(index, mark)
        self._check_files(index, replay)
        messages = number(index.db, "SELECT count(*) FROM message")
        end = replay.ends.get(self._journal)
        return Opened(
            mark,
            index,
            Recovered(messages, replay.frames, drafts, len(self._records)),
            self._records,
            usage(index),
            sizes,
            ends=replay.ends,
            previous=-1 if end is None else end.segment,
            trusted=0 if end is None else end.offset,
            following=max(self._layout.segment_numbers(self._journal), default=0) + 1,
        )

    def _sweep_drafts(self) -> int:
        used = () if self.beside is None else self.beside
        return sum(
            sweep(self._disk, path) for path in (self._layout.drafts, *_folders(self._layout)) if path.name not in used
        )

    def _replay(self, index: Index, mark: bytes) -> Replay:
        replay = Replay(self._layout, self._disk, mark, index, self._damage)
        if self.lane_of is not None:
            replay.lane_of = self.lane_of
        replay.deadline_of = self.deadline_of
        replay.run(self._journal, self.beside or {})
        self._records += replay.records
        return replay

    def _check_segments(self, index: Index, mark: bytes) -> dict[tuple[str, int], int]:
        """Hold what lies in segments that are gone or too short; the sizes of those that are there."""
        names = self._layout.journal_names()
        segments = {
            (s.journal, s.number): s for name in names for s in list_segments(self._layout, self._disk, name, mark)
        }
        for use in usage(index):
            segment = segments.get((use.journal, use.number))
            end = -1 if segment is None else segment.end
            if use.end <= end:
                continue
            reason = "the journal's segment is missing" if segment is None else "the journal's segment was cut"
            query = "SELECT num, offset FROM message WHERE journal = ? AND segment = ? AND offset + length > ?"
            for num, offset in select(index.db, tuple[int, int], query, (use.journal, use.number, end)):
                set_aside(index, num, reason)
                self._records.append(self._damage.missing(use.journal, use.number, offset, reason))
        return {key: segment.size for key, segment in segments.items()}

    def _check_files(self, index: Index, replay: Replay) -> None:
        """Hold messages whose content file is gone; remove files that belong to no message."""
        layout = self._layout
        wanted = dict(select(index.db, tuple[str, int], "SELECT id, num FROM message WHERE file"))
        present = {path.name for path in layout.content.iterdir()}
        for queue_id in sorted(wanted.keys() - present):
            reason = "the content file is missing"
            set_aside(index, wanted[queue_id], reason)
            self._records.append(self._damage.file(queue_id, reason))
        orphans = present - wanted.keys()
        if self.beside is not None:
            orphans = set()  # they may belong to mail that another process is about to accept
        if orphans:  # asked again without the help of an index of the index, as the answer removes files
            orphans -= {row[0] for row in select(index.db, tuple[str], "SELECT id FROM message NOT INDEXED WHERE file")}
        for name in sorted(orphans):
            if replay.records and name not in replay.files_done:
                # It may belong to a frame that could not be read.
                self._records.append(self._damage.file(name, "content that no readable frame refers to"))
            self._disk.unlink(layout.file(name))


def sweep(disk: Disk, folder: Path) -> int:
    """Remove the drafts in `folder`, which nobody was promised anything about; how many there were."""
    swept = 0
    for path in folder.iterdir():
        if not path.is_dir():
            disk.unlink(path)
            swept += 1
    return swept


def _folders(layout: Layout) -> list[Path]:
    return [path for path in layout.drafts.iterdir() if path.is_dir()]
