"""A spool in memory: the courier's part of the contract, with a strict eye on leases.

Durable is what `restart` keeps. Puts and settlements become durable one turn of the event loop later, or when
`stuck` is set back to False. A lease ends when a final decision is durable, or by release. Giving work back twice,
without holding it, or while a decision about it is on its way is an assertion failure.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence

from msgspec import Struct

from postroad.model.content import Content
from postroad.model.envelope import Envelope, Recipient
from postroad.model.errors import DamagedError, SpoolError
from postroad.model.work import Change, Place, Status, Stored, Work

Done = Callable[[list[tuple[Stored, list[Work]]]], None]


class Row(Struct):
    """One recipient as the index has it."""

    index: int
    lane: str
    due: int
    deadline: int
    attempts: int = 0
    warned: bool = False
    reply: str = ""
    status: Status = Status.PENDING
    trail: str = ""


class Entry(Struct):
    """One message."""

    envelope: Envelope
    content: bytes
    rows: list[Row]


class LargeContent:
    """Content as the spool gives it when it is not held in memory; implements `ContentFile`."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    @property
    def size(self) -> int:
        """Octets in all."""
        return len(self._octets)

    async def read(self, offset: int, length: int) -> bytes:
        """The octets from `offset`, after a turn of the loop."""
        await asyncio.sleep(0)
        return self._octets[offset : offset + length]


