"""What could not be read: set aside in damaged/, told in a record, never dropped.

Copies are for people and for `postroad spool verify`; nothing reads them back. A copy that cannot be written (a
full disk) is told too: then the octets are only where they were. Runs on threads: whoever calls it emits the records.
"""

import os
from pathlib import Path
from typing import Final

from postroad.model.records import SpoolDamaged
from postroad.spool.disk import Disk, write_all
from postroad.spool.layout import Layout

_PART: Final = 1 << 20
INDEX: Final = "index"  # the journal's name in a record about the index


class Damage:
    """Sets aside; `now` is the time that its records get."""

    def __init__(self, layout: Layout, disk: Disk, now: int, *, copies: bool = True) -> None:
        """For the spool at `layout`; without `copies` damage is told and nothing is written."""
        self._copies = copies
        self._layout = layout
        self._disk = disk
        self._now = now

    def octets(self, journal: str, segment: int, offset: int, length: int, reason: str) -> SpoolDamaged:
        """Copy a stretch of a segment."""
        target = self._layout.damaged / f"{journal}-{segment}-{offset}"
        try:
            self._copy(self._layout.segment(journal, segment), target, offset, length)
        except OSError:
            target = Path()
        return self._record(journal, segment, offset, length, reason, target)

    def file(self, queue_id: str, reason: str) -> SpoolDamaged:
        """Copy a content file, if it is there."""
        source, target = self._layout.file(queue_id), self._layout.damaged / f"content-{queue_id}"
        size = 0
        try:
            size = source.stat().st_size
            self._copy(source, target, 0, size)
        except OSError:
            target = Path()
        return self._record(f"content/{queue_id}", 0, 0, size, reason, target)

    def missing(self, journal: str, segment: int, offset: int, reason: str) -> SpoolDamaged:
        """Tell of octets that are not there."""
        return self._record(journal, segment, offset, 0, reason, Path())

    def move_index(self, reason: str) -> SpoolDamaged:
        """Move the index and what belongs to it away."""
        index = self._layout.index
        target = self._layout.damaged / f"index-{self._now}.db"
        size = index.stat().st_size if index.exists() else 0
        for suffix in ("", "-wal", "-shm"):
            source = index.with_name(index.name + suffix)
            if source.exists():
                self._disk.rename(source, target.with_name(target.name + suffix))
        return self._record(INDEX, 0, 0, size, reason, target)

    def _copy(self, source: Path, target: Path, offset: int, length: int) -> None:
        disk = self._disk
        if not self._copies:
            raise OSError
        reader = disk.open(source, os.O_RDONLY)
        try:
            writer = disk.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            try:
                done = 0
                while done < length and (part := disk.pread(reader, min(_PART, length - done), offset + done)):
                    done += write_all(disk, writer, [part], done)
                disk.fdatasync(writer)
            finally:
                disk.close(writer)
        finally:
            disk.close(reader)

    def _record(self, journal: str, segment: int, offset: int, length: int, reason: str, aside: Path) -> SpoolDamaged:
        return SpoolDamaged(
            at=self._now,
            journal=journal,
            segment=segment,
            offset=offset,
            length=length,
            reason=reason,
            aside="" if aside == Path() else str(aside),
        )
