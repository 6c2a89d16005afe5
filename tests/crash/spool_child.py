"""A process that fills and empties a spool and is killed on the way; what it was promised goes to its output.

    spool_child.py FOLDER FIRST COUNT KILL_AT

Puts COUNT messages from number FIRST on. KILL_AT counts the calls of the spool's disk: the process kills itself with
SIGKILL before the call with that number (or after it, when negative); 0: it works on until somebody kills it.
Each line of output is written after the spool said so: "put ID CRC RECIPIENTS", "settled ID INDEX"; and before it
asks for a settlement: "settling ID INDEX". The last line of a run that got to its end is "calls N".
"""

import asyncio
import os
import signal
import sys
import zlib
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import TypeVar

from postroad.model.work import Change, Status, Work
from postroad.net.clock import SystemClock
from postroad.spool.disk import Buffer, Disk
from postroad.spool.spool import EmbeddedSpool
from tests.unit.spool.building import Bench, deferred, envelope, queue_id

T = TypeVar("T")
SIZES = (0, 30, 900, 3000, 9000, 40_000)


class KillingDisk(Disk):
    """Kills the process at one call."""

    def __init__(self, at: int) -> None:
        self._at = at
        self._count = count(1)
        self.calls = 0

    def _call(self, call: Callable[[], T]) -> T:
        self.calls = number = next(self._count)
        if number == self._at:
            os.kill(os.getpid(), signal.SIGKILL)
        result = call()
        if number == -self._at:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def open(self, path: Path, flags: int) -> int:
        return self._call(lambda: super(KillingDisk, self).open(path, flags))

    def pwritev(self, fd: int, buffers: Sequence[Buffer], offset: int) -> int:
        half = len(buffers) // 2
        if half:  # killed between the halves of a batch too
            done = self._call(lambda: super(KillingDisk, self).pwritev(fd, buffers[:half], offset))
            return done + self._call(lambda: super(KillingDisk, self).pwritev(fd, buffers[half:], offset + done))
        return self._call(lambda: super(KillingDisk, self).pwritev(fd, buffers, offset))

    def fdatasync(self, fd: int) -> None:
        self._call(lambda: super(KillingDisk, self).fdatasync(fd))

    def rename(self, old: Path, new: Path) -> None:
        self._call(lambda: super(KillingDisk, self).rename(old, new))

    def unlink(self, path: Path) -> None:
        self._call(lambda: super(KillingDisk, self).unlink(path))

    def sync_folder(self, path: Path) -> None:
        self._call(lambda: super(KillingDisk, self).sync_folder(path))


def say(line: str) -> None:
    """Tell the parent, at once."""
    os.write(1, f"{line}\n".encode())


class Life:
    """Messages through the spool, a few at once, each to its own end."""

    def __init__(self, spool: EmbeddedSpool, first: int, total: int) -> None:
        self.spool = spool
        self.next = first
        self.end = first + total
        self.over = asyncio.Event()
        self.active = 0

    def begin(self) -> None:
        """Put the next message."""
        if self.next >= self.end:
            if not self.active:
                self.over.set()
            return
        self.active += 1
        number, self.next = self.next, self.next + 1
        content = bytes([number % 251]) * SIZES[number % len(SIZES)]
        addresses = [f"u{index}@d{number % 3}.example" for index in range(1 + number % 3)]
        one = envelope(number, *addresses, size=len(content))

        def done(_: object, works: list[Work]) -> None:
            say(f"put {one.id} {zlib.crc32(content)} {len(works)}")
            self.finish(number, works)

        if len(content) <= 4096:
            self.spool.put(one, content, done, lambda error: self.ended())
            return
        draft = self.spool.draft(lambda: None)
        for start in range(0, len(content), 4000):
            draft.append(content[start : start + 4000])
        self.spool.put(one, draft, done, lambda error: self.ended())

    def finish(self, number: int, works: list[Work]) -> None:
        """Deliver, defer, release or report, by the message's number."""
        fate = number % 7
        if fate == 0:
            self.spool.release(works)
            self.ended()
            return
        if fate == 1:
            changes = [deferred(works[0], works[0].due + 1)]
        elif fate == 2:
            changes = [Change(work, Status.DELIVERED) for work in works[:1]]
        else:
            changes = [Change(work, Status.FAILED, reply="550 no") for work in works]
        reports = [(envelope(number + 10_000_000, "sender@example.com", size=6), b"report")] if fate == 3 else []
        final = [(change.work.stored.id, change.work.index) for change in changes if change.status.is_final]
        for one, index in final:
            say(f"settling {one} {index}")

        def settled(made: object) -> None:
            if reports:
                say(f"put {queue_id(number + 10_000_000)} {zlib.crc32(b'report')} 1")
            for one, index in final:
                say(f"settled {one} {index}")
            self.ended()

        self.spool.settle(changes, reports, settled)

    def ended(self) -> None:
        """One more is over."""
        self.active -= 1
        self.begin()


async def live(folder: Path, first: int, total: int, kill_at: int) -> None:
    """Open, work, keep house, close."""
    disk = KillingDisk(kill_at)
    bench = Bench(
        folder,
        disk,
        SystemClock(),
        segment_size=1 << 16,
        inline_size=4096,
        index_interval="20ms" if kill_at else "10ms",
    )
    spool = await bench.open()
    life = Life(spool, first, total)
    for _ in range(4):
        life.begin()
    while not life.over.is_set():
        await asyncio.sleep(0.02)
        await spool.maintain()
    await spool.close()
    say(f"calls {disk.calls}")


if __name__ == "__main__":
    asyncio.run(live(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