class MemorySpool:
    """Implements what the dispatcher asks of a spool, and `put`."""

    def __init__(
        self, lane_of: Callable[[Envelope, Recipient], str], deadline_of: Callable[[Envelope], int], inline: int = 65536
    ) -> None:
        self._lane_of = lane_of
        self._deadline_of = deadline_of
        self._inline = inline
        self._entries: dict[str, Entry] = {}
        self._stored: dict[str, Stored] = {}  # messages with leased work, shared by it
        self._leased: dict[tuple[str, int], Work] = {}
        self._settling: set[tuple[str, int]] = set()
        self._pending: deque[Callable[[], None]] = deque()
        self._stuck = False
        self.damaged: set[str] = set()
        self.unread: set[str] = set()  # cannot be read now
        self.leases = 0
        self.bodies = 0
        self.maintained = 0
        self.room = True
        self.full: Callable[[], None] | None = None  # to be called when there is no room any more

    def restart(self) -> "MemorySpool":
        """The spool after a crash: what was durable, and nothing leased."""
        new = MemorySpool(self._lane_of, self._deadline_of, self._inline)
        new._entries = self._entries
        return new

    @property
    def stuck(self) -> bool:
        """True while nothing becomes durable."""
        return self._stuck

    @stuck.setter
    def stuck(self, value: bool) -> None:
        self._stuck = value
        if not value:
            self._soon()

    @property
    def leased(self) -> int:
        """Recipients that somebody holds."""
        return len(self._leased)

    def rows(self) -> dict[tuple[str, str], Row]:
        """Every recipient that is not final, by queue id and address."""
        return {
            (entry.envelope.id, entry.envelope.recipients[row.index].address.text): row
            for entry in self._entries.values()
            for row in entry.rows
            if not row.status.is_final
        }

    def open_rows(self) -> list[tuple[Entry, Row]]:
        """Every recipient that is not final."""
        return [(entry, row) for entry in self._entries.values() for row in entry.rows if not row.status.is_final]

    def held(self, queue_id: str) -> list[Work]:
        """The works of a message that somebody holds."""
        return [work for key, work in self._leased.items() if key[0] == queue_id]

    def claim(self, wanted: Sequence[tuple[str, int]]) -> list[Work]:
        """Lease those of `wanted` that nobody holds, whatever their status."""
        return [
            self._lease(entry, row)
            for entry, row in self.open_rows()
            if (entry.envelope.id, row.index) in wanted and (entry.envelope.id, row.index) not in self._leased
        ]

    def put(self, envelope: Envelope, content: bytes, done: Callable[[Stored, list[Work]], None]) -> None:
        """Take a message in; `done` gets it leased once it is durable."""
        self._pending.append(lambda: done(*self._insert(envelope, content)))
        self._soon()

    def settle(self, changes: Sequence[Change], reports: Sequence[tuple[Envelope, bytes]], done: Done | None) -> None:
        """As in the contract."""
        kept = [self._apply(change) for change in changes]

        def commit() -> None:
            made = [self._insert(envelope, content) for envelope, content in reports]
            for entry, row, change in kept:
                row.status = change.status
                if not change.status.is_final:
                    row.due, row.deadline = change.due, change.deadline
                    row.attempts, row.warned, row.reply = change.attempts, change.warned, change.reply
                    row.lane, row.trail = change.lane or row.lane, change.trail or row.trail
                self._settling -= {(entry.envelope.id, row.index)}
                if change.status.is_final:
                    self._give_back(entry.envelope.id, row.index)
                if all(other.status.is_final for other in entry.rows):
                    self._entries.pop(entry.envelope.id, None)
            if done is not None:
                done(made)

        self._pending.append(commit)
        self._soon()

    def release(self, works: Sequence[Work]) -> None:
        """As in the contract."""
        for work in works:
            row = self._row(work)
            assert (work.stored.id, work.index) not in self._settling, "released before its decision is durable"
            row.due, row.reply = work.due, work.reply
            self._give_back(work.stored.id, work.index)

    async def lease(self, want: int, now: int, closed: Collection[str]) -> list[Work]:
        """As in the contract: round the lanes, the oldest of each first."""
        await asyncio.sleep(0)
        self.leases += 1
        lanes: dict[str, deque[tuple[Entry, Row]]] = {}
        for entry, row in sorted(self._waiting(), key=lambda pair: pair[1].due):
            if row.due <= now and row.lane not in closed:
                lanes.setdefault(row.lane, deque()).append((entry, row))
        found: list[Work] = []
        while lanes and len(found) < want:
            for name in list(lanes):
                if len(found) < want:
                    found.append(self._lease(*lanes[name].popleft()))
                if not lanes[name]:
                    del lanes[name]
        return found

    async def lapsed(self, want: int, now: int) -> list[Work]:
        """As in the contract."""
        await asyncio.sleep(0)
        late = [(entry, row) for entry, row in self._waiting() if row.deadline <= now]
        return [self._lease(entry, row) for entry, row in late[:want]]

    async def next_due(self, closed: Collection[str]) -> int | None:
        """As in the contract."""
        await asyncio.sleep(0)
        return min((row.due for _, row in self._waiting() if row.lane not in closed), default=None)

    async def body(self, stored: Stored) -> Content:
        """As in the contract."""
        await asyncio.sleep(0)
        self.bodies += 1
        if stored.id in self.damaged:
            raise DamagedError("the content's checksum is wrong")
        if stored.id in self.unread:
            raise SpoolError("too many open files")
        content = self._entries[stored.id].content
        return content if len(content) <= self._inline else LargeContent(content)

    async def maintain(self) -> None:
        """Nothing to do but count."""
        await asyncio.sleep(0)
        self.maintained += 1

    def has_room(self) -> bool:
        """What `room` says."""
        return self.room

    def when_full(self, ring: Callable[[], None]) -> None:
        """Keep it for the test."""
        self.full = ring

    def _soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._commit)

    def _commit(self) -> None:
        while self._pending and not self._stuck:
            self._pending.popleft()()

    def _insert(self, envelope: Envelope, content: bytes) -> tuple[Stored, list[Work]]:
        deadline = self._deadline_of(envelope)
        rows = [
            Row(index, self._lane_of(envelope, recipient), envelope.arrived, deadline)
            for index, recipient in enumerate(envelope.recipients)
        ]
        assert envelope.id not in self._entries
        entry = self._entries[envelope.id] = Entry(envelope, content, rows)
        works = [self._lease(entry, row) for row in rows]
        stored = works[0].stored
        stored.content = content if len(content) <= self._inline else LargeContent(content)
        return stored, works

    def _waiting(self) -> list[tuple[Entry, Row]]:
        return [
            (entry, row)
            for entry in self._entries.values()
            for row in entry.rows
            if row.status is Status.PENDING and (entry.envelope.id, row.index) not in self._leased
        ]

    def _lease(self, entry: Entry, row: Row) -> Work:
        key = (entry.envelope.id, row.index)
        assert key not in self._leased
        stored = self._stored.get(entry.envelope.id)
        if stored is None:
            alive = sum(not other.status.is_final for other in entry.rows)
            stored = Stored(entry.envelope, Place("memory", 0, 0, 0), None, alive)
            self._stored[entry.envelope.id] = stored
        work = Work(stored, row.index, row.lane, row.due, row.deadline, row.attempts, row.warned, row.reply)
        work.trail, work.status = row.trail, row.status
        self._leased[key] = work
        return work

    def _row(self, work: Work) -> Row:
        assert (work.stored.id, work.index) in self._leased, f"{work.stored.id}/{work.index} is not leased"
        return self._entries[work.stored.id].rows[work.index]

    def _apply(self, change: Change) -> tuple[Entry, Row, Change]:
        work = change.work
        row = self._row(work)
        assert not work.status.is_final
        self._settling.add((work.stored.id, work.index))
        work.status = change.status
        work.attempts, work.reply = change.attempts, change.reply
        work.lane, work.trail = change.lane or work.lane, change.trail or work.trail
        if change.status.is_final:
            work.stored.open -= 1
        else:
            work.due, work.deadline, work.warned = change.due, change.deadline, change.warned
        return self._entries[work.stored.id], row, change

    def _give_back(self, queue_id: str, index: int) -> None:
        del self._leased[queue_id, index]
        if not any(key[0] == queue_id for key in self._leased):
            self._stored.pop(queue_id, None)
