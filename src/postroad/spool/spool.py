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
import contextlib
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
from postroad.spool.commit import Arriving, Commits, Copying, Parcel, Report, Settling, arrival_head
from postroad.spool.desk import SpoolDesk
from postroad.spool.disk import Disk
from postroad.spool.draft import Draft, DraftRoom, StoredFile
from postroad.spool.frames import FileRef, Row, encode_json, final_row
from postroad.spool.journal import Journal
from postroad.spool.layout import Layout, Lock
from postroad.spool.ledger import FINAL, DeadlineOf, LaneOf, Ledger
from postroad.spool.maintain import Maintenance
from postroad.spool.reading import Reader
from postroad.spool.recover import Opened, Recovered, Recovery
from postroad.spool.room import Room
from postroad.spool.settings import SpoolSettings
from postroad.spool.worker import Worker

CLOSE_WITHIN: Final = 5.0

Done = Callable[[Stored, list[Work]], None]
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


class EmbeddedSpool:
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
        journal: str = "main",
        disk: Disk | None = None,
    ) -> None:
        """Nothing is touched before `open`. `lane_of` and `deadline_of` must not raise."""
        self._layout = Layout(folder)
        self._settings = settings
        self._clock = clock
        self._emit = emit
        self._lane_of = lane_of
        self._deadline_of = deadline_of
        self._journal = journal
        self._disk = disk or Disk()
        self._drafts = 0
        self._closed = True
        self._ring: Callable[[], None] | None = None

    async def open(self) -> Recovered:
        """Lock the folder, recover what is there, start the threads; SpoolError when that cannot be."""
        began = self._clock.monotonic()
        disk, layout = self._disk, self._layout
        try:
            disk.make_folder(layout.folder)
            self._lock = Lock(layout.folder)
        except OSError as error:
            raise SpoolError(f"the spool {layout.folder} cannot be opened: {error}") from error
        self._loop = asyncio.get_running_loop()
        worker = Worker("index")
        recovery = Recovery(layout, disk, self._journal, self._clock.now)
        recovery.lane_of, recovery.deadline_of = self._lane_of, self._deadline_of
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
            hold=lambda on: commits.hold(on=on),
            faulted=self._room.faulted,
        )
        self._bodies = Bodies(self._reader, self._reading, self._catalog, clock, self._emit)
        self.desk = SpoolDesk(self._catalog, self._ledger, self._room)
        self._maintenance = Maintenance(
            self._catalog,
            self._ledger,
            self._reader,
            journal=name,
            segment_size=self._settings.segment_size,
            clock=clock,
            emit=self._emit,
            add=commits.add,
            end=lambda: commits.end,
            has_room=self.has_room,
        )
        self._maintenance.start(min((number for key, number in opened.sizes if key == name), default=opened.following))
        self._catalog.on_tick = self._maintenance.drop_dead
        self._catalog.start(self._settings.index_interval, (0, 0))
        self._draft_room = DraftRoom(
            layout, disk, self._drafting, self._settings.inline_size, self._drafting.to_loop, self._room.faulted
        )

    def measure(self, measured: Callable[[float, int], None]) -> None:
        """Once open: tell `measured` how long each batch took to be durable, and of how many entries it was."""
        self._commits.measured = measured

    def has_room(self) -> bool:
        """See `Spool`; the answer is kept up to date by the second, so asking costs nothing."""
        return self._room.has_room

    def when_full(self, ring: Callable[[], None]) -> None:
        """See `Spool`; from `open` on."""
        self._ring = ring

    def draft(self, on_drain: Callable[[], None]) -> Draft:
        """See `Spool`."""
        self._drafts += 1
        return Draft(self._draft_room, self._drafts, on_drain)

    def expect(self, change: int) -> None:
        """See `Spool`."""
        self._commits.expected += change

    def put(self, envelope: Envelope, content: bytes | Draft, done: Done, failed: Callable[[SpoolError], None]) -> None:
        """See `Spool`. Messages of one batch are answered in order; one in a file joins when its file is durable."""
        plan = self._ledger.plan(envelope)
        body: bytes | None
        if isinstance(content, Draft):
            body = content.in_memory
            if body is None:
                self._put_file(envelope, content, done, failed)
                return
            content.discard()
        else:
            body = content
        try:
            head = arrival_head(envelope)
        except UnicodeEncodeError as error:
            self._loop.call_soon(failed, SpoolError(f"the envelope cannot be written as UTF-8: {error}"))
            return
        self._commits.add(Arriving(envelope, head, body, plan, done, failed))

    def _put_file(self, envelope: Envelope, draft: Draft, done: Done, failed: Callable[[SpoolError], None]) -> None:
        def refused(error: SpoolError) -> None:
            self._remove_file(envelope.id)
            failed(error)

        def stored(found: FileRef | SpoolError) -> None:
            if isinstance(found, SpoolError):
                failed(found)
                return
            try:
                head = arrival_head(envelope, found)
            except UnicodeEncodeError as error:
                refused(SpoolError(f"the envelope cannot be written as UTF-8: {error}"))
                return
            plan = self._ledger.plan(envelope)
            self._commits.add(Arriving(envelope, head, b"", plan, done, refused, found))

        draft.finish(envelope.id, stored)

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
        await self._maintenance.run()

    async def close(self) -> None:
        """See `Spool`. What cannot be written within some seconds is left to the next start: it is tried again."""
        if self._closed:
            return
        self._closed = True
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

    def _remove_file(self, queue_id: str) -> None:
        path = self._layout.file(queue_id)

        def job() -> None:
            with contextlib.suppress(OSError):  # the next start removes it
                self._disk.unlink(path)

        self._drafting.submit(job)


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
