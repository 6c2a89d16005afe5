"""The spool of a process that only takes mail in: its own journal, no index.

Another process has the index: it reads this journal up to where we say that it is durable (`reached`), before anybody
gets a 250, and delivers. Each life begins with a new segment, so nothing of an earlier one, which may have been killed
in the middle of a write, is written again; to say so is the first thing that it does.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from postroad.model.envelope import Envelope
from postroad.model.errors import SpoolError
from postroad.model.records import Emit, SpoolFaulted
from postroad.model.work import Place, Stored
from postroad.spool.clock import Clock
from postroad.spool.commit import Commits
from postroad.spool.disk import Disk
from postroad.spool.draft import DraftRoom
from postroad.spool.inlet import Inlet
from postroad.spool.journal import Journal
from postroad.spool.layout import END, Layout, ensure_mark
from postroad.spool.ledger import Plan
from postroad.spool.parcels import Arriving, Copying, Parcel
from postroad.spool.recover import sweep
from postroad.spool.room import Room
from postroad.spool.settings import SpoolSettings
from postroad.spool.worker import Worker

CLOSE_WITHIN: Final = 5.0
_PLAN: Final = Plan([], 0)  # who has the index works it out


class EdgeSpool(Inlet):
    """One journal of a spool that several processes share."""

    def __init__(  # noqa: PLR0913  the composition root passes the parts by name
        self,
        folder: Path,
        settings: SpoolSettings,
        *,
        clock: Clock,
        emit: Emit,
        journal: str,
        reached: Callable[[int, int], None],
        others_have_room: Callable[[], bool],
        disk: Disk | None = None,
    ) -> None:
        """`reached` gets segment and offset; `others_have_room` tells whether the one with the index takes mail."""
        self._layout = Layout(folder)
        self._settings = settings
        self._clock = clock
        self._emit = emit
        self._name = journal
        self._reached = reached
        self._others_have_room = others_have_room
        self._disk = disk or Disk()
        self._drafts = 0
        self._plan = _no_plan
        self._closed = True

    async def open(self) -> None:
        """Begin another life of this journal; SpoolError when that cannot be. Nobody else may have it open."""
        disk, layout = self._disk, self._layout
        drafts = layout.drafts / self._name
        try:
            layout.make(disk, self._name)
            disk.make_folder(drafts)
            mark = ensure_mark(layout, disk)
            sweep(disk, drafts)
            last = max(layout.segment_numbers(self._name), default=0)
        except OSError as error:
            raise SpoolError(f"the spool {layout.folder} cannot be opened: {error}") from error
        self._loop = asyncio.get_running_loop()
        self._drafting, self._watching = Worker("drafts"), Worker("room")
        floor, clock = self._settings.free_space, self._clock
        self._room = Room(layout, disk, self._watching, floor=floor, clock=clock, emit=self._emit, is_leading=False)
        self._journal = Journal(layout, disk, mark, name=self._name, segment_size=self._settings.segment_size)
        self._journal.resume(-1, 0, last + 1)
        self._commits = Commits(self._journal, mark, clock=clock, finished=self._finished, faulted=self._room.faulted)
        self._commits.end = (last, END)
        self._commits.reached = self._reached
        self._reached(last, END)
        self._draft_room = DraftRoom(
            layout,
            drafts,
            disk,
            self._drafting,
            self._settings.inline_size,
            self._drafting.to_loop,
            self._room.faulted,
        )
        await self._room.start()
        self._closed = False

    def has_room(self) -> bool:
        """See `Spool`."""
        return self._room.has_room and self._others_have_room()

    def end_segment(self, number: int) -> None:
        """Go on in another segment if `number` is the open one: it has nothing more that anybody waits for."""
        if self._journal.number == number and self._commits.end_segment():
            self._over(number)

    async def close(self) -> None:
        """Finish what is under way and let go."""
        if self._closed:
            return
        self._closed = True
        self._room.stop()
        try:
            async with asyncio.timeout(CLOSE_WITHIN):
                await self._commits.barrier()
        except (TimeoutError, SpoolError) as error:
            self._emit(SpoolFaulted(at=self._clock.now(), reason=f"closed in haste: {error}"))
        number = self._commits.end[0]
        self._commits.stop()
        self._over(number)
        self._drafting.stop()
        self._watching.stop()

    def _over(self, number: int) -> None:
        self._commits.end = (number, END)
        self._reached(number, END)

    def _finished(self, parcel: Parcel, places: Sequence[Place]) -> None:
        """A parcel is durable."""
        if type(parcel) is Arriving:
            envelope = parcel.envelope
            parcel.done(Stored(envelope, places[0], None, len(envelope.recipients)), [])
        elif type(parcel) is Copying:
            parcel.done(list(places))


def _no_plan(_: Envelope) -> Plan:
    return _PLAN
