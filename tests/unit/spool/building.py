"""Spools for tests: envelopes, a disk whose calls can fail, and puts and settlements that can be awaited."""

import asyncio
import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from postroad.model.address import parse_mailbox
from postroad.model.envelope import Envelope, Recipient
from postroad.model.errors import SpoolError
from postroad.model.records import Record
from postroad.model.work import Change, Status, Stored, Work
from postroad.spool.clock import Clock
from postroad.spool.disk import Buffer, Disk
from postroad.spool.draft import Draft
from postroad.spool.follow import Others
from postroad.spool.inlet import Inlet
from postroad.spool.settings import SpoolSettings
from postroad.spool.spool import EmbeddedSpool
from tests.support.clock import START, ManualClock

SENDER = parse_mailbox("sender@example.com")
HOUR = 3_600_000_000
ALPHABET = "0123456789BCDFGHJKLMNPQRSTVWXYZ"


def queue_id(number: int) -> str:
    """A queue id that grows with `number`."""
    digits = ""
    for _ in range(13):
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits


def envelope(number: int, *recipients: str, size: int = 0, arrived: int = START, **fields: Any) -> Envelope:
    """The envelope of message `number`."""
    addresses = recipients or (f"user{number}@example.org",)
    parsed = tuple(Recipient(parse_mailbox(text)) for text in addresses)
    return Envelope(queue_id(number), SENDER, parsed, arrived, size, **fields)


def lane_of(_envelope: Envelope, recipient: Recipient) -> str:
    """One lane for each domain."""
    return f"mx:{recipient.address.domain}"


def deadline_of(one: Envelope) -> int:
    """Four hours after it arrived."""
    return one.arrived + 4 * HOUR


