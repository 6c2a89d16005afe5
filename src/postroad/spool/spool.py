"""The spool's door: accepted mail in, work out, outcomes in.

    state           where it is                                       after a crash
    draft           in memory, or in drafts/                          swept: nobody was promised anything
    frame written   in the journal, not yet synced                    counts if whole, else a torn tail; no 250 yet
    frame synced    accepted: `done` is called, the peer gets its 250 tried again until it is settled
    outcome frame   settled: this recipient is final, or due later    stays so
    last outcome    the message is gone; its segment goes with its last live message

The sync of the journal is the one instant of responsibility (RFC 5321 4.2.5, 6.1). The index is a cache that
follows within a second; a message that is settled sooner is never entered. A crash while a delivery runs means
"try again". Everything public here is called on the event loop.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from postroad.model.content import Content
from postroad.model.envelope import Envelope
from postroad.model.errors import SpoolError
from postroad.model.records import Emit, SpoolFaulted, SpoolRecovered
from postroad.model.work import Change, Place, Stored, Work
from postroad.spool.bodies import Bodies
from postroad.spool.catalog import Catalog
from postroad.spool.clock import Clock
from postroad.spool.commit import Commits
from postroad.spool.desk import SpoolDesk
from postroad.spool.disk import Disk
from postroad.spool.draft import Draft, DraftRoom, StoredFile
from postroad.spool.follow import Others
from postroad.spool.frames import Row, encode_json, final_row
from postroad.spool.inlet import Done, Inlet
from postroad.spool.journal import Journal
from postroad.spool.journals import Journals
from postroad.spool.layout import OWN, Layout, Lock
from postroad.spool.ledger import FINAL, DeadlineOf, LaneOf, Ledger
from postroad.spool.parcels import Arriving, Copying, Parcel, Report, Settling, arrival_head
from postroad.spool.reading import Reader
from postroad.spool.recover import Opened, Recovered, Recovery
from postroad.spool.room import Room
from postroad.spool.settings import SpoolSettings
from postroad.spool.worker import Worker

CLOSE_WITHIN: Final = 5.0

Settled = Callable[[list[tuple[Stored, list[Work]]]], None]


class Spool(Protocol):
    """What the edge and the courier need of a spool, wherever it keeps its mail."""

    def has_room(self) -> bool:
        """False while new mail must get 452 4.3.1."""

    def when_full(self, ring: Callable[[], None]) -> None:
        """Call `ring` each time that room runs out: housekeeping may find some."""

    def draft(self, on_drain: Callable[[], None]) -> Draft:
        """Begin to receive content; `on_drain` is called when a backlog has been written."""

    def expect(self, change: int) -> None:
        """So many messages more, or fewer, are on their way: it is worth a moment to make them durable together."""

    def put(self, envelope: Envelope, content: bytes | Draft, done: Done, failed: Callable[[SpoolError], None]) -> None:
        """Make a message durable, then call `done` with its works, which the caller holds; or `failed`."""

    def settle(
        self, changes: Sequence[Change], reports: Sequence[tuple[Envelope, bytes]], done: Settled | None
    ) -> None:
        """Make decisions durable, together with the reports (DSNs) that they bring; never fails, at worst it waits."""

    def release(self, works: Sequence[Work]) -> None:
        """These works are no longer held in memory."""

    async def lease(self, want: int, now: int, closed: Collection[str]) -> list[Work]:
        """At most `want` due works outside `closed` lanes, oldest first, fairly over lanes; SpoolError: ask again."""

    async def lapsed(self, want: int, now: int) -> list[Work]:
        """At most `want` works that nobody holds and whose deadline has come."""

    async def next_due(self, closed: Collection[str]) -> int | None:
        """When the first work that nobody holds is due, outside of `closed` lanes."""

    async def body(self, stored: Stored) -> Content:
        """The content, checked; DamagedError when it is damaged (then it is set aside and told)."""

    async def flush(self) -> None:
        """Bring everything that waits in memory into the index."""

    async def maintain(self) -> None:
        """Housekeeping; call it now and then."""

    async def close(self) -> None:
        """Finish what is under way and let go."""


class EmbeddedSpool(Inlet):
    """The spool in a folder of its own: one process, one journal, one index. A `Spool`."""

    def __init__(  # noqa: PLR0913  the composition root passes the parts by name
        self,
        folder: Path,
        settings: SpoolSettings,
        *,
        clock: Clock,
        emit: Emit,
        lane_of: LaneOf,
        deadline_of: DeadlineOf,
        journal: str = OWN,
        disk: Disk | None = None,
        others: Others | None = None,
        lock: Lock | None = None,
    ) -> None:
        """Nothing is touched before `open`. `lane_of` and `deadline_of` must not raise.

        `others` are processes that write journals beside us; `lock` is the spool's when somebody holds it for us.
        """
        self._layout = Layout(folder)
        self._settings = settings
        self._clock = clock
        self._emit = emit
        self._lane_of = lane_of
        self._deadline_of = deadline_of
        self._journal = journal
        self._others = others
        self._given = lock
        self._disk = disk or Disk()
        self._drafts = 0
        self._closed = True
        self._ring: Callable[[], None] | None = None

    async def open(self, *, beside: bool = False) -> Recovered:
        """Lock the folder, recover what is there, start the threads; SpoolError when that cannot be.

        `beside`: the other processes work already.
        """
        began = self._clock.monotonic()
        disk, layout = self._disk, self._layout
        try:
            disk.make_folder(layout.folder)
            self._lock = self._given or Lock(layout.folder)
        except OSError as error:
            raise SpoolError(f"the spool {layout.folder} cannot be opened: {error}") from error
        self._loop = asyncio.get_running_loop()
        worker = Worker("index")
        recovery = Recovery(layout, disk, self._journal, self._clock.now)
        recovery.lane_of, recovery.deadline_of = self._lane_of, self._deadline_of
        if beside and self._others is not None:
            recovery.beside = self._others.reaches()
        try:
            opened = await worker.call(recovery.run)
        except SpoolError:
            worker.stop()
            self._lock.release()
            raise
        self._assemble(opened, worker)
        await self._room.start()
        self._closed = False
        found = msgspec.structs.replace(opened.found, seconds=self._clock.monotonic() - began)
        now = self._clock.now()
        for record in opened.records:
            self._emit(record)
        self._emit(SpoolRecovered(at=now, **msgspec.structs.asdict(found)))
        return found

    def _assemble(self, opened: Opened, worker: Worker) -> None:
        """Put the parts together: the only place that knows them all."""
        disk, layout, clock, name = self._disk, self._layout, self._clock, self._journal
        self._reading = Worker("reader")
        self._drafting = Worker("drafts")
        self._room = Room(layout, disk, self._reading, floor=self._settings.free_space, clock=clock, emit=self._emit)
        self._room.ring = self._ring
        journal = Journal(layout, disk, opened.mark, name=name, segment_size=self._settings.segment_size)
        journal.resume(opened.previous, opened.trusted, opened.following)
        self._commits = commits = Commits(
            journal, opened.mark, clock=clock, finished=self._finished, faulted=self._room.faulted
        )
        commits.end = (opened.following, 0) if opened.previous < 0 else (opened.previous, opened.trusted)
        self._ledger = Ledger(self._lane_of, self._deadline_of, opened.index.last_num())
        self._plan = self._ledger.plan
        self._ledger.count(opened.used)
        self._reader = Reader(layout, disk, opened.mark)
        self._catalog = Catalog(
            opened.index,
            worker,
            self._ledger,
            self._reader,
            journal=name,
            clock=clock,
            emit=self._emit,
            end=lambda: commits.end,
            hold=self._hold,
            faulted=self._room.faulted,
        )
        self._bodies = Bodies(self._reader, self._reading, self._catalog, clock, self._emit)
        self.desk = SpoolDesk(self._catalog, self._ledger, self._room)
        self._journals = Journals(
            name,
            self._catalog,
            self._ledger,
            self._reader,
            commits,
            opened=opened,
            segment_size=self._settings.segment_size,
            reading=self._reading,
            clock=clock,
            emit=self._emit,
            has_room=self.has_room,
            others=self._others,
        )
        self._catalog.on_tick = self._journals.tick
        self._catalog.start(self._settings.index_interval, (0, 0))
        self._draft_room = DraftRoom(
            layout,
            layout.drafts,
            disk,
            self._drafting,
            self._settings.inline_size,
            self._drafting.to_loop,
            self._room.faulted,
        )

    def when_full(self, ring: Callable[[], None]) -> None:
        """See `Spool`; from `open` on."""
        self._ring = ring

    def settle(
        self, changes: Sequence[Change], reports: Sequence[tuple[Envelope, bytes]], done: Settled | None
    ) -> None:
        """See `Spool`. Works are changed at once; a work that nobody holds is left alone."""
        ledger = self._ledger
        coming = [Report(one, arrival_head(one), content, ledger.plan(one)) for one, content in reports]
        rows: list[str] = []
        kept: list[Change] = []
        for change in changes:
            row = _row(change)
            if ledger.settle(change):
                rows.append(row)
                kept.append(change)
        self._commits.add(Settling(rows, kept, coming, done))

    def release(self, works: Sequence[Work]) -> None:
        """See `Spool`. They will be leased again when they are due; nothing is written to the journal."""
        for work in works:
            self._ledger.release(work)

    async def lease(self, want: int, now: int, closed: Collection[str]) -> list[Work]:
        """See `Spool`."""
        return await self._catalog.lease(want, now, closed)

    async def lapsed(self, want: int, now: int) -> list[Work]:
        """See `Spool`; the works are leased, whatever their due time."""
        return await self._catalog.lapsed(want, now)

    async def next_due(self, closed: Collection[str]) -> int | None:
        """See `Spool`."""
        return await self._catalog.next_due(closed)

    async def body(self, stored: Stored) -> Content:
        """See `Spool`."""
        if stored.content is not None:
            return stored.content
        return await self._bodies.read(stored)

    async def flush(self) -> None:
        """See `Spool`: what was put and settled before is durable and in the index."""
        await self._commits.barrier()
        await self._catalog.sync()

    async def maintain(self) -> None:
        """See `Spool`."""
        await self._journals.maintain()

    def _hold(self, on: bool) -> None:  # noqa: FBT001  a plain callable of the catalog
        self._commits.hold(on=on)
        if not on:
            self._journals.look()

    # -- journals of other processes -------------------------------------------------------------

    def follow(self, admit: Done) -> None:
        """Once open: begin to give `admit` what others accept."""
        self._journals.follow(admit)

    def look(self) -> None:
        """Another process has accepted something."""
        self._journals.look()

    async def close(self) -> None:
        """See `Spool`. What cannot be written within some seconds is left to the next start: it is tried again."""
        if self._closed:
            return
        self._closed = True
        self._journals.stop()
        self._room.stop()
        self._catalog.stop()
        try:
            async with asyncio.timeout(CLOSE_WITHIN):
                await self._commits.barrier()
                await self._catalog.sync()
        except (TimeoutError, SpoolError) as error:
            self._emit(SpoolFaulted(at=self._clock.now(), reason=f"closed in haste: {error}"))
        self._commits.stop()
        self._drafting.stop()
        self._reading.stop()
        await self._catalog.close()
        self._lock.release()

    def _finished(self, parcel: Parcel, places: Sequence[Place]) -> None:
        """A parcel is durable."""
        if type(parcel) is Arriving:
            envelope, file = parcel.envelope, parcel.file
            content: Content = parcel.content
            if file is not None:
                content = StoredFile(self._disk, self._reading, self._layout.file(envelope.id), file.size)
            stored = Stored(envelope, places[0], content, len(envelope.recipients))
            works = self._ledger.arrive(stored, parcel.plan, file)
            self._catalog.watch()
            parcel.done(stored, works)
        elif type(parcel) is Settling:
            ledger = self._ledger
            entered: list[tuple[Stored, list[Work]]] = []
            for report, place in zip(parcel.reports, places, strict=True):
                stored = Stored(report.envelope, place, report.content, len(report.envelope.recipients))
                entered.append((stored, ledger.arrive(stored, report.plan)))
            for change in parcel.changes:
                ledger.settled(change)
            while ledger.finished_files:
                self._remove_file(ledger.finished_files.pop())
            if parcel.done is not None:
                parcel.done(entered)
        elif type(parcel) is Copying:
            parcel.done(list(places))


def _row(change: Change) -> str:
    """`change` as JSON for an OUTCOMES frame."""
    work, status = change.work, change.status
    envelope = work.stored.envelope
    if status >= FINAL and len(envelope.recipients) == 1:
        return final_row(envelope.id, work.index, status)
    if not change.reply.isascii():
        change.reply = change.reply.encode("utf-8", "backslashreplace").decode()
    lane = change.lane or (work.lane if work.moved else "")
    values = (
        change.due,
        change.deadline,
        change.attempts,
        change.warned,
        change.reply,
        lane,
        change.trail or work.trail,
    )
    return encode_json(Row(envelope.id, work.index, int(status), *values)).decode()
