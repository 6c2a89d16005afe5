"""The event loop's side of the index: what is new goes in, what is due comes out.

Every index interval the ledger's changes are handed to the index thread in one piece; a lease first hands over what
waits, so it sees everything that was released before. One question at a time, so that an answer can be
completed with what happened while it was on its way.
"""

import asyncio
import contextlib
import errno
from collections.abc import Callable, Collection, Sequence
from typing import Final

import apsw
from msgspec import Struct

from postroad.model.errors import SpoolError
from postroad.model.records import Emit, SpoolDamaged, SpoolFaulted
from postroad.model.work import Place, Work
from postroad.spool import leases
from postroad.spool.clock import Clock, Timer
from postroad.spool.damage import Damage
from postroad.spool.frames import Arrival
from postroad.spool.index import Index
from postroad.spool.leases import LeasedRow
from postroad.spool.ledger import Leasing, Ledger
from postroad.spool.ops import Ops
from postroad.spool.reading import Reader, Unreadable
from postroad.spool.recover import BROKEN
from postroad.spool.salvage import envelope_of
from postroad.spool.shut import closed_of
from postroad.spool.worker import Worker

FLUSH_AT: Final = 10_000  # messages that may wait for the index before it is handed them at once
HOLD_AT: Final = 30_000  # messages at which commits wait for the index
POSITION_EVERY: Final = 16 << 20  # octets of journal after which the position alone is worth a write


class Leased(Struct):
    """What the index thread found: rows, their envelopes, records of damage.

    `fault` is why the machine could read none, for want of something: the rows were given back.
    """

    rows: list[LeasedRow]
    arrivals: dict[str, Arrival | Unreadable]
    records: list[SpoolDamaged]
    fault: str = ""


