"""What the spool knows of in memory: messages with leased works, and changes the index has not seen yet.

A message is *fresh* until it is entered into the index; one that is settled before its grace is over never
gets there. Everything here happens on the event loop and only after the journal is durable, but for leases,
which live in memory alone. Live counters per segment tell when a segment may go.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec import Struct

from postroad.model.envelope import Envelope, Recipient
from postroad.model.work import Change, Place, Status, Stored, Work
from postroad.spool.frames import FileRef, State
from postroad.spool.leases import LeasedRow, SegmentUse
from postroad.spool.ops import Ops, Position, RecipientRow, Update, message_row, new_ops

FINAL: Final = (
    Status.DELIVERED
)  # the first of the final states; a global, because members of an Enum are slow to look up
GRACE: Final = 2  # ticks of the index interval that a message may stay out of the index

LaneOf = Callable[[Envelope, Recipient], str]
DeadlineOf = Callable[[Envelope], int]


class Held(Struct, gc=False):
    """A message in memory: its leased works by index, and how many recipients are not durably final.

    `settling` counts decisions on their way to the disk. While it is fresh, `released` are the works the index is
    to have, `ended` those that are final already.
    """

    num: int
    stored: Stored
    works: dict[int, Work]
    remaining: int
    tick: int
    file: FileRef | None = None
    is_fresh: bool = True
    settling: int = 0
    released: dict[int, Work] | None = None
    ended: list[Work] | None = None


class Live(Struct, gc=False):
    """Live messages of one segment and their octets."""

    messages: int = 0
    octets: int = 0


class Plan(Struct, gc=False):
    """What is worked out about a message before it is promised: its recipients' lanes, its first deadline."""

    lanes: list[str]
    deadline: int


class Leasing(Struct, gc=False):
    """A lease under way: what happened meanwhile, by message number, which its answer does not know."""

    ended: dict[int, int]  # recipients that became final
    moved: dict[int, Place]


