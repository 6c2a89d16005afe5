"""Batches of records that wait for a webhook: a folder with a file each, the request's body as it will be sent.

A batch is on the disk once `put` returned: written, synced, renamed, the folder synced. It goes when the receiver has
taken it, or when it is too old. Its id is its file's name, made once, so that it is the same in every attempt and
after every restart; ids sort by age. One process alone uses a folder, which a lock makes sure of.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

from msgspec import Struct


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
    """The folder; `put` is one thread's, the rest another's."""

    def __init__(self, folder: Path, *, limit: int) -> None:
        """At most `limit` octets wait. `claim` comes before all else."""
        self._folder = folder
        self._limit = limit
        self._lock = Lock()
        self._batches: list[Batch] = []
        self._size = 0
        self._last = 0
        self._claim = -1

    @property
    def is_claimed(self) -> bool:
        """True when the folder is ours."""
        return self._claim >= 0

    @property
    def size(self) -> int:
        """Octets that wait."""
        return self._size

    def claim(self) -> bool:
        """Make the folder ours and find what waits in it; False while another process has it."""
        self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        lock = os.open(self._folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        for file in self._folder.glob("*.new"):  # a crash while it was written: never promised
            file.unlink()
        self._batches = sorted(self._found())
        self._size = sum(batch.size for batch in self._batches)
        self._last = max((batch.at for batch in self._batches), default=0)
        self._claim = lock
        return True

    def release(self) -> None:
        """Leave the folder to the next process."""
        if self._claim >= 0:
            os.close(self._claim)
            self._claim = -1

    def next_id(self, now: int) -> tuple[str, int]:
        """An id that no batch ever had, and its instant."""
        self._last = max(now, self._last + 1)
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
            self._batches.append(batch)
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
        with contextlib.suppress(OSError):  # then it is sent again after a restart, under the same id
            (self._folder / batch.file_name).unlink(missing_ok=True)
        with self._lock:
            self._batches.remove(batch)
            self._size -= batch.size

    def _found(self) -> Iterator[Batch]:
        for file in self._folder.glob("*.json"):
            key, _, count = file.stem.partition(".")
            stamp = key.partition("-")[0]
            with contextlib.suppress(ValueError):  # a file that somebody else put there
                yield Batch(key, int(stamp, 16), int(count), file.stat().st_size)

    def _sync_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
