"""Large content on its way in and out: drafts while it arrives, files while it waits.

A draft stays in memory up to the inline limit; above it a thread writes it to a file in drafts/, with flat
memory. It is made durable and gets its final name before the frame that refers to it is written, so an
accepted message never points at nothing. Until then it is nobody's mail: recovery sweeps drafts/ away.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final
from zlib import crc32

from msgspec import Struct

from postroad.model.content import Content
from postroad.model.errors import DamagedError, SpoolError
from postroad.model.work import Place
from postroad.spool.commit import spool_error
from postroad.spool.disk import Disk, write_all
from postroad.spool.frames import FileRef
from postroad.spool.layout import Layout
from postroad.spool.worker import Worker

LOW_WATER: Final = 512 << 10  # backlog at which `on_drain` is called
_PART: Final = 1 << 20


class DraftRoom(Struct):
    """Drafts are written to `folder`, which no other process uses.

    `call_soon` brings a call back onto the event loop, `faulted` gets write errors.
    """

    layout: Layout
    folder: Path
    disk: Disk
    worker: Worker
    inline_size: int
    call_soon: Callable[[Callable[[], None]], object]
    faulted: Callable[[OSError], None]


class Draft:
    """Content of one message being received."""

    def __init__(self, room: DraftRoom, number: int, on_drain: Callable[[], None]) -> None:
        """Begin empty; `number` makes the file's name, `on_drain` is called when a backlog has been written."""
        self._room = room
        self._path = room.folder / f"draft-{number}"
        self._on_drain = on_drain
        self._chunks: list[bytes] = []
        self._in_file = False
        self._writing = False
        self._ended = False
        self._fd = -1  # the thread's from here on, but for the flags above
        self._written = 0
        self._crc = 0
        self._error: OSError | None = None
        self.size = 0
        self.backlog = 0

    def append(self, chunk: bytes) -> None:
        """Take one more piece."""
        self._chunks.append(chunk)
        self.size += len(chunk)
        if self._in_file:
            self.backlog += len(chunk)
        elif self.size > self._room.inline_size:
            self._in_file = True
            self.backlog = self.size
        if self._in_file and not self._writing:
            self._write()

    def discard(self) -> None:
        """Forget it all; harmless after `put`."""
        if self._ended:
            return
        self._ended = True
        self._chunks.clear()
        if self._in_file:
            self._room.worker.submit(self._remove)

    @property
    def in_memory(self) -> bytes | None:
        """The whole content when it is small enough for a frame."""
        if self._in_file:
            return None
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    async def read(self, offset: int, length: int) -> bytes:
        """The octets from `offset`, at most `length`, fewer only at the end; SpoolError when they cannot be had.

        For content that is complete and in a file; whoever stops wanting it may discard it meanwhile.
        """
        if self._ended:
            raise SpoolError("the content was given up")
        chunks, self._chunks = self._chunks, []

        def job() -> bytes:
            self._store(chunks)
            if self._error is not None:
                raise self._error
            return self._room.disk.pread(self._fd, length, offset)

        try:
            return await self._room.worker.call(job)
        except OSError as error:
            raise spool_error(error) from error
        finally:
            self.backlog -= sum(map(len, chunks))

    def finish(self, queue_id: str, done: Callable[[FileRef | SpoolError], None]) -> None:
        """Make the file durable under its final name, then call `done` on the event loop."""
        self._ended = True
        chunks, self._chunks = self._chunks, []
        room = self._room

        def job() -> None:
            self._store(chunks)
            error = self._error or self._publish(queue_id)
            if error is not None:
                self._remove()
                room.call_soon(lambda: room.faulted(error))
                room.call_soon(lambda: done(spool_error(error)))
                return
            ref = FileRef(self._written, self._crc)
            room.call_soon(lambda: done(ref))

        room.worker.submit(job)

    def _write(self) -> None:
        chunks, self._chunks = self._chunks, []
        self._writing = True
        octets = sum(map(len, chunks))

        def job() -> None:
            self._store(chunks)
            self._room.call_soon(lambda: self._wrote(octets))

        self._room.worker.submit(job)

    def _wrote(self, octets: int) -> None:
        self._writing = False
        self.backlog -= octets
        if self._ended:
            return
        if self._chunks:
            self._write()
        if self.backlog <= LOW_WATER:
            self._on_drain()

    def _store(self, chunks: list[bytes]) -> None:
        """On the thread: add `chunks` to the file. After an error the rest is dropped; `finish` tells."""
        if self._error is not None:
            return
        disk = self._room.disk
        try:
            if self._fd < 0:
                self._fd = disk.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            self._written += write_all(disk, self._fd, chunks, self._written)
        except OSError as error:
            self._error = error
            return
        for chunk in chunks:
            self._crc = crc32(chunk, self._crc)

    def _publish(self, queue_id: str) -> OSError | None:
        disk, layout = self._room.disk, self._room.layout
        try:
            disk.fdatasync(self._fd)
            disk.close(self._fd)
            self._fd = -1
            disk.rename(self._path, layout.file(queue_id))
            self._path = layout.file(queue_id)
            disk.sync_folder(layout.content)
        except OSError as error:
            return error
        return None

    def _remove(self) -> None:
        disk = self._room.disk
        try:
            disk.unlink(self._path)
            if self._fd >= 0:
                fd, self._fd = self._fd, -1
                disk.close(fd)
        except OSError:
            return  # the sweep at the next start gets it


def whole(content: "bytes | Draft") -> Content:
    """Complete content as octets when it is small, else as something to read from."""
    if isinstance(content, bytes):
        return content
    octets = content.in_memory
    return content if octets is None else octets


class StoredFile:
    """Content in a file of its own, read by range on the reader thread."""

    def __init__(self, disk: Disk, worker: Worker, path: Path, size: int) -> None:
        """Content of `size` octets at `path`."""
        self._disk = disk
        self._worker = worker
        self._path = path
        self.size = size

    async def read(self, offset: int, length: int) -> bytes:
        """The octets from `offset`, at most `length`, fewer only at the end; SpoolError when they cannot be had."""

        def job() -> bytes:
            fd = self._disk.open(self._path, os.O_RDONLY)
            try:
                return self._disk.pread(fd, length, offset)
            finally:
                self._disk.close(fd)

        try:
            return await self._worker.call(job)
        except OSError as error:
            raise SpoolError(f"content {self._path.name} cannot be read: {error.strerror}") from error


def check_file(disk: Disk, path: Path, ref: FileRef) -> str:
    """What is wrong with the content file at `path`, in words; "" when it is whole."""
    try:
        fd = disk.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return "the content file is missing"
    try:
        size, crc = 0, 0
        while part := disk.pread(fd, _PART, size):
            crc = crc32(part, crc)
            size += len(part)
    finally:
        disk.close(fd)
    if size != ref.size:
        return f"the content file has {size} octets instead of {ref.size}"
    return "" if crc == ref.crc else "the content file's CRC is wrong"


def lost(place: Place, reason: str) -> DamagedError:
    """The error for a message that cannot be read."""
    return DamagedError(f"the message at {place.journal}/{place.segment}+{place.offset} cannot be read: {reason}")
