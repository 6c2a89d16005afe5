"""From journals to index: frames in order become rows, finished mail becomes nothing.

Starts where the index ends (all of it when the index is new), so the same frame may be seen twice; every
value is absolute and the last one stands. Outcomes whose reports (DSNs) are missing before them do not count:
their messages are tried again, rather than failed without a word. Memory stays flat: messages are
entered in portions.
"""

from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import Struct

from postroad.model.envelope import Envelope, Recipient
from postroad.model.records import SpoolDamaged
from postroad.model.work import Place, Status
from postroad.spool.damage import Damage
from postroad.spool.disk import Disk
from postroad.spool.frames import FileRef, Kind, Outcomes, State, decode_arrival, decode_outcomes
from postroad.spool.index import Index
from postroad.spool.layout import END, Layout, Reach
from postroad.spool.leases import number_of, remove_finished, restore_lanes
from postroad.spool.ledger import DeadlineOf, LaneOf
from postroad.spool.ops import Ops, Position, RecipientRow, Update, message_row, new_ops
from postroad.spool.segments import Frame, Hole, Segment, list_segments, read_frames

REPORTS: Final = 10_000  # arrivals remembered until the outcomes that they may belong to
PORTION: Final = 5000  # messages kept back before they are entered, as most end soon after they arrive


class Waiting(Struct):
    """A message found, not yet in the index; `damage` tells why it must be held."""

    num: int
    place: Place
    envelope: Envelope
    file: FileRef | None
    states: dict[int, State]
    damage: str = ""

    @property
    def is_finished(self) -> bool:
        """True when no recipient is open."""
        count = len(self.envelope.recipients)
        return len(self.states) == count and all(state.status >= Status.DELIVERED for state in self.states.values())