class FaultyDisk(Disk):
    """A disk whose calls go through `before`, which may raise, and whose writes may stop short."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.before: Callable[[str, int], None] = lambda name, count: None
        self.short = 0  # octets that one write takes at most; 0: all
        self.octets_free: int | None = None

    def _call(self, name: str) -> None:
        self.calls.append(name)
        self.before(name, len(self.calls))

    def fail(self, name: str, code: int = errno.EIO, times: int = 1) -> None:
        """Let the next `times` calls of `name` fail with `code`."""
        left = times

        def before(called: str, _: int) -> None:
            nonlocal left
            if called == name and left:
                left -= 1
                raise OSError(code, os.strerror(code))

        self.before = before

    def open(self, path: Path, flags: int) -> int:
        if flags & os.O_CREAT:
            self._call("open")
        return super().open(path, flags)

    def pwritev(self, fd: int, buffers: Sequence[Buffer], offset: int) -> int:
        self._call("pwritev")
        if self.short:
            whole = b"".join(buffers)
            return super().pwritev(fd, [whole[: self.short]], offset)
        return super().pwritev(fd, buffers, offset)

    def fdatasync(self, fd: int) -> None:
        self._call("fdatasync")
        super().fdatasync(fd)

    def truncate(self, fd: int, length: int) -> None:
        self._call("truncate")
        super().truncate(fd, length)

    def rename(self, old: Path, new: Path) -> None:
        self._call("rename")
        super().rename(old, new)

    def unlink(self, path: Path) -> None:
        self._call("unlink")
        super().unlink(path)

    def sync_folder(self, path: Path) -> None:
        self._call("sync_folder")
        super().sync_folder(path)

    def reserve(self, path: Path, size: int) -> None:
        Disk().reserve(path, size)

    def free(self, path: Path) -> int:
        return super().free(path) if self.octets_free is None else self.octets_free


class Bench:
    """A folder with a spool that can be opened, crashed and opened again."""

    def __init__(self, folder: Path, disk: Disk | None = None, clock: Clock | None = None, **settings: Any) -> None:
        self.folder = folder
        self.disk = disk or Disk()
        self.clock = clock or ManualClock()
        self.settings = SpoolSettings(**{"free_space": 0, **settings})
        self.records: list[Record] = []
        self.others: Others | None = None
        self.lane_of: Callable[[Envelope, Recipient], str] = lane_of
        self.spools: list[EmbeddedSpool] = []

    def _lane(self, one: Envelope, recipient: Recipient) -> str:
        return self.lane_of(one, recipient)

    def make(self) -> EmbeddedSpool:
        """A spool that is not open yet."""
        spool = EmbeddedSpool(
            self.folder,
            self.settings,
            clock=self.clock,
            emit=self.records.append,
            lane_of=self._lane,
            deadline_of=deadline_of,
            disk=self.disk,
            others=self.others,
        )
        self.spools.append(spool)
        return spool

    async def open(self, *, beside: bool = False) -> EmbeddedSpool:
        """An open spool."""
        spool = self.make()
        await spool.open(beside=beside)
        return spool

    async def crash(self, spool: EmbeddedSpool) -> None:
        """End `spool` as a kill would: nothing more is written, by journal or index."""
        await crash(spool)

    def kinds(self, kind: type[Record]) -> list[Record]:
        """The records of one type so far."""
        return [record for record in self.records if isinstance(record, kind)]


async def crash(spool: EmbeddedSpool) -> None:
    """End `spool` as a kill would: what waits in memory is lost."""
    spool._closed = True
    spool._room.stop()
    spool._catalog.stop()
    for worker in (spool._commits._worker, spool._drafting, spool._reading):
        worker.stop()
    if spool._commits._timer is not None:
        spool._commits._timer.cancel()
    journal = spool._commits._journal
    if journal.is_open:
        journal._disk.close(journal._fd)  # with the zeros written ahead at its end
    db = spool._catalog.index.db
    await spool._catalog.worker.call(lambda: db.close(True))
    spool._catalog.worker.stop()
    spool._lock.release()
    await asyncio.sleep(0)


def start_put(spool: Inlet, one: Envelope, content: bytes | Draft) -> asyncio.Future[tuple[Stored, list[Work]]]:
    """Put without waiting."""
    future: asyncio.Future[tuple[Stored, list[Work]]] = asyncio.get_running_loop().create_future()

    def failed(error: SpoolError) -> None:
        future.set_exception(error)

    spool.put(one, content, lambda stored, works: future.set_result((stored, works)), failed)
    return future


async def put(spool: Inlet, one: Envelope, content: bytes | Draft = b"content\r\n") -> list[Work]:
    """Put and wait; SpoolError when it failed."""
    return (await start_put(spool, one, content))[1]


def start_settle(
    spool: EmbeddedSpool, changes: Sequence[Change], reports: Sequence[tuple[Envelope, bytes]] = ()
) -> asyncio.Future[list[tuple[Stored, list[Work]]]]:
    """Settle without waiting."""
    future: asyncio.Future[list[tuple[Stored, list[Work]]]] = asyncio.get_running_loop().create_future()
    spool.settle(changes, reports, future.set_result)
    return future


async def settle(
    spool: EmbeddedSpool, changes: Sequence[Change], reports: Sequence[tuple[Envelope, bytes]] = ()
) -> list[tuple[Stored, list[Work]]]:
    """Settle and wait until it is durable."""
    return await start_settle(spool, changes, reports)


def delivered(*works: Work) -> list[Change]:
    """All of `works` delivered."""
    return [Change(work, Status.DELIVERED) for work in works]


def deferred(work: Work, due: int, reply: str = "451 4.3.0 later") -> Change:
    """`work` is to be tried again at `due`."""
    return Change(work, Status.PENDING, due, work.deadline, work.attempts + 1, work.warned, reply)


async def lease_all(spool: EmbeddedSpool, now: int = START + 1000 * HOUR) -> list[Work]:
    """Everything that can be leased."""
    return await spool.lease(1_000_000, now, ())


async def content_of(spool: EmbeddedSpool, work: Work) -> bytes:
    """The whole content, read from the disk."""
    work.stored.content = None
    found = await spool.body(work.stored)
    return found if isinstance(found, bytes) else await found.read(0, found.size)
