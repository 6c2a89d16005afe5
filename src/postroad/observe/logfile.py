"""Records as lines in a file, which is rotated here or by whoever renames it.

Whole lines are appended with one write each time; a line that the disk has no room for is cut off again, so
that a file holds whole lines alone, and its record waits. Written means given to the operating system: kill -9
loses none of it, a power failure may. With `sync` it is on the disk too before the next is written; a file that
is rotated is always synced. A file that was renamed or removed is left within a second and made anew.
"""

import contextlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from msgspec import Struct

from postroad.model.records import Record
from postroad.net.clock import Clock
from postroad.observe.formats.lines import Encode
from postroad.observe.rotation import Archive, is_due

_ANY: Final = 1 << 62  # octets: no bound


class FileTerms(Struct, frozen=True):
    """How a file is kept: its greatest size (0: any), a new one each day, how many old ones, and whether packed."""

    size: int = 100 << 20
    daily: bool = False
    keep: int = 10
    compress: bool = True
    sync: bool = False


class FileOutlet:
    """An `Outlet` that appends lines to `path`."""

    def __init__(self, path: Path, encode: Encode, clock: Clock, terms: FileTerms) -> None:
        """Nothing is opened before the first `idle` or `write`."""
        self.fault = ""
        self.lost = 0
        self._path = path
        self._encode = encode
        self._clock = clock
        self._terms = terms
        self._archive = Archive(path, keep=terms.keep, compress=terms.compress)
        self._fd = -1
        self._day = 0  # of the oldest line in the file, in days since 1970 by local time
        self._overdue = ""  # why it was not rotated when it was due
        self._is_torn = False  # the file ends inside a line that could not be cut off

    def write(self, records: Sequence[Record]) -> int:
        """Append the lines of `records`; how many are in a file."""
        lines = [self._encode(record) for record in records]
        taken = 0
        while taken < len(lines):
            portion = _portion(lines, taken, self._room(lines[taken]))
            written = self._write(portion)
            taken += written
            if written < len(portion):
                break
        return taken

    def _room(self, line: bytes) -> int:
        """Octets until the file must be rotated, after doing so when not even `line` fits; 0: it cannot be opened."""
        try:
            self._make_ready(len(line))
            size = os.fstat(self._fd).st_size
        except OSError as error:
            self._blame(error)
            return 0
        return max(self._terms.size - size, 1) if self._terms.size and not self._overdue else _ANY

    def _write(self, lines: Sequence[bytes]) -> int:
        """Append `lines` to the file; how many of them are whole there."""
        data = b"".join(lines)
        if self._fd < 0:
            return 0
        try:
            start = os.fstat(self._fd).st_size
            if self._is_torn:
                os.write(self._fd, b"\n")
                start += 1
                self._is_torn = False
        except OSError as error:
            self._blame(error)
            return 0
        done = self._append(data)
        if done == len(data):
            self._sync()
            return len(lines)
        return self._cut(lines, start, done)

    def idle(self) -> None:
        """Open the file, or the one that took its place."""
        try:
            self._make_ready(0)
        except OSError as error:
            self._blame(error)
        else:
            self.fault = self._overdue
        self._archive.tidy()

    def close(self) -> None:
        """Close the file, and let what is being packed come to its end."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._archive.close()

    def _blame(self, error: OSError) -> None:
        self.fault = f"{self._path}: {error.strerror or error}"

    def _append(self, data: bytes) -> int:
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._fd, left) :]
            except OSError as error:
                self._blame(error)
                break
        return len(data) - len(left)

    def _sync(self) -> None:
        self.fault = self._overdue
        if self._terms.sync:
            try:
                os.fdatasync(self._fd)
            except OSError as error:
                self._blame(error)

    def _cut(self, lines: Sequence[bytes], start: int, done: int) -> int:
        """How many of `lines` are whole in the first `done` octets; what is left of the next is cut off."""
        whole = taken = 0
        for line in lines:
            if whole + len(line) > done:
                break
            whole += len(line)
            taken += 1
        if whole < done:
            self._is_torn = True
            with contextlib.suppress(OSError):
                if os.fstat(self._fd).st_size == start + done:  # nobody else appended meanwhile
                    os.ftruncate(self._fd, start + whole)
                    self._is_torn = False
        return taken

    def _make_ready(self, more: int) -> None:
        """Open the file when it is not open or no longer the one of its name; rotate it when that is due."""
        if self._fd >= 0 and not self._is_ours():
            os.close(self._fd)
            self._fd = -1
        if self._fd < 0:
            self._open()
        size = os.fstat(self._fd).st_size
        if is_due(size, more, self._day, self._today(), limit=self._terms.size, daily=self._terms.daily):
            try:
                os.fdatasync(self._fd)
                self._archive.put_away(self._clock.now())
            except OSError as error:  # a file that grows too large is better than records that are lost
                self._overdue = f"{self._path}: cannot be rotated: {error.strerror or error}"
                return
            os.close(self._fd)
            self._fd = -1
            self._open()
        self._overdue = ""

    def _is_ours(self) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self._fd))

    def _open(self) -> None:
        self._fd = os.open(self._path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o640)
        self._is_torn = False
        found = os.fstat(self._fd)
        self._day = _local_day(found.st_mtime_ns // 1000) if found.st_size else self._today()

    def _today(self) -> int:
        return _local_day(self._clock.now())


def _portion(lines: Sequence[bytes], start: int, room: int) -> Sequence[bytes]:
    """The lines from `start` on that fit into `room` octets, at least one."""
    end = start + 1
    room -= len(lines[start])
    while end < len(lines) and (room := room - len(lines[end])) >= 0:
        end += 1
    return lines[start:end]


def _local_day(at: int) -> int:
    return datetime.fromtimestamp(at / 1_000_000, UTC).astimezone().toordinal()
