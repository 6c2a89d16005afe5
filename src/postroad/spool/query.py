"""Looking into a spool from outside: list, show and count, while the daemon runs or is down.

Reads the index as it is, without a lock, and lays over it what the journal has got since: the tail behind the
index's position. Without a readable index all journals are read into one in memory. Changes nothing, ever.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

import apsw
import msgspec
from msgspec import Struct

from postroad.model.envelope import Envelope
from postroad.model.errors import SpoolError
from postroad.model.work import Place, Status
from postroad.spool.damage import Damage
from postroad.spool.disk import Disk
from postroad.spool.filters import Query
from postroad.spool.frames import Kind, State, decode_arrival, decode_outcomes
from postroad.spool.index import CACHE_KIB, IN_MEMORY, VERSION, Index, connect, select
from postroad.spool.layout import Layout, read_mark
from postroad.spool.listing import (
    AGES,
    Count,
    Listed,
    ListedRecipient,
    Shape,
    Stats,
    age_of,
    asked,
    count_all,
    count_found,
    count_groups,
    find_message,
    find_messages,
    group_of,
    shape,
)
from postroad.spool.ops import Position
from postroad.spool.reading import Reader, Unreadable
from postroad.spool.replay import Replay
from postroad.spool.segments import Frame, Hole, list_segments, read_frames

__all__ = ["Count", "Listed", "ListedRecipient", "Query", "Shown", "SpoolReader", "Stats"]

NO_NUM: Final = 1 << 62  # messages that the index does not have yet come last
TRIES: Final = 5  # the daemon may remove a segment while we read: then look again
T = TypeVar("T")


class Shown(Struct):
    """One message whole: its rows and its envelope; None when the frame cannot be read."""

    listed: Listed
    envelope: Envelope | None


class _Tail:
    """What the journals have behind the index's positions."""

    def __init__(self, layout: Layout, disk: Disk, mark: bytes, positions: dict[str, Position]) -> None:
        self.arrived: dict[str, Listed] = {}
        self.states: dict[str, dict[int, State]] = {}
        for journal in layout.journal_names():
            position = positions.get(journal, Position(journal, 0, 0))
            for segment in list_segments(layout, disk, journal, mark):
                if segment.number >= position.segment:
                    start = position.offset if segment.number == position.segment else 0
                    for item in read_frames(layout, disk, segment, mark, start):
                        if not isinstance(item, Hole) and item.damage != "head":
                            self._take(item, Place(journal, segment.number, item.offset, item.header.length))

    def _take(self, frame: Frame, place: Place) -> None:
        try:
            if frame.header.kind == Kind.ARRIVAL:
                arrival = decode_arrival(frame.head)
                self.arrived[arrival.envelope.id] = _listed(arrival.envelope, place)
                self.states.setdefault(arrival.envelope.id, {}).update({one.index: one for one in arrival.states})
            elif frame.header.kind == Kind.OUTCOMES:
                for row in decode_outcomes(frame.head).rows:
                    self.states.setdefault(row.id, {})[row.index] = row.state
        except msgspec.MsgspecError:
            return

    def over(self, message: Listed) -> Listed | None:
        """`message` with what the tail knows; None when it is finished."""
        states = self.states.get(message.id, {})
        for recipient in message.recipients:
            state = states.get(recipient.index)
            if state is not None:
                recipient.status = Status(state.status)
                recipient.due, recipient.deadline = state.due, state.deadline
                recipient.attempts, recipient.warned, recipient.reply = state.attempts, state.warned, state.reply
                recipient.trail = state.trail or recipient.trail
                if state.lane:
                    recipient.lane, recipient.moved = state.lane, True
        return None if all(one.status.is_final for one in message.recipients) else message


def _listed(envelope: Envelope, place: Place) -> Listed:
    recipients = [
        ListedRecipient(index, one.address.text, "", envelope.arrived, None, Status.PENDING, 0, False, "", True)
        for index, one in enumerate(envelope.recipients)
    ]
    return Listed(envelope.id, envelope.sender.text, envelope.size, envelope.arrived, place, recipients)


