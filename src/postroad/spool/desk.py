"""What operators ask of a spool that is open: what waits, and works to act upon.

Questions see everything that was put and settled before: what waits in memory is entered into the index first. A
claim leases recipients that nobody holds, due or not, held or pending; like any lease it ends by `settle` or
`release`. Everything here is called on the event loop.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import apsw

from postroad.model.errors import SpoolError
from postroad.model.work import Work
from postroad.spool.catalog import Catalog
from postroad.spool.filters import Query
from postroad.spool.ledger import Ledger
from postroad.spool.listing import (
    Count,
    Listed,
    Selected,
    Shape,
    Stats,
    count_all,
    count_found,
    find_message,
    find_messages,
    select_recipients,
    shape,
)
from postroad.spool.room import Room

T = TypeVar("T")


class SpoolDesk:
    """The operators' door of one embedded spool."""

    def __init__(self, catalog: Catalog, ledger: Ledger, room: Room) -> None:
        """The parts of the spool that know what waits."""
        self._catalog = catalog
        self._ledger = ledger
        self._room = room

    async def find(self, query: Query) -> list[Listed]:
        """The messages that `query` asks for."""
        return await self._ask(lambda db: find_messages(db, query))

    async def message(self, queue_id: str) -> Listed | None:
        """One message; None when it is not here."""
        return await self._ask(lambda db: find_message(db, queue_id))

    async def count(self, query: Query) -> Count:
        """How much `query` asks for."""
        return await self._ask(lambda db: count_found(db, query))

    async def select(self, query: Query, after: tuple[int, int], limit: int) -> list[Selected]:
        """At most `limit` recipients that `query` asks for, behind `after`, which is (number, index)."""
        return await self._ask(lambda db: select_recipients(db, query, after, limit))

    async def stats(self) -> Stats:
        """How much waits, in all and by state."""
        return await self._ask(count_all)

    async def shape(self, query: Query, by: str) -> Shape:
        """How many recipients `query` asks for by one of `GROUPS`, and by age."""
        return await self._ask(lambda db: shape(db, query, by))

    def free(self) -> int:
        """Free octets of the disk, as of the last second."""
        return self._room.free

    def totals(self) -> tuple[int, int]:
        """Messages and octets of the journal that wait, at no cost."""
        return sum(live.messages for live in self._ledger.live.values()), self._ledger.octets

    def in_memory(self, queue_id: str) -> list[Work]:
        """The works of a message that somebody holds."""
        held = self._ledger.find(queue_id)
        return [] if held is None else list(held.works.values())

    async def claim(self, wanted: Sequence[tuple[str, int]]) -> list[Work]:
        """Lease those of `wanted` (queue id, recipient; -1: all of them) that nobody holds."""
        return await self._catalog.claim(wanted)

    def release(self, works: Sequence[Work]) -> None:
        """Let go of works as they are."""
        for work in works:
            self._ledger.release(work)

    async def _ask(self, question: Callable[[apsw.Connection], T]) -> T:
        await self._catalog.sync()
        try:
            return await self._catalog.worker.call(lambda: question(self._catalog.index.db))
        except apsw.Error as error:
            self._catalog.fault(error)
            raise SpoolError(f"the index cannot be read: {error}") from error