class Replay:
    """One pass over the journals into `index`."""

    def __init__(self, layout: Layout, disk: Disk, mark: bytes, index: Index, damage: Damage) -> None:
        """Nothing is read yet."""
        self._layout = layout
        self._disk = disk
        self._mark = mark
        self._index = index
        self._damage = damage
        self._is_new = index.last_num() == 0
        self._num = index.last_num()
        self._waiting: dict[str, Waiting] = {}
        self._ops = new_ops()
        self._touched: set[int] = set()
        self._arrived: deque[str] = deque(maxlen=REPORTS)  # reports stand right before their outcomes
        self.lane_of: LaneOf = _no_lane
        self.deadline_of: DeadlineOf | None = None
        self.frames = 0
        self.records: list[SpoolDamaged] = []
        self.ends: dict[str, Position] = {}
        self.files_done: list[str] = []  # content files that nobody needs

    def run(self, own: str, beside: Mapping[str, Reach] = MappingProxyType({})) -> None:
        """Read all journals, `own` last: it holds the outcomes and the copies of the others' mail.

        Of journals that are being written meanwhile, only what `beside` tells to be durable is read.
        """
        positions = self._index.positions()
        self.ends |= {name: position for name, position in positions.items() if name != own}
        names = [name for name in self._layout.journal_names() if name != own]
        for name in (*names, own):
            self._journal(name, positions.get(name), beside.get(name))
        self._enter()

    def _journal(self, name: str, position: Position | None, reach: Reach | None) -> None:
        for segment in list_segments(self._layout, self._disk, name, self._mark):
            if position is not None and segment.number < position.segment:
                continue
            if reach is not None and segment.number >= reach[0]:
                if segment.number > reach[0]:
                    break
                if reach[1] != END:
                    segment = segment.up_to(reach[1])
            start = position.offset if position is not None and segment.number == position.segment else 0
            end = segment.end
            for item in read_frames(self._layout, self._disk, segment, self._mark, start):
                if isinstance(item, Hole):
                    if item.torn:
                        end = item.offset
                    else:
                        self._set_aside(segment, item.offset, item.length, item.reason)
                else:
                    self._frame(segment, item)
                if len(self._waiting) >= PORTION or len(self._touched) >= PORTION:
                    self._enter()
            self.ends[name] = Position(name, segment.number, end)

    def _set_aside(self, segment: Segment, offset: int, length: int, reason: str) -> None:
        self.records.append(self._damage.octets(segment.journal, segment.number, offset, length, reason))

    def _frame(self, segment: Segment, frame: Frame) -> None:
        self.frames += 1
        length = frame.header.length
        if frame.damage == "head":
            self._set_aside(segment, frame.offset, length, "the frame's head is damaged")
            return
        try:
            if frame.header.kind == Kind.ARRIVAL:
                self._arrival(segment, frame)
            elif frame.header.kind == Kind.OUTCOMES:
                self._outcomes(decode_outcomes(frame.head))
        except msgspec.MsgspecError as error:
            self._set_aside(segment, frame.offset, length, f"the frame's head makes no sense: {error}")

    def _arrival(self, segment: Segment, frame: Frame) -> None:
        arrival = decode_arrival(frame.head)
        envelope = arrival.envelope
        queue_id = envelope.id
        self._arrived.append(queue_id)
        place = Place(segment.journal, segment.number, frame.offset, frame.header.length)
        damage = "the content is damaged" if frame.damage else ""
        if damage:
            self._set_aside(segment, frame.offset, frame.header.length, damage)
        waiting = self._waiting.get(queue_id)
        if waiting is None and (arrival.states or not self._is_new):
            num = number_of(self._index, queue_id)
            if num is not None:
                if not damage:
                    self._ops.moved[num] = place
                for state in arrival.states:
                    self._update(num, state)
                return
        if waiting is not None and damage:
            return  # the frame that this is a copy of may be whole
        if waiting is None:
            self._num += 1
            waiting = self._waiting[queue_id] = Waiting(self._num, place, envelope, arrival.file, {})
        waiting.place = place
        waiting.damage = damage
        for state in arrival.states:
            waiting.states[state.index] = state

    def _outcomes(self, outcomes: Outcomes) -> None:
        if outcomes.reports:
            found = set(self._arrived).issuperset(outcomes.reports)
            if not found:
                return
        self._arrived.clear()
        for row in outcomes.rows:
            state = row.state
            waiting = self._waiting.get(row.id)
            if waiting is not None:
                waiting.states[row.index] = state
                if row.status >= Status.DELIVERED and waiting.is_finished:
                    del self._waiting[row.id]
                    if waiting.file is not None:
                        self.files_done.append(row.id)
                continue
            num = number_of(self._index, row.id)
            if num is not None:
                self._update(num, state)

    def _update(self, num: int, state: State) -> None:
        self._touched.add(num)
        values = (state.due, state.deadline, state.attempts, state.warned, state.reply)
        moved = bool(state.lane)
        self._ops.update(Update(num, state.index, state.status, *values, None, state.lane or None, moved))
        if state.trail:
            self._ops.trails[num, state.index] = state.trail

    def _enter(self) -> None:
        """Bring everything found so far into the index."""
        ops, self._ops = self._ops, new_ops()
        waiting, self._waiting = self._waiting, {}
        touched, self._touched = self._touched, set()
        for message in waiting.values():
            self._rows(ops, message)
        self._index.apply(ops)
        if touched:
            nums = list(touched)
            self.files_done += [queue_id for queue_id, file in remove_finished(self._index, nums) if file]
            restore_lanes(self._index, nums)

    def _rows(self, ops: Ops, message: Waiting) -> None:
        envelope, place, num = message.envelope, message.place, message.num
        ops.messages.append(message_row(num, envelope, place, has_file=message.file is not None))
        deadline = None if self.deadline_of is None else self.deadline_of(envelope)
        for index, recipient in enumerate(envelope.recipients):
            state = message.states.get(index) or State(index, Status.PENDING, envelope.arrived, deadline or 0)
            status, reply = state.status, state.reply
            if message.damage and status < Status.DELIVERED:
                status, reply = int(Status.HELD), message.damage
            lane = state.lane or self.lane_of(envelope, recipient)
            if state.trail:
                ops.trails[num, index] = state.trail
            times = (state.due, deadline if index not in message.states else state.deadline)
            ops.recipients.append(
                RecipientRow(
                    num,
                    index,
                    recipient.address.text,
                    lane,
                    *times,
                    status,
                    state.attempts,
                    state.warned,
                    reply,
                    leased=False,
                    moved=bool(state.lane),
                )
            )


def _no_lane(_envelope: Envelope, _recipient: Recipient) -> str:
    """For an index made without a configuration: the lane is found when the recipient is leased."""
    return ""