class Ledger:
    """The registry of held messages and the collector of changes for the index."""

    def __init__(self, lane_of: LaneOf, deadline_of: DeadlineOf, last_num: int) -> None:
        """Begin empty; numbers of messages continue after `last_num`."""
        self._lane_of = lane_of
        self._deadline_of = deadline_of
        self._num = last_num
        self._tick = 0
        self._held: dict[str, Held] = {}
        self._fresh: dict[str, Held] = {}
        self._ops = new_ops()
        self._has_released = False
        self._last_journal = ""  # the segment that was counted last, as most are counted in one
        self._last_segment = -1
        self._last_live = Live()
        self.live: dict[tuple[str, int], Live] = {}
        self.octets = 0  # of all live frames
        self.leasing: Leasing | None = None
        self.touched: set[int] | None = None  # numbers changed since compaction looked
        self.finished_files: list[str] = []  # content files that nobody needs any more
        self._cut: Callable[[], tuple[Position, ...]] | None = None
        self._cuts: dict[int, tuple[Position, ...]] = {}

    @property
    def fresh(self) -> int:
        """Messages that the index does not have yet."""
        return len(self._fresh)

    def count(self, used: Iterable[SegmentUse]) -> None:
        """Take over the index's counts at start."""
        for use in used:
            self.live[use.journal, use.number] = Live(use.messages, use.octets)
            self.octets += use.octets

    def find(self, queue_id: str) -> Held | None:
        """The held message with this id."""
        return self._held.get(queue_id)

    # Messages come in

    def plan(self, envelope: Envelope) -> Plan:
        """Where the recipients of a message that is coming in will wait."""
        lane_of = self._lane_of
        return Plan([lane_of(envelope, recipient) for recipient in envelope.recipients], self._deadline_of(envelope))

    def arrive(self, stored: Stored, plan: Plan, file: FileRef | None = None) -> list[Work]:
        """A message is durable: hold it, with a leased work for each recipient."""
        envelope, place = stored.envelope, stored.place
        due, deadline = envelope.arrived, plan.deadline
        lanes = plan.lanes
        if len(lanes) == 1:
            works = [Work(stored, 0, lanes[0], due, deadline)]
            by_index = {0: works[0]}
        else:
            works = [Work(stored, index, lane, due, deadline) for index, lane in enumerate(lanes)]
            by_index = dict(enumerate(works))
        self._num = num = self._num + 1
        held = Held(num, stored, by_index, len(works), self._tick, file)
        queue_id = envelope.id
        self._held[queue_id] = self._fresh[queue_id] = held
        self._alive(place)
        return works

    def take(self, row: LeasedRow, envelope: Envelope, file: FileRef | None) -> Work | None:
        """The work of a recipient that the index leased to us; None when it is here already."""
        held = self._held.get(row.id)
        if held is None:
            leasing = self.leasing or Leasing({}, {})
            place = leasing.moved.get(row.num) or row.place
            stored = Stored(envelope, place, None, row.open - leasing.ended.get(row.num, 0))
            held = Held(row.num, stored, {}, stored.open, self._tick, file, is_fresh=False)
            self._held[row.id] = held
        elif row.index in held.works:
            return None
        deadline = self._deadline_of(envelope) if row.deadline is None else row.deadline
        lane = row.lane if row.moved else self._lane_of(envelope, envelope.recipients[row.index])
        work = Work(held.stored, row.index, lane, row.due, deadline, row.attempts, bool(row.warned), row.reply)
        work.trail, work.moved = row.trail, bool(row.moved)
        if row.status:
            work.status = Status.HELD
        held.works[row.index] = work
        if lane != row.lane or row.deadline is None:
            self._update(held, work, lane=lane)  # the routes have changed since it was entered
        return work

    # Decisions

    def settle(self, change: Change) -> bool:
        """Apply `change` to its work, which is on its way to the disk; False when nobody holds that work."""
        work = change.work
        held = self._held.get(work.stored.envelope.id)
        if held is None or held.works.get(work.index) is not work or work.status >= FINAL:
            return False
        held.settling += 1
        work.status = status = change.status
        work.attempts = change.attempts
        work.reply = change.reply
        if change.trail:
            work.trail = change.trail
        if change.lane:
            work.lane, work.moved = change.lane, True
        if status >= FINAL:
            work.stored.open -= 1
        else:
            work.due = change.due
            work.deadline = change.deadline
            work.warned = change.warned
        return True

    def settled(self, change: Change) -> None:
        """`change` is durable."""
        work = change.work
        queue_id = work.stored.envelope.id
        held = self._held[queue_id]
        held.settling -= 1
        if change.trail and not held.is_fresh:
            self._ops.trails[held.num, work.index] = change.trail
        if change.status < FINAL:
            if not held.is_fresh:
                self._update(held, work)
            self._forget_if_idle(queue_id, held)
            return
        held.works.pop(work.index, None)
        held.remaining -= 1
        if held.remaining <= 0:
            self._finish(queue_id, held)
            return
        if held.is_fresh:
            if held.ended is None:
                held.ended = []
            held.ended.append(work)
        else:
            self._update(held, work)
            if self.leasing is not None:
                self.leasing.ended[held.num] = self.leasing.ended.get(held.num, 0) + 1
        self._forget_if_idle(queue_id, held)

    def release(self, work: Work) -> None:
        """Nobody holds `work` in memory any more."""
        queue_id = work.stored.envelope.id
        held = self._held.get(queue_id)
        if held is None or held.works.get(work.index) is not work or work.status >= FINAL:
            return
        del held.works[work.index]
        if held.is_fresh:
            if held.released is None:
                held.released = {}
            held.released[work.index] = work
            self._has_released = True
            if not held.works:
                held.stored.content = None  # the disk has it, and it may wait for days
            return
        self._update(held, work, leased=False, lane=work.lane)
        self._forget_if_idle(queue_id, held)

    def _update(self, held: Held, work: Work, *, leased: bool | None = None, lane: str | None = None) -> None:
        if self.touched is not None:
            self.touched.add(held.num)
        self._ops.update(
            Update(
                held.num,
                work.index,
                int(work.status),
                work.due,
                work.deadline,
                work.attempts,
                work.warned,
                work.reply,
                leased,
                work.lane if work.moved else lane,
                work.moved,
            )
        )

    def _finish(self, queue_id: str, held: Held) -> None:
        """The last recipient is final: the message is gone."""
        del self._held[queue_id]
        if held.is_fresh:
            del self._fresh[queue_id]
        else:
            self._ops.removed.append(held.num)
            if self.touched is not None:
                self.touched.add(held.num)
        if held.file is not None:
            self.finished_files.append(queue_id)
        self._dead(held.stored.place)

    def _forget_if_idle(self, queue_id: str, held: Held) -> None:
        if not held.works and not held.settling and not held.is_fresh:
            self._held.pop(queue_id, None)

    # Live counters

    def _live_of(self, place: Place) -> Live:
        if place.segment == self._last_segment and place.journal == self._last_journal:
            return self._last_live
        key = (place.journal, place.segment)
        live = self.live.get(key)
        if live is None:
            live = self.live[key] = Live()
        self._last_journal, self._last_segment, self._last_live = *key, live
        return live

    def _alive(self, place: Place) -> None:
        live = self._live_of(place)
        live.messages += 1
        live.octets += place.length
        self.octets += place.length

    def _dead(self, place: Place) -> None:
        live = self._live_of(place)
        live.messages -= 1
        live.octets -= place.length
        self.octets -= place.length

    def drop_segment(self, journal: str, number: int) -> None:
        """A segment is gone."""
        self.live.pop((journal, number), None)
        self._last_segment = -1

    # Compaction

    def states_of(self, num: int, queue_id: str, rows: Sequence[State]) -> tuple[State, ...] | None:
        """State of an indexed message now, from the index's `rows` and memory; None while it changes."""
        if self.touched is not None and num in self.touched:
            return None
        held = self._held.get(queue_id)
        if held is None:
            return tuple(rows)
        if held.settling or held.is_fresh:
            return None
        return tuple(row if (work := held.works.get(row.index)) is None else _state(work) for row in rows)

    def move(self, num: int, queue_id: str, old: Place, new: Place) -> None:
        """A copy is durable at `new`."""
        if self.leasing is not None:
            self.leasing.moved[num] = new
        held = self._held.get(queue_id)
        if held is not None:
            held.stored.place = new
        self._ops.moved[num] = new
        self._dead(old)
        self._alive(new)

    # Into the index

    def follow(self, cut: Callable[[], tuple[Position, ...]]) -> None:
        """There are several journals: `cut` tells how far each has been taken in, the own one first.

        An outcome may lie in another journal than its arrival, so the index is brought to one instant of all journals.
        """
        self._cut = cut
        self._cuts[self._tick] = cut()

    def tick(self) -> None:
        """One index interval has passed."""
        self._tick += 1
        if self._cut is not None:
            self._cuts[self._tick] = self._cut()

    def collect(self, end: tuple[int, int], journal: str, *, everything: bool = False) -> Ops:
        """All changes that the index is to apply now, and the position that this brings it to.

        Fresh messages stay out while their grace lasts, unless works of theirs were released or `everything` is asked
        for; a message whose decision is on its way to the disk always does. `end` is behind the newest durable frame.
        """
        ops, self._ops = self._ops, new_ops()
        oldest: Held | None = None
        newest_tick = self._tick - GRACE
        for queue_id, held in list(self._fresh.items()):
            if not (everything or held.tick <= newest_tick or held.released):
                if oldest is None:
                    oldest = held
                if not self._has_released:
                    break  # those behind are younger still
                continue
            if held.settling:
                oldest = oldest or held
                continue
            self._enter(ops, held)
            del self._fresh[queue_id]
            self._forget_if_idle(queue_id, held)
        self._has_released = False
        if self._cut is not None:
            ops.position, *others = self._cut() if oldest is None else self._cuts[oldest.tick]
            ops.others = tuple(others)
            first = self._tick if oldest is None else oldest.tick
            self._cuts = {tick: cut for tick, cut in self._cuts.items() if tick >= first}
        elif oldest is None:
            ops.position = Position(journal, *end)
        else:
            place = oldest.stored.place
            ops.position = Position(journal, place.segment, place.offset)
        return ops

    def _enter(self, ops: Ops, held: Held) -> None:
        stored = held.stored
        envelope, place = stored.envelope, stored.place
        num = held.num
        ops.messages.append(message_row(num, envelope, place, has_file=held.file is not None))
        rows = ops.recipients
        rows.extend(_row(num, work, leased=True) for work in held.works.values())
        if held.released is not None:
            rows.extend(_row(num, work, leased=False) for work in held.released.values())
        if held.ended is not None:
            rows.extend(_row(num, work, leased=False) for work in held.ended)
        for works in (held.works.values(), (held.released or {}).values(), held.ended or ()):
            ops.trails.update(((num, work.index), work.trail) for work in works if work.trail)
        held.is_fresh = False
        held.released = held.ended = None


def _row(num: int, work: Work, *, leased: bool) -> RecipientRow:
    return RecipientRow(
        num,
        work.index,
        work.recipient.address.text,
        work.lane,
        work.due,
        work.deadline,
        int(work.status),
        work.attempts,
        work.warned,
        work.reply,
        leased,
        work.moved,
    )


def _state(work: Work) -> State:
    values = (work.due, work.deadline, work.attempts, work.warned, work.reply)
    return State(work.index, int(work.status), *values, work.lane if work.moved else "", work.trail)
