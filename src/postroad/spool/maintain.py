"""Housekeeping: segments go when nothing in them is alive, and the little that lives in old ones is copied on.

A journal is only ever cut at its old end. So an outcome is never removed while the arrival it speaks of still
stands, and rebuilding from what is left cannot bring finished mail back. The oldest segment is copied out when
less than a quarter of it, or of the whole journal, is alive; copies carry the state of their recipients. The
index is on the disk before a segment is removed.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Final

import apsw
import msgspec

from postroad.model.errors import SpoolError
from postroad.model.records import Emit, SpoolDamaged, SpoolFaulted
from postroad.model.work import Place
from postroad.spool.catalog import Catalog
from postroad.spool.clock import Clock
from postroad.spool.damage import Damage
from postroad.spool.frames import Arrival
from postroad.spool.index import Index
from postroad.spool.ledger import Ledger
from postroad.spool.parcels import Copying, Parcel
from postroad.spool.reading import Reader
from postroad.spool.salvage import Copy, copies_of

PORTION_OCTETS: Final = 4 << 20
ROUNDS: Final = 16  # segments copied in one call at most
LANES_EVERY: Final = 3600.0  # seconds between removals of lanes in which nobody waits


def _never(_: int) -> bool:
    """There is one journal alone."""
    return False


def _nothing(_: int) -> None:
    """Nobody else wants to know."""


class Maintenance:
    """Keeps one journal short."""

    def __init__(  # noqa: PLR0913  parts of one spool, passed by name
        self,
        catalog: Catalog,
        ledger: Ledger,
        reader: Reader,
        *,
        journal: str,
        segment_size: int,
        clock: Clock,
        emit: Emit,
        add: Callable[[Parcel], None],
        limit: Callable[[], int],
        has_room: Callable[[], bool],
        is_in_the_way: Callable[[int], bool] = _never,
        dropped: Callable[[int], None] = _nothing,
    ) -> None:
        """`add` brings a parcel into the next batch, `limit` is the first segment that stays whatever lives in it.

        `is_in_the_way` tells whether a segment keeps those of another journal from going; `dropped` hears of each one.
        """
        self._catalog = catalog
        self._ledger = ledger
        self._reader = reader
        self._journal = journal
        self._segment_size = segment_size
        self._clock = clock
        self._emit = emit
        self._add = add
        self._limit = limit
        self._has_room = has_room
        self._is_in_the_way = is_in_the_way
        self._tell_dropped = dropped
        self.oldest = 1
        self._dropping = False
        self._one = asyncio.Lock()
        self._lanes_at = clock.monotonic()

    def start(self, oldest: int) -> None:
        """`oldest` is the first segment there is."""
        self.oldest = oldest

    def _first_live(self) -> int:
        """The oldest segment that must stay."""
        live, current, number = self._ledger.live, self._limit(), self.oldest
        while number < current and ((found := live.get((self._journal, number))) is None or not found.messages):
            number += 1
        return number

    def drop_dead(self) -> None:
        """Remove the dead segments at the old end, if there are any; returns at once."""
        until = self._first_live()
        if until <= self.oldest or self._dropping:
            return
        self._dropping = True
        ops = self._catalog.collect()
        numbers = range(self.oldest, until)

        def job() -> None:
            error = self._remove(numbers, lambda index: index.apply(ops, full=True))
            self._catalog.worker.to_loop(lambda: self._dropped(numbers, error))

        self._catalog.worker.submit(job)

    def _remove(self, numbers: range, prepare: Callable[[Index], None]) -> str:
        """On the index thread; what went wrong, in words."""
        index, reader = self._catalog.index, self._reader
        query = "SELECT segment FROM message WHERE journal = ? AND segment < ? LIMIT 1"
        try:
            prepare(index)
            found = index.db.execute(query, (self._journal, numbers.stop)).fetchone()
            if found is not None:
                return f"segment {found[0]} of {self._journal} is still in use and stays"
            there = reader.layout.segment_numbers(self._journal)
            for number in there:
                if number < numbers.stop:
                    self._remove_segment(number, keeps_number=number == there[-1])
        except (apsw.Error, OSError) as error:
            return f"old segments of {self._journal} could not be removed: {error}"
        return ""

    def _remove_segment(self, number: int, *, keeps_number: bool) -> None:
        """The last one of a journal is only emptied: the next one must have a higher number."""
        disk, path = self._reader.disk, self._reader.layout.segment(self._journal, number)
        if not keeps_number:
            disk.unlink(path)
            return
        fd = disk.open(path, os.O_RDWR)
        try:
            disk.truncate(fd, 0)
        finally:
            disk.close(fd)

    def _dropped(self, numbers: range, error: str) -> None:
        self._dropping = False
        if error:
            self._emit(SpoolFaulted(at=self._clock.now(), reason=error))
            return
        self.oldest = numbers.stop
        for number in numbers:
            self._ledger.drop_segment(self._journal, number)
            self._tell_dropped(number)

    async def run(self) -> None:
        """Copy what lives in mostly dead segments on, and remove them."""
        async with self._one:
            try:
                await self._tell_index()
                for _ in range(ROUNDS):
                    number = await self._worth_copying()
                    if number is None or not await self._copy_out(number):
                        break
                    await self._tell_index()
            finally:
                self._ledger.touched = None
            await self._tidy()

    async def _tell_index(self) -> None:
        """The index learns everything; what changes after that it does not know when it is asked, and is not copied.

        A copy of a message that is finished would never go, and be delivered again after a crash.
        """
        self._ledger.touched = set()
        await self._catalog.sync()
        self.drop_dead()

    async def _worth_copying(self) -> int | None:
        """The oldest segment, when copying it out pays."""
        current = self._limit()
        number = self._first_live()
        is_in_the_way = self._is_in_the_way(number)
        if number >= current:
            return None
        layout, journal = self._reader.layout, self._journal

        def measure() -> list[int]:
            paths = [layout.segment(journal, one) for one in range(number, current)]
            return [path.stat().st_size if path.exists() else 0 for path in paths]

        sizes = await self._catalog.worker.call(measure)
        live = self._ledger.live.get((journal, number))
        octets = 0 if live is None else live.octets
        total = sum(sizes)
        parts = 4 if self._has_room() else 2
        if (
            octets * 4 < sizes[0]
            or is_in_the_way
            or (total > 4 * self._segment_size and self._ledger.octets * parts < total)
        ):
            return number
        return None

    async def _copy_out(self, number: int) -> bool:
        """Copy all live messages out of a segment; False when some had to stay for now."""
        complete = True
        offset = -1
        while True:
            copies, records = await self._portion(number, offset)
            for record in records:
                self._emit(record)
            if not copies:
                return complete
            offset = copies[-1].place.offset
            complete = await self._write(copies) and complete

    async def _portion(self, number: int, after: int) -> tuple[list[Copy], list[SpoolDamaged]]:
        damage = Damage(self._reader.layout, self._reader.disk, self._clock.now())
        try:
            return await self._catalog.worker.call(
                lambda: copies_of(self._catalog.index, self._reader, damage, (self._journal, number, after))
            )
        except (apsw.Error, OSError, msgspec.MsgspecError) as error:
            raise SpoolError(f"segment {number} of {self._journal} cannot be copied: {error}") from error

    async def _write(self, copies: list[Copy]) -> bool:
        """Append copies of messages that are not changing right now; True when that was all of them."""
        going: list[Copy] = []
        arrivals: list[tuple[Arrival, bytes]] = []
        for copy in copies:
            states = self._ledger.states_of(copy.num, copy.id, copy.states)
            if states is not None:
                going.append(copy)
                arrivals.append((Arrival(copy.arrival.envelope, copy.arrival.file, states), copy.body))
        if not going:
            return False
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def done(places: list[Place] | None) -> None:
            for copy, place in zip(going, places or (), strict=False):
                self._ledger.move(copy.num, copy.id, copy.place, place)
            if not written.done():
                written.set_result(places is not None)

        self._add(Copying(arrivals, done))
        return await written and len(going) == len(copies)

    async def _tidy(self) -> None:
        now = self._clock.monotonic()
        lanes = now - self._lanes_at >= LANES_EVERY

        def job() -> None:
            self._catalog.index.db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            if lanes:
                self._catalog.index.forget_names()

        try:
            await self._catalog.worker.call(job)
        except apsw.Error as error:
            self._catalog.fault(error)
        if lanes:
            self._lanes_at = now