class _View:
    """One moment of the spool: a snapshot of the index and the journals' tail.

    Messages that the tail tells something of are `touched`: the index is asked for the others, and they are looked at
    one by one.
    """

    def __init__(self, db: apsw.Connection, tail: _Tail | None) -> None:
        self.db = db
        self._tail = tail
        self.touched: dict[str, Listed | None] = {}
        if tail is None:
            return
        for queue_id in tail.states.keys() | tail.arrived.keys():
            message = find_message(db, queue_id) or tail.arrived.get(queue_id)
            if message is not None:
                self.touched[queue_id] = tail.over(message)

    def list(self, query: Query) -> list[Listed]:
        """As `SpoolReader.list`."""
        found = find_messages(self.db, query, self.touched)
        for message in self.touched.values():
            if message is None or message.id <= query.after_new or 0 < message.num <= query.after:
                continue
            if asked(query, message):
                found.append(message)
        found.sort(key=lambda one: (one.num or NO_NUM, one.id))
        return found[: query.limit]

    def one(self, queue_id: str) -> Listed | None:
        """One message, None when it is not here or finished."""
        return self.touched[queue_id] if queue_id in self.touched else find_message(self.db, queue_id)

    def stats(self) -> Stats:
        """As `SpoolReader.counts`."""
        stats = count_all(self.db)
        for queue_id, message in self.touched.items():
            _count(stats, find_message(self.db, queue_id), -1)
            _count(stats, message, 1)
        return stats

    def count(self, query: Query) -> Count:
        """As `SpoolReader.count`."""
        found = count_found(self.db, query, self.touched)
        for _, recipients in self._asked(query):
            found.messages += 1
            found.recipients += len(recipients)
        return found

    def groups(self, query: Query, by: str) -> dict[str, int]:
        """As `SpoolReader.groups`."""
        found = Counter(count_groups(self.db, query, by, self.touched))
        for message, recipients in self._asked(query):
            found.update(group_of(message, one, by) for one in recipients)
        return found

    def shape(self, query: Query, by: str) -> Shape:
        """As `SpoolReader.shape`."""
        found = shape(self.db, query, by, self.touched)
        for message, recipients in self._asked(query):
            for one in recipients:
                row = found.setdefault(group_of(message, one, by), [0] * (len(AGES) + 1))
                row[age_of(message, query.now)] += 1
        return found

    def _asked(self, query: Query) -> Iterator[tuple[Listed, Sequence[ListedRecipient]]]:
        for message in self.touched.values():
            recipients = [] if message is None else asked(query, message)
            if message is not None and recipients:
                yield message, recipients


def _count(stats: Stats, message: Listed | None, sign: int) -> None:
    if message is None:
        return
    stats.messages += sign
    stats.octets += sign * message.size
    for recipient in message.recipients:
        stats.pending += sign * (recipient.status is Status.PENDING)
        stats.held += sign * (recipient.status is Status.HELD)


class SpoolReader:
    """Reads the spool in `folder`; every call is a fresh look."""

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        """Nothing is opened yet."""
        self._layout = Layout(folder)
        self._disk = disk or Disk()

    def list(self, query: Query = Query()) -> list[Listed]:  # noqa: B008  frozen
        """The messages that `query` asks for, oldest first; SpoolError when there is no spool."""
        return self._look(lambda view: view.list(query))

    def count(self, query: Query) -> Count:
        """How many messages and recipients `query` asks for."""
        return self._look(lambda view: view.count(query))

    def groups(self, query: Query, by: str) -> dict[str, int]:
        """How many recipients `query` asks for, by one of `GROUPS`."""
        return self._look(lambda view: view.groups(query, by))

    def shape(self, query: Query, by: str) -> Shape:
        """How many recipients `query` asks for, by one of `GROUPS` and by age (`AGES`) at `query.now`."""
        return self._look(lambda view: view.shape(query, by))

    def show(self, queue_id: str) -> Shown | None:
        """One message with its envelope; None when it is not here, or finished."""

        def look(view: _View) -> Shown | None:
            listed = view.one(queue_id)
            if listed is None:
                return None
            reader = Reader(self._layout, self._disk, self._mark())
            found = reader.arrivals([(queue_id, listed.place)])[queue_id]
            return Shown(listed, None if isinstance(found, Unreadable) else found.envelope)

        return self._look(look)

    def counts(self) -> Stats:
        """How much waits."""
        return self._look(lambda view: view.stats())

    def _mark(self) -> bytes:
        mark = read_mark(self._layout, self._disk)
        if mark is None:
            raise SpoolError(f"there is no spool in {self._layout.folder}")
        return mark

    def _look(self, question: Callable[[_View], T]) -> T:
        mark = self._mark()
        for attempt in range(TRIES):
            try:
                return self._once(question, mark)
            except FileNotFoundError:
                if attempt == TRIES - 1:
                    raise
            except OSError as error:
                raise SpoolError(f"the spool {self._layout.folder} cannot be read: {error}") from error
        raise AssertionError("unreachable")

    def _once(self, question: Callable[[_View], T], mark: bytes) -> T:
        try:
            db = apsw.Connection(str(self._layout.index), flags=apsw.SQLITE_OPEN_READONLY)
        except apsw.CantOpenError:
            return self._without_index(question, mark)
        try:
            db.set_busy_timeout(2000)
            db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            db.execute("PRAGMA temp_store = MEMORY")
            if db.pragma("user_version") != VERSION:
                raise apsw.NotADBError("the index has another version")
            db.execute("BEGIN")
            found = select(db, Position, "SELECT journal, segment, offset FROM position")
            positions = {position.journal: position for position in found}
            return question(_View(db, _Tail(self._layout, self._disk, mark, positions)))
        except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError):
            return self._without_index(question, mark)
        finally:
            db.close(True)

    def _without_index(self, question: Callable[[_View], T], mark: bytes) -> T:
        db = connect(Path(IN_MEMORY))
        try:
            replay = Replay(
                self._layout, self._disk, mark, Index(db), Damage(self._layout, self._disk, 0, copies=False)
            )
            replay.run("main")
            return question(_View(db, None))
        finally:
            db.close(True)
