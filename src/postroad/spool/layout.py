"""Names in the spool's folder, and the lock that one process holds on it.

lock              held with flock by the process that writes here
mark              eight random octets, part of every frame (frames.py)
journal/NAME/     seg-0000000001 ...: the truth
content/ID        content too large for a frame
drafts/           content being received; swept at start. Each edge process has a folder of its own here
damaged/          octets that could not be read, set aside
index.db          the index, a cache
reserve           room kept for outcomes on a full disk (room.py)
rebuild           there when the index was found damaged: the next start makes it anew
"""

import fcntl
import os
from pathlib import Path
from typing import Final

from msgspec import Struct

from postroad.model.errors import SpoolError
from postroad.spool.disk import Disk, write_all
from postroad.spool.frames import HEADER_LENGTH, MARK_LENGTH, find_mark

OWN: Final = "main"  # the journal of the process that has the index
END: Final = (1 << 36) - 1  # an offset behind every octet that a segment may have

_PREFIX: Final = "seg-"

Reach = tuple[int, int]  # segment and offset up to which a journal is durable; END: all of the segment, which is over


class Layout(Struct, frozen=True):
    """The paths of one spool."""

    folder: Path

    @property
    def journals(self) -> Path:
        """The folder of all journals."""
        return self.folder / "journal"

    @property
    def content(self) -> Path:
        """Where large content lies."""
        return self.folder / "content"

    @property
    def drafts(self) -> Path:
        """Where content is received."""
        return self.folder / "drafts"

    @property
    def damaged(self) -> Path:
        """Where damage is set aside."""
        return self.folder / "damaged"

    @property
    def index(self) -> Path:
        """The index."""
        return self.folder / "index.db"

    @property
    def rebuild(self) -> Path:
        """The note that the index must not be used."""
        return self.folder / "rebuild"

    @property
    def reserve(self) -> Path:
        """The file that keeps some room."""
        return self.folder / "reserve"

    @property
    def mark(self) -> Path:
        """The note of this spool's mark."""
        return self.folder / "mark"

    def journal(self, name: str) -> Path:
        """The folder of one journal."""
        return self.journals / name

    def segment(self, journal: str, number: int) -> Path:
        """One segment's file."""
        return self.journals / journal / f"{_PREFIX}{number:010d}"

    def file(self, queue_id: str) -> Path:
        """The file of a large content."""
        return self.content / queue_id

    def make(self, disk: Disk, journal: str) -> None:
        """Make every folder that is missing."""
        for folder in (self.folder, self.journals, self.journal(journal), self.content, self.drafts, self.damaged):
            disk.make_folder(folder)

    def journal_names(self) -> list[str]:
        """All journals there are."""
        return sorted(path.name for path in self.journals.iterdir() if path.is_dir()) if self.journals.is_dir() else []

    def segment_numbers(self, journal: str) -> list[int]:
        """The numbers of a journal's segments, oldest first."""
        folder = self.journal(journal)
        if not folder.is_dir():
            return []
        digits = (path.name.removeprefix(_PREFIX) for path in folder.iterdir() if path.name.startswith(_PREFIX))
        return sorted(int(text) for text in digits if text.isdigit())


def read_mark(layout: Layout, disk: Disk) -> bytes | None:
    """This spool's mark: from its note, else from the first segment that still has it; None for a new spool."""
    if layout.mark.exists():
        found = _first_octets(disk, layout.mark, MARK_LENGTH)
        if len(found) == MARK_LENGTH:
            return found
    for journal in layout.journal_names():
        for number in layout.segment_numbers(journal):
            mark = find_mark(_first_octets(disk, layout.segment(journal, number), HEADER_LENGTH))
            if mark is not None:
                return mark
    return None


def make_mark(layout: Layout, disk: Disk, mark: bytes) -> None:
    """Write the note of `mark`, durably."""
    fd = disk.open(layout.mark, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        write_all(disk, fd, [mark], 0)
        disk.fdatasync(fd)
    finally:
        disk.close(fd)
    disk.sync_folder(layout.folder)


def ensure_mark(layout: Layout, disk: Disk) -> bytes:
    """This spool's mark, made durable when it is new or its note is gone."""
    mark = read_mark(layout, disk)
    if mark is None or not layout.mark.exists():
        mark = mark or os.urandom(MARK_LENGTH)
        make_mark(layout, disk, mark)
    return mark


def _first_octets(disk: Disk, path: Path, length: int) -> bytes:
    fd = disk.open(path, os.O_RDONLY)
    try:
        return disk.pread(fd, length, 0)
    finally:
        disk.close(fd)


class Lock:
    """The exclusive lock on a spool; gone with its process, however that ends."""

    def __init__(self, folder: Path) -> None:
        """Take the lock or raise SpoolError, naming the process that has it."""
        path = folder / "lock"
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._fd, 20, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            raise SpoolError(f"the spool {folder} is in use by another process (pid {holder or 'unknown'})") from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others have the spool."""
        os.close(self._fd)
