"""A sink of records with a bounded queue and a thread of its own.

On the event loop a record costs a look at its type and a place in a list; encoding, waiting and everything
that can block is the thread's. Invariant: every selected record is written, or counted as lost and told by
RecordsDropped: in the sink itself before the next records that it takes, and in the other sinks (`report`).
While the outlet does not work, records wait; when `limit` of them wait, later ones are lost.
"""

import traceback
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Final

from postroad.model.records import Record, RecordsDropped, SinkFaulted, SinkRecovered
from postroad.net.clock import Clock, Timer
from postroad.observe.outlet import Outlet

DELAY: Final = 0.1  # seconds a record waits for company
BATCH: Final = 256  # records handed over at once
IDLE: Final = 1.0  # seconds between looks at an outlet that has nothing to do
FIRST_PAUSE: Final = 0.25  # seconds until what an outlet did not take is tried again; doubled each time
LONGEST_PAUSE: Final = 10.0
REPORT_EVERY: Final = 10_000_000  # microseconds between two reports of losses of one sink
STEADY: Final = 5_000_000  # microseconds without a fault until a sink counts as recovered
_ABOUT_SINKS: Final = frozenset((RecordsDropped, SinkFaulted, SinkRecovered))


class QueuedSink:
    """An `Emit`: `name` is the sink's in RecordsDropped, `wanted` what it gets, `limit` bounds what waits."""

    def __init__(  # noqa: PLR0913  what a queue is
        self,
        name: str,
        outlet: Outlet,
        clock: Clock,
        *,
        wanted: frozenset[type[Record]],
        limit: int,
        delay: float = DELAY,
        batch: int = BATCH,
    ) -> None:
        """Start the thread. The clock's timer needs a running event loop."""
        self.name = name
        self._outlet = outlet
        self._clock = clock
        self._wanted = wanted
        self._limit = limit
        self._delay = delay
        self._batch = batch
        self._gathered: list[Record] = []
        self._timer: Timer | None = None
        # Each count has one writer: the loop those of the first row, the thread the others.
        self._given = self._refused = self._reported = 0
        self._done = self._lost = self._told = 0
        self._bug = ""
        self._hopeless = False  # the one try after `begin_close` failed
        self._reported_at = 0
        self._faulty_since = self._faulty_until = 0
        self._closing = Event()
        self._batches: SimpleQueue[list[Record] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name=f"sink {name}", daemon=True)
        self._thread.start()

    def __call__(self, record: Record) -> None:
        """Write `record`, soon; never blocks."""
        kind = type(record)
        if kind not in self._wanted or (kind in _ABOUT_SINKS and getattr(record, "sink", "") == self.name):
            return  # of itself it tells its losses alone, in `_write`; anything else could go round for ever
        if self._given - self._done >= self._limit or self._closing.is_set():
            self._refused += 1
            return
        self._given += 1
        self._gathered.append(record)
        if len(self._gathered) >= self._batch:
            self.flush()
        elif self._timer is None:
            self._timer = self._clock.call_later(self._delay, self.flush)

    def flush(self) -> None:
        """Hand what is gathered to the thread now; returns at once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._gathered:
            self._batches.put(self._gathered)
            self._gathered = []

    def report(self, *, last: bool = False) -> Iterator[Record]:
        """What the other sinks should know: a fault that began or ended, and losses; called on the loop."""
        now = self._clock.now()
        fault = self._bug or self._outlet.fault
        if fault:
            self._faulty_until = now
            if not self._faulty_since:
                self._faulty_since = now
                yield SinkFaulted(at=now, sink=self.name, reason=fault)
        elif self._faulty_since and not 0 <= now - self._faulty_until < STEADY:
            seconds = max(self._faulty_until - self._faulty_since, 0) / 1_000_000
            self._faulty_since = 0
            yield SinkRecovered(at=now, sink=self.name, seconds=seconds)
        count = self.lost - self._reported
        if count and (last or now - self._reported_at >= REPORT_EVERY):
            self._reported += count
            self._reported_at = now
            yield RecordsDropped(at=now, count=count, sink=self.name)

    @property
    def lost(self) -> int:
        """How many records were lost so far."""
        return self._refused + self._lost + self._outlet.lost

    @property
    def has_ended(self) -> bool:
        """True when all was written after `begin_close`."""
        return not self._thread.is_alive()

    def begin_close(self) -> None:
        """Take nothing more, write what waits, trying once; returns at once."""
        if not self._closing.is_set():
            self.flush()
            self._closing.set()
            self._batches.put(None)

    def close(self, timeout: float = 5.0) -> bool:
        """Wait for the thread; True when it ended within `timeout` seconds. What it has not written is lost."""
        self.begin_close()
        self._thread.join(timeout)
        if not self._thread.is_alive():
            return True
        self._refused += self._given - self._done  # the thread is stuck in a system call, and ends with the process
        return False

    # -- the thread ----------------------------------------------------------------------------

    def _work(self) -> None:
        self._idle()
        while True:
            try:
                batch = self._batches.get(timeout=IDLE)
            except Empty:
                self._idle()
                continue
            if batch is None:
                break
            self._deliver(batch)
        try:
            self._outlet.close()
        except Exception:  # noqa: BLE001  seam: as in _write
            self._bug = traceback.format_exc()

    def _idle(self) -> None:
        try:
            self._outlet.idle()
        except Exception:  # noqa: BLE001  seam: as in _write
            self._bug = traceback.format_exc()

    def _deliver(self, batch: list[Record]) -> None:
        pause = FIRST_PAUSE
        while batch:
            if self._hopeless:
                self._lost += len(batch)
                self._done += len(batch)
                return
            is_last = self._closing.is_set()
            taken = self._write(batch)
            del batch[:taken]
            self._done += taken
            self._hopeless = is_last and bool(batch)
            if batch and not self._closing.wait(pause):
                pause = min(pause * 2, LONGEST_PAUSE)

    def _write(self, batch: list[Record]) -> int:
        """How many of `batch` need no further try; the gap before it, if any, is told first."""
        gap = self.lost - self._told
        told = [RecordsDropped(at=self._clock.now(), count=gap, sink=self.name)] if gap else []
        try:
            taken = self._outlet.write([*told, *batch])
        except Exception:  # noqa: BLE001  seam: a bug in an outlet costs a batch and never the sink
            self._bug = traceback.format_exc()
            self._lost += len(batch)
            return len(batch)
        self._bug = ""
        if told and taken:
            self._told += gap
            taken -= 1
        return taken
