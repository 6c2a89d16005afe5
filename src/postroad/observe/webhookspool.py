"""Batches of records that wait for a webhook: a folder with a file each, the request's body as it will be sent.

A batch is on the disk once `put` returned: written, synced, renamed, the folder synced. It goes when the receiver has
taken it, or when it is too old. Its id is its file's name, made once, so that it is the same in every attempt and
after every restart; ids sort by age. Several processes may put batches into one folder; the one that has its lock
sends them all, and when it ends, another takes over.
"""

import contextlib
import fcntl
import os
from bisect import bisect_left, insort
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Final

from msgspec import Struct

STALE: Final = 60_000_000  # microseconds after which a file that is still being written belongs to nobody


class Batch(Struct, frozen=True, order=True):
    """A batch on the disk: `at` is when it was made, in microseconds since 1970."""

    id: str
    at: int
    records: int
    size: int

    @property
    def file_name(self) -> str:
        """Where it is kept."""
        return f"{self.id}.{self.records}.json"


class WebhookSpool:
    """The folder. `put` is one thread's; once it is claimed, `rescan`, `read` and `remove` are the sender's."""

    def __init__(self, folder: Path, *, limit: int) -> None:
        """At most `limit` octets wait. `open` comes before all else."""
        self._folder = folder
        self._limit = limit
        self._lock = Lock()
        self._batches: list[Batch] = []  # oldest first
        self._size = 0
        self._last = 0
        self._claim = -1

    @property
    def is_claimed(self) -> bool:
        """True when we are to send what waits."""
        return self._claim >= 0

    @property
    def size(self) -> int:
        """Octets that wait."""
        return self._size

    def open(self) -> None:
        """Make the folder; OSError when that cannot be."""
        self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)

    def claim(self, now: int) -> bool:
        """Become the sender; False while another process is. At `now` old leftovers of crashes are swept."""
        lock = os.open(self._folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._claim = lock
        for file in self._folder.glob("*.new"):  # never promised
            if now - _instant(file.stem) > STALE:
                file.unlink(missing_ok=True)
        return True

    def release(self) -> None:
        """Leave the sending to another process."""
        if self._claim >= 0:
            os.close(self._claim)
            self._claim = -1

    def rescan(self) -> None:
        """See what other processes put here, or took away."""
        with self._lock:  # else a batch that is put after the look would be lost from sight until the next one
            found = sorted(self._found())
            self._batches = found
            self._size = sum(batch.size for batch in found)

    def next_id(self, now: int) -> tuple[str, int]:
        """An id that no batch ever had, later than all of ours, and its instant."""
        newest = self._batches[-1].at if self._batches else 0
        self._last = max(now, self._last + 1, newest + 1)
        return f"{self._last:016x}-{os.urandom(6).hex()}", self._last

    def has_room(self, size: int) -> bool:
        """True when a batch of `size` octets may wait too; one may always."""
        return not self._batches or self._size + size <= self._limit

    def put(self, batch: Batch, body: bytes) -> None:
        """Keep `body`; OSError when it could not be made durable, and then nothing of it is kept."""
        partial, whole = self._folder / f"{batch.id}.new", self._folder / batch.file_name
        try:
            with partial.open("wb") as out:
                out.write(body)
                out.flush()
                os.fdatasync(out.fileno())
            partial.rename(whole)
            self._sync_folder()
        except OSError:
            for file in (partial, whole):
                with contextlib.suppress(OSError):
                    file.unlink(missing_ok=True)
            raise
        with self._lock:
            if not self._has(batch):  # a rescan may have seen it already
                insort(self._batches, batch)
                self._size += batch.size

    def first(self) -> Batch | None:
        """The oldest batch."""
        with self._lock:
            return self._batches[0] if self._batches else None

    def read(self, batch: Batch) -> bytes:
        """Its body; OSError when the file cannot be read."""
        return (self._folder / batch.file_name).read_bytes()

    def remove(self, batch: Batch) -> None:
        """It was taken, or given up."""
        with contextlib.suppress(OSError):  # then it is sent again, under the same id
            (self._folder / batch.file_name).unlink(missing_ok=True)
        with self._lock:
            if self._has(batch):
                self._batches.remove(batch)
                self._size -= batch.size

    def _has(self, batch: Batch) -> bool:
        at = bisect_left(self._batches, batch)
        return at < len(self._batches) and self._batches[at] == batch

    def _found(self) -> Iterator[Batch]:
        for file in self._folder.glob("*.json"):
            key, _, count = file.stem.partition(".")
            if (at := _instant(key)) and count.isdecimal():  # else somebody else put it there
                with contextlib.suppress(FileNotFoundError):  # sent meanwhile by the process that has the lock
                    yield Batch(key, at, int(count), file.stat().st_size)

    def _sync_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _instant(key: str) -> int:
    """When the batch of this id was made; 0 when it is no id."""
    try:
        return int(key.partition("-")[0], 16)
    except ValueError:
        return 0
