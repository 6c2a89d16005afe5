"""The way of accepted mail into a journal: drafts, puts, files for large content. The same for every process.

What a message is worth to its process (lanes, an index) is not known here: `_plan` tells what is worked out before
it is promised, `_finished` hears when it is durable.
"""

import asyncio
import contextlib
from collections.abc import Callable

from postroad.model.envelope import Envelope
from postroad.model.errors import SpoolError
from postroad.model.work import Stored, Work
from postroad.spool.commit import Commits
from postroad.spool.disk import Disk
from postroad.spool.draft import Draft, DraftRoom
from postroad.spool.frames import FileRef
from postroad.spool.layout import Layout
from postroad.spool.ledger import Plan
from postroad.spool.parcels import Arriving, arrival_head
from postroad.spool.room import Room
from postroad.spool.worker import Worker

Done = Callable[[Stored, list[Work]], None]


class Inlet:
    """What the spools of all processes have in common; who inherits sets the parts while it opens."""

    _layout: Layout
    _disk: Disk
    _loop: asyncio.AbstractEventLoop
    _commits: Commits
    _draft_room: DraftRoom
    _drafting: Worker
    _room: Room
    _plan: Callable[[Envelope], Plan]
    _drafts: int

    def has_room(self) -> bool:
        """See `Spool`; the answer is kept up to date by the second, so asking costs nothing."""
        return self._room.has_room

    def measure(self, measured: Callable[[float, int], None]) -> None:
        """Once open: tell `measured` how long each batch took to be durable, and of how many entries it was."""
        self._commits.measured = measured

    def draft(self, on_drain: Callable[[], None]) -> Draft:
        """See `Spool`."""
        self._drafts += 1
        return Draft(self._draft_room, self._drafts, on_drain)

    def expect(self, change: int) -> None:
        """See `Spool`."""
        self._commits.expected += change

    def put(self, envelope: Envelope, content: bytes | Draft, done: Done, failed: Callable[[SpoolError], None]) -> None:
        """See `Spool`. Messages of one batch are answered in order; one in a file joins when its file is durable."""
        plan = self._plan(envelope)
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
            plan = self._plan(envelope)
            self._commits.add(Arriving(envelope, head, b"", plan, done, refused, found))

        draft.finish(envelope.id, stored)

    def _remove_file(self, queue_id: str) -> None:
        path = self._layout.file(queue_id)

        def job() -> None:
            with contextlib.suppress(OSError):  # the next start removes it
                self._disk.unlink(path)

        self._drafting.submit(job)
