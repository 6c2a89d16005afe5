"""Group commit: one hand-over, one pwritev and one fdatasync for everything that waits.

Parcels are collected on the event loop and written whole: at the end of the loop's turn when nothing is being
written, else when that is done. A small batch is written on the loop itself while the disk is fast, since a
hand-over to the writer thread then costs more than the sync; a slow disk gets the thread. The sync is the one
instant of responsibility (RFC 5321 4.2.5): callbacks run after it, in order. A put that cannot be written fails; a
settlement never does: it waits and is written again, before anything that came after it.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from postroad.model.errors import SpoolError, SpoolFullError
from postroad.model.work import Place
from postroad.spool.clock import Clock, Timer
from postroad.spool.disk import is_full
from postroad.spool.journal import Journal
from postroad.spool.parcels import Arriving, Copying, Parcel, Settling, encode, weight
from postroad.spool.worker import Worker

BATCH_OCTETS: Final = 16 << 20
BATCH_PARCELS: Final = 2000
INLINE_OCTETS: Final = 128 << 10  # a batch up to this size may be written on the loop
INLINE_PACE: Final = 0.005  # seconds that one batch may take there; a disk that is slower gets the thread
PACE_DECAY: Final = 0.9  # a batch: how soon a slow one is forgotten
SETTLE_LINGER: Final = 0.005  # seconds that settlements wait for company, so that they need no sync of their own
ARRIVAL_LINGER: Final = 0.002  # seconds that a message waits for company while others come as fast as that
VAIN_LIMIT: Final = 4  # times in a row that nobody came, after which messages do not wait for a while
VAIN_PAUSE: Final = 500  # messages after which waiting is tried again
GAP_WEIGHT: Final = 0.1  # of the newest gap between two arrivals in their mean
RETRY_AFTER: Final = 0.5  # seconds before settlements that could not be written are tried again


Finished = Callable[[Parcel, Sequence[Place]], None]


class Commits:
    """The waiting parcels of one journal and their way through the writer thread."""

    def __init__(
        self,
        journal: Journal,
        mark: bytes,
        *,
        clock: Clock,
        finished: Finished,
        faulted: Callable[[OSError], None],
    ) -> None:
        """`finished` is called for each parcel once it is durable, `faulted` once for each write that failed."""
        self._journal = journal
        self._mark = mark
        self._clock = clock
        self._finished = finished
        self._faulted = faulted
        self._loop = asyncio.get_running_loop()
        self._worker = Worker("writer")
        self._waiting: list[Parcel] = []
        self._stuck: list[Parcel] = []  # settlements whose write failed
        self._timer: Timer | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._gather: asyncio.TimerHandle | None = None
        self._arrived = 0.0  # when the last message was added
        self._gap = 1.0  # mean seconds between messages of late
        self._vain = 0  # how often in a row a message waited for company in vain
        self.expected = 0  # messages that are on their way in
        self._busy = False
        self._hold = False
        self._pace = 1.0  # seconds that writing one batch takes at worst of late; slow until proven fast
        self.measured: Callable[[float, int], None] | None = None  # told of each batch: seconds, and parcels
        self.reached: Callable[[int, int], None] | None = None  # told first how far it is durable
        self.end = (0, 0)  # segment and offset behind the newest durable frame

    def add(self, parcel: Parcel) -> None:
        """Take `parcel` into the next batch."""
        self._waiting.append(parcel)
        is_arrival = type(parcel) is Arriving
        if is_arrival:
            self._measure_gap()
        if self._busy:
            return
        if self._gather is not None:
            if is_arrival and self.expected <= 0:  # all that were on their way are here
                self._stop_timers()
                self._vain = 0
                self._busy = True
                self._loop.call_soon(self._hand_over)
            return
        if is_arrival and self.expected > 0 and self._expects_more():
            self._gather = self._loop.call_later(ARRIVAL_LINGER, self._gathered)
            return
        if type(parcel) is Settling and not parcel.reports:
            if self._linger is None:
                self._linger = self._loop.call_later(SETTLE_LINGER, self._lingered)
            return
        self._busy = True
        self._loop.call_soon(self._hand_over)

    def _measure_gap(self) -> None:
        now = self._clock.monotonic()
        self._gap += (min(now - self._arrived, 1.0) - self._gap) * GAP_WEIGHT
        self._arrived = now

    def _expects_more(self) -> bool:
        """True when the next message is likely to come within `ARRIVAL_LINGER`, so that one sync serves both.

        Mail that comes one by one must not wait for a client that is slow: after some tries in vain nothing does for
        a while.
        """
        if self._gap > ARRIVAL_LINGER / 2:
            return False
        if self._vain < VAIN_LIMIT:
            return True
        self._vain = self._vain + 1 if self._vain < VAIN_PAUSE else 0
        return False

    def _gathered(self) -> None:
        self._gather = None
        if self._busy:
            return
        self._vain = 0 if sum(type(parcel) is Arriving for parcel in self._waiting) > 1 else self._vain + 1
        self._busy = True
        self._hand_over()

    def _lingered(self) -> None:
        self._linger = None
        if not self._busy:
            self._busy = True
            self._hand_over()

    def hold(self, *, on: bool) -> None:
        """While on, nothing is handed over: the index cannot keep up."""
        self._hold = on
        if not on and not self._busy and (self._waiting or self._stuck):
            self._busy = True
            self._hand_over()

    def _hand_over(self) -> None:
        batch = self._take() if not self._hold else []
        if not batch:
            self._busy = False
            return
        self._stop_timers()
        if self._pace < INLINE_PACE and sum(map(weight, batch)) <= INLINE_OCTETS:
            self._complete(batch, *self._write(batch))
            return
        self._worker.submit(partial(self._write_and_tell, batch))

    def _write_and_tell(self, batch: list[Parcel]) -> None:
        self._loop.call_soon_threadsafe(self._complete, batch, *self._write(batch))

    def _write(self, batch: list[Parcel]) -> tuple[list[Place], OSError | None, float]:
        """Write and sync `batch`, on either thread: the places of its arrivals, or why not, and the seconds taken."""
        monotonic, journal = self._clock.monotonic, self._journal
        began = monotonic()
        try:
            encoded = encode(batch, self._mark)
            places: list[Place] = []
            if encoded.length:
                segment, base = journal.append(encoded.buffers, encoded.length)
                name = journal.name
                places = [Place(name, segment, base + offset, length) for offset, length in encoded.arrivals]
        except OSError as failure:
            return [], failure, monotonic() - began
        return places, None, monotonic() - began

    def _take(self) -> list[Parcel]:
        if self._stuck:
            if self._timer is None:
                return self._stuck
            # Settlements wait until they can be written, in order; a message that arrives may try its luck.
            batch: list[Parcel] = [parcel for parcel in self._waiting if type(parcel) is Arriving]
            self._waiting = [parcel for parcel in self._waiting if type(parcel) is not Arriving]
            return batch
        waiting = self._waiting
        if len(waiting) <= BATCH_PARCELS and sum(map(weight, waiting)) <= BATCH_OCTETS:
            self._waiting = []
            return waiting
        octets = 0
        for count, parcel in enumerate(waiting, 1):
            octets += weight(parcel)
            if octets >= BATCH_OCTETS or count >= BATCH_PARCELS:
                break
        self._waiting = waiting[count:]
        return waiting[:count]

    def _complete(self, batch: list[Parcel], places: list[Place], error: OSError | None, seconds: float) -> None:
        self._pace = max(seconds, self._pace * PACE_DECAY)
        if error is not None:
            self._fail(batch, error)
            return
        if self.measured is not None:
            self.measured(seconds, len(batch))
        if self._stuck:
            if batch is self._stuck:
                self._stuck = []
            self._retry()  # the disk takes octets again
        journal = self._journal
        end = (journal.number, journal.offset) if journal.is_open else self.end
        if self.reached is not None:
            self.reached(*end)
        self._loop.call_soon(self._go_on)
        self._report(iter(batch), iter(places))
        self.end = end

    def _go_on(self) -> None:
        """The next batch, if anything is worth one by now."""
        if self._stuck or any(type(parcel) is not Settling or parcel.reports for parcel in self._waiting):
            self._hand_over()
            return
        self._busy = False
        if self._waiting and self._linger is None:
            self._linger = self._loop.call_later(SETTLE_LINGER, self._lingered)

    def _report(self, batch: Iterator[Parcel], places: Iterator[Place]) -> None:
        finished, ended = self._finished, False
        try:
            for parcel in batch:
                if type(parcel) is Arriving:
                    finished(parcel, (next(places),))
                elif type(parcel) is Settling:
                    finished(parcel, [next(places) for _ in parcel.reports])
                elif type(parcel) is Copying:
                    finished(parcel, [next(places) for _ in parcel.arrivals])
            ended = True
        finally:
            if not ended:
                self._report(batch, places)  # one bad callback never stops the others

    def _fail(self, batch: list[Parcel], error: OSError) -> None:
        self._faulted(error)
        if batch is not self._stuck:
            self._stuck += [parcel for parcel in batch if type(parcel) is Settling]
        if self._stuck and self._timer is None:
            self._timer = self._clock.call_later(RETRY_AFTER, self._retry)
        self._loop.call_soon(self._go_on)
        self._refuse(iter(batch), spool_error(error))

    def _refuse(self, batch: Iterator[Parcel], error: SpoolError) -> None:
        ended = False
        try:
            for parcel in batch:
                if type(parcel) is Arriving:
                    parcel.failed(error)
                elif type(parcel) is Copying:
                    parcel.done(None)
            ended = True
        finally:
            if not ended:
                self._refuse(batch, error)

    def _retry(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._hand_over)

    async def barrier(self) -> None:
        """Wait until everything added before is durable, or has failed."""
        passed: asyncio.Future[None] = self._loop.create_future()

        def done(_: list[Place] | None) -> None:
            if not passed.done():
                passed.set_result(None)

        self.add(Copying([], done))
        await passed

    def end_segment(self) -> bool:
        """End the open segment, so that the next batch begins another; False while a batch is being written."""
        if self._busy:
            return False
        self._journal.close()
        return True

    def _stop_timers(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        if self._gather is not None:
            self._gather.cancel()
            self._gather = None

    def stop(self) -> None:
        """End the writer thread and the journal's open segment."""
        self._stop_timers()
        if self._timer is not None:
            self._timer.cancel()
        self._worker.stop()
        self._journal.close()


def spool_error(error: OSError) -> SpoolError:
    """What the caller of the spool gets to see of `error`."""
    if is_full(error):
        return SpoolFullError(f"no room for new mail: {error.strerror}")
    return SpoolError(f"writing to the spool failed: {error.strerror or error}")