class Catalog:
    """Keeps index and ledger together."""

    def __init__(  # noqa: PLR0913  parts of one spool, passed by name
        self,
        index: Index,
        worker: Worker,
        ledger: Ledger,
        reader: Reader,
        *,
        journal: str,
        clock: Clock,
        emit: Emit,
        end: Callable[[], tuple[int, int]],
        hold: Callable[[bool], None],
        faulted: Callable[[OSError], None],
    ) -> None:
        """`end` is behind the newest durable frame; `hold` stops and resumes commits; `faulted` hears of full disks."""
        self.index = index
        self.worker = worker
        self._ledger = ledger
        self._reader = reader
        self._journal = journal
        self._clock = clock
        self._emit = emit
        self._end = end
        self._hold = hold
        self._faulted = faulted
        self._timer: Timer | None = None
        self._interval = 0.0
        self._applying = 0
        self._is_behind = False  # the index kept what it could not write
        self._position = (0, 0)
        self._one_lease = asyncio.Lock()
        self.is_held = False
        self.taken_in = 0  # octets of other journals
        self._told = ""
        self.on_tick: Callable[[], None] = _nothing

    def start(self, interval: float, position: tuple[int, int]) -> None:
        """Enter what is new every `interval` seconds; `position` is what the index has."""
        self._interval = interval
        self._position = position
        self._timer = self._clock.call_later(interval, self._tick)

    def stop(self) -> None:
        """Tick no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = self._clock.call_later(self._interval, self._tick)
        self._ledger.tick()
        if not self._applying:
            self._hand_over(everything=False)
        self.on_tick()

    def watch(self) -> None:
        """Messages have arrived: hurry when too many wait for the index."""
        fresh = self._ledger.fresh
        if fresh >= FLUSH_AT:
            if not self._applying:
                self._hand_over(everything=True)
            elif fresh >= HOLD_AT and not self.is_held:
                self.is_held = True
                self._hold(True)

    def collect(self, *, everything: bool = False) -> Ops:
        """What the index is to apply next; the caller hands it to the index thread in this turn of the loop."""
        return self._ledger.collect(self._end(), self._journal, everything=everything)

    def _hand_over(self, *, everything: bool) -> None:
        ops = self.collect(everything=everything)
        position = ops.position
        if position is None:
            return
        segment, offset = self._position
        if (
            not self._is_behind
            and ops.is_empty
            and position.segment == segment
            and position.offset + self.taken_in < offset + POSITION_EVERY
        ):
            return
        self._position = (position.segment, position.offset + self.taken_in)
        self._applying += 1

        def job() -> None:
            failure: apsw.Error | None = None
            try:
                self.index.apply(ops)
            except apsw.Error as error:
                failure = error
            self.worker.to_loop(lambda: self._applied(failure))

        self.worker.submit(job)

    def _applied(self, failure: apsw.Error | None) -> None:
        self._applying -= 1
        self._is_behind = failure is not None
        if failure is not None:
            self.fault(failure)
        else:
            self._told = ""
        if self.is_held:
            self.is_held = False
            self._hold(False)

    def fault(self, error: apsw.Error) -> None:
        """The index could not do what was asked: tell, once."""
        reason = str(self._failure(error))
        if reason != self._told:
            self._told = reason
            self._emit(SpoolFaulted(at=self._clock.now(), reason=reason))

    def _failure(self, error: apsw.Error) -> SpoolError:
        """`error` for whoever asked; a damaged index is rebuilt at the next start, a full disk gets its reserve."""
        self._is_behind = True
        if isinstance(error, apsw.FullError):
            self._faulted(OSError(errno.ENOSPC, str(error)))
        if isinstance(error, BROKEN):
            self._reader.layout.rebuild.touch(mode=0o600)
            return SpoolError(f"the index is damaged and is rebuilt at the next start: {error}")
        return SpoolError(f"index: {error}")

    async def sync(self) -> None:
        """Everything that waits in memory goes into the index now."""
        ops = self.collect(everything=True)
        try:
            await self.worker.call(lambda: self.index.apply(ops))
        except apsw.Error as error:
            self.fault(error)
            raise SpoolError(f"the index cannot be written: {error}") from error

    async def close(self) -> None:
        """Close the index and end its thread."""
        with contextlib.suppress(apsw.Error):
            await self.worker.call(self.index.close)
        self.worker.stop()

    async def lease(self, want: int, now: int, closed: Collection[str]) -> list[Work]:
        """See `Spool.lease`."""
        shut = closed_of(closed)
        found = await self._ask(lambda index: leases.lease(index, want, now, shut))
        works = []
        for work, row in found:
            if work.lane in shut and work.lane != row.lane:
                self._ledger.release(work)  # the routes have changed: it waits in its new lane
            else:
                works.append(work)
        return works

    async def lapsed(self, want: int, now: int) -> list[Work]:
        """See `Spool.lapsed`."""
        return [work for work, _ in await self._ask(lambda index: leases.lapsed(index, want, now))]

    async def claim(self, wanted: Sequence[tuple[str, int]]) -> list[Work]:
        """See `EmbeddedSpool.claim`."""
        found = await self._ask(lambda index: leases.claim(index, wanted), by_name=True)
        return [work for work, _ in found]

    async def next_due(self, closed: Collection[str]) -> int | None:
        """See `Spool.next_due`."""
        shut = closed_of(closed)
        ops = self.collect()

        def job() -> int | None:
            self.index.apply(ops)
            return leases.next_due(self.index, shut)

        try:
            return await self.worker.call(job)
        except apsw.Error as error:
            raise self._failure(error) from error

    async def _ask(
        self, question: Callable[[Index], list[LeasedRow]], *, by_name: bool = False
    ) -> list[tuple[Work, LeasedRow]]:
        """Lease rows and hold their works; SpoolError when the index cannot answer.

        What is asked for by name may be too new for the index, and is had although its frame cannot be read.
        """
        async with self._one_lease:
            ledger = self._ledger
            ops = self.collect(everything=by_name)
            ledger.leasing = Leasing({}, {})
            damage = Damage(self._reader.layout, self._reader.disk, self._clock.now())

            def job() -> Leased:
                self.index.apply(ops)
                rows = question(self.index)
                return self._read_damaged(rows) if by_name else self._read(rows, damage)

            try:
                found = await self.worker.call(job, self._give_back)
                for record in found.records:
                    self._emit(record)
                if found.fault:
                    raise SpoolError(f"what waits cannot be read now: {found.fault}")
                return self._take(found)
            except apsw.Error as error:
                raise self._failure(error) from error
            finally:
                ledger.leasing = None

    def _take(self, found: Leased) -> list[tuple[Work, LeasedRow]]:
        out = []
        for row in found.rows:
            arrival = found.arrivals[row.id]
            if isinstance(arrival, Arrival):
                work = self._ledger.take(row, arrival.envelope, arrival.file)
                if work is not None:
                    out.append((work, row))
        return out

    def _read(self, rows: list[LeasedRow], damage: Damage) -> Leased:
        """On the index thread: the envelopes; what cannot be read is held, where an operator sees it."""
        places: dict[str, Place] = {row.id: row.place for row in rows}
        arrivals = self._reader.arrivals(places.items())
        records: list[SpoolDamaged] = []
        passing = {key: one.reason for key, one in arrivals.items() if isinstance(one, Unreadable) and one.passing}
        if passing:
            leases.give_back(self.index, [row for row in rows if row.id in passing])
            rows = [row for row in rows if row.id not in passing]
            if not rows:
                return Leased([], {}, [], next(iter(passing.values())))
        for num, queue_id in {(row.num, row.id) for row in rows}:
            found = arrivals[queue_id]
            if isinstance(found, Unreadable):
                place = places[queue_id]
                records.append(damage.octets(place.journal, place.segment, place.offset, place.length, found.reason))
                leases.set_aside(self.index, num, found.reason)
        return Leased(rows, arrivals, records)

    def _read_damaged(self, rows: list[LeasedRow]) -> Leased:
        """On the index thread: the envelopes, with what the index knows where one cannot be read."""
        arrivals = self._reader.arrivals({row.id: row.place for row in rows}.items())
        for row in rows:
            if isinstance(arrivals[row.id], Unreadable):
                arrivals[row.id] = Arrival(envelope_of(self.index, row))
        return Leased(rows, arrivals, [])

    def _give_back(self, found: Leased) -> None:
        """A lease whose caller was cancelled."""
        rows = found.rows

        def job() -> None:
            try:
                leases.give_back(self.index, rows)
            except apsw.Error as error:
                failure = error
                self.worker.to_loop(lambda: self.fault(failure))

        self.worker.submit(job)


def _nothing() -> None:
    """Until somebody wants to know of ticks."""
