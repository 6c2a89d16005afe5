"""A `MemorySpool` that finds what is due among hundreds of thousands of recipients without looking at all of them.

Recipients that nobody holds stand in one heap a lane by their due time, and in one heap by their deadline. An entry
of a heap that does not say what its row says any more is passed over.
"""

from collections import deque
from collections.abc import Callable, Collection
from heapq import heappop, heappush
from itertools import count

from postroad.model.envelope import Envelope, Recipient
from postroad.model.work import Status, Work
from tests.support.memoryspool import Entry, MemorySpool, Row

Heap = list[tuple[int, int, Entry, Row]]


class LargeSpool(MemorySpool):
    """Implements the same as `MemorySpool`."""

    def __init__(
        self, lane_of: Callable[[Envelope, Recipient], str], deadline_of: Callable[[Envelope], int], inline: int = 65536
    ) -> None:
        super().__init__(lane_of, deadline_of, inline)
        self._lanes: dict[str, Heap] = {}
        self._deadlines: Heap = []
        self._ticket = count()

    def restart(self) -> "LargeSpool":
        """As in `MemorySpool`."""
        new = LargeSpool(self._lane_of, self._deadline_of, self._inline)
        new._entries = self._entries
        for entry in new._entries.values():
            for row in entry.rows:
                new._wait(entry, row)
        return new

    async def lease(self, want: int, now: int, closed: Collection[str]) -> list[Work]:
        """Round the lanes, the oldest of each first."""
        self.leases += 1
        found: list[Work] = []
        open_lanes = deque(name for name in self._lanes if name not in closed)
        while open_lanes and len(found) < want:
            name = open_lanes.popleft()
            first = self._first(self._lanes[name])
            if first is not None and first[0] <= now:
                heappop(self._lanes[name])
                found.append(self._lease(first[2], first[3]))
                open_lanes.append(name)
        return found

    async def lapsed(self, want: int, now: int) -> list[Work]:
        """The ones whose deadline has come."""
        found: list[Work] = []
        heap = self._deadlines
        while heap and heap[0][0] <= now and len(found) < want:
            deadline, _, entry, row = heappop(heap)
            if row.deadline == deadline and self._is_waiting(entry, row):
                found.append(self._lease(entry, row))
        return found

    async def next_due(self, closed: Collection[str]) -> int | None:
        """The due time of the first."""
        firsts = (self._first(heap) for name, heap in self._lanes.items() if name not in closed)
        return min((first[0] for first in firsts if first is not None), default=None)

    def _give_back(self, queue_id: str, index: int) -> None:
        super()._give_back(queue_id, index)
        entry = self._entries.get(queue_id)
        if entry is not None:
            self._wait(entry, entry.rows[index])

    def _wait(self, entry: Entry, row: Row) -> None:
        if row.status is Status.PENDING:
            heappush(self._lanes.setdefault(row.lane, []), (row.due, next(self._ticket), entry, row))
            heappush(self._deadlines, (row.deadline, next(self._ticket), entry, row))

    def _first(self, heap: Heap) -> tuple[int, int, Entry, Row] | None:
        while heap:
            due, _, entry, row = heap[0]
            if row.due == due and self._is_waiting(entry, row):
                return heap[0]
            heappop(heap)
        return None

    def _is_waiting(self, entry: Entry, row: Row) -> bool:
        return row.status is Status.PENDING and (entry.envelope.id, row.index) not in self._leased
