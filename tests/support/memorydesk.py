"""The operators' door of a spool in memory: what an order needs of it, with filters by id, domain and status."""

import asyncio
from collections.abc import Sequence

from postroad.model.work import Work
from postroad.spool.filters import Query
from postroad.spool.listing import Count, Selected
from tests.support.memoryspool import Entry, MemorySpool, Row


class MemoryDesk:
    """Implements `postroad.queue.operator.Waiting`; a message's number is its queue id's place among all ids."""

    def __init__(self, spool: MemorySpool) -> None:
        self._spool = spool
        self._numbers: dict[str, int] = {}

    async def count(self, query: Query) -> Count:
        """How much `query` asks for."""
        found = await self.select(query, (0, -1), 1 << 30)
        return Count(len({one.id for one in found}), len(found))

    async def select(self, query: Query, after: tuple[int, int], limit: int) -> list[Selected]:
        """As in the contract."""
        await asyncio.sleep(0)
        found = [
            Selected(self._number(entry), row.index, entry.envelope.id)
            for entry, row in self._spool.open_rows()
            if _is_asked(query, entry, row)
        ]
        return sorted(one for one in found if (one.num, one.idx) > after)[:limit]

    def in_memory(self, queue_id: str) -> list[Work]:
        """As in the contract."""
        return self._spool.held(queue_id)

    async def claim(self, wanted: Sequence[tuple[str, int]]) -> list[Work]:
        """As in the contract."""
        await asyncio.sleep(0)
        return self._spool.claim(wanted)

    def release(self, works: Sequence[Work]) -> None:
        """As in the contract."""
        self._spool.release(works)

    def _number(self, entry: Entry) -> int:
        return self._numbers.setdefault(entry.envelope.id, len(self._numbers) + 1)


def _is_asked(query: Query, entry: Entry, row: Row) -> bool:
    domain = entry.envelope.recipients[row.index].address.domain
    return (
        (not query.ids or entry.envelope.id in query.ids)
        and (not query.domain or query.domain == domain)
        and (query.status is None or query.status is row.status)
    )
