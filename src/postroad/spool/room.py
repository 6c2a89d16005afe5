"""Is there room for new mail: watches the free space of the spool's disk.

Looked at once a second and at once after ENOSPC, on a thread, never per message. Refusing begins under the
floor (`spool.free_space`) and ends a tenth above it, so that it does not flutter; after ENOSPC it also ends
when a while has passed, because a quota does not show in the free space. What was accepted is still delivered: a
file that only takes room is given up on a full disk, so that outcomes can be written, finished mail goes, and
the disk is not full any more.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from postroad.model.records import Emit, SpoolFaulted, SpoolFull, SpoolHasRoom
from postroad.spool.clock import Clock, Timer
from postroad.spool.disk import Disk, is_full
from postroad.spool.layout import Layout
from postroad.spool.worker import Worker

LOOK_EVERY: Final = 1.0
PROBE_AFTER: Final = 10.0  # seconds after ENOSPC until a message may try again, if the free space looks sufficient
MARGIN: Final = 1 << 20
RESERVE: Final = 4 << 20  # octets kept for outcomes and the index; enough for tens of thousands of outcomes


def make_way(layout: Layout, disk: Disk) -> None:
    """Before a start: it needs some room itself, which a full disk has in the reserve."""
    if disk.free(layout.folder) < RESERVE:
        disk.unlink(layout.reserve)


class Room:
    """The answer of `Spool.has_room`, kept up to date."""

    def __init__(  # noqa: PLR0913  parts of one spool, passed by name
        self,
        layout: Layout,
        disk: Disk,
        worker: Worker,
        *,
        floor: int,
        clock: Clock,
        emit: Emit,
        is_leading: bool = True,
    ) -> None:
        """Watch the disk of `layout` against `floor` octets; of several processes one leads: it has the reserve."""
        self._is_leading = is_leading
        self._layout = layout
        self._disk = disk
        self._worker = worker
        self._floor = floor
        self._clock = clock
        self._emit = emit
        self._timer: Timer | None = None
        self._refused_at: float | None = None  # when the disk last said that it is full
        self._free_then = 0
        self._faults = ""
        self._has_reserve = False
        self.has_room = True
        self.free = 0
        self.ring: Callable[[], None] | None = None  # told when room runs out

    async def start(self) -> None:
        """Look once, then every second."""
        await self._look()
        self._timer = self._clock.call_later(LOOK_EVERY, self._tick)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def faulted(self, error: OSError) -> None:
        """A write to the spool failed."""
        reason = error.strerror or str(error)
        if is_full(error):
            self._refused_at = self._clock.monotonic()
            self._free_then = -1
            self._close(reason)
            self._has_reserve = False
            self._worker.submit(self._give_way if self._is_leading else self._measure)
        elif reason != self._faults:
            self._faults = reason
            self._emit(SpoolFaulted(at=self._clock.now(), reason=reason))

    def _tick(self) -> None:
        self._timer = self._clock.call_later(LOOK_EVERY, self._tick)
        self._faults = ""  # the same fault is told once a second
        self._worker.submit(self._measure)

    async def _look(self) -> None:
        self._judge(await self._worker.call(lambda: self._disk.free(self._layout.folder)))

    def _give_way(self) -> None:
        with suppress(OSError):
            self._disk.unlink(self._layout.reserve)
        self._measure()

    def _take_reserve(self) -> None:
        try:
            self._disk.reserve(self._layout.reserve, RESERVE)
        except OSError:
            with suppress(OSError):
                self._disk.unlink(self._layout.reserve)

    def _measure(self) -> None:
        try:
            free = self._disk.free(self._layout.folder)
        except OSError:
            return
        self._worker.to_loop(lambda: self._judge(free))

    def _judge(self, free: int) -> None:
        self.free = free
        if self.has_room:
            if self._is_leading and not self._has_reserve and free >= self._floor + self._floor // 10 + 2 * RESERVE:
                self._has_reserve = True
                self._worker.submit(self._take_reserve)
            if free < self._floor:
                self._close("less than spool.free_space is free")
            return
        if free < max(self._floor + self._floor // 10, MARGIN):
            return
        if self._refused_at is not None:
            if self._free_then < 0:
                self._free_then = free  # so little was not enough
            waited = self._clock.monotonic() - self._refused_at
            if free < self._free_then + MARGIN and waited < PROBE_AFTER:
                return
        self._refused_at = None
        self.has_room = True
        if self._is_leading:
            self._emit(SpoolHasRoom(at=self._clock.now(), free=free))

    def _close(self, reason: str) -> None:
        if self.has_room:
            self.has_room = False
            if self._is_leading:
                self._emit(SpoolFull(at=self._clock.now(), free=self.free, floor=self._floor, reason=reason))
            if self.ring is not None:
                self.ring()
