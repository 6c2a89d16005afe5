"""Looking into a spool from outside: list, show and count, while the daemon runs or is down.

Reads the index as it is, without a lock, and lays over it what the journal has got since: the tail behind the
index's position. Without a readable index all journals are read into one in memory. Changes nothing, ever.
"""

from collections.abc import Callable
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
from postroad.spool.frames import Kind, State, decode_arrival, decode_outcomes
from postroad.spool.index import IN_MEMORY, Index, connect, select
from postroad.spool.layout import Layout, read_mark
from postroad.spool.leases import number_of
from postroad.spool.listing import (
    Listed,
    ListedRecipient,
    Query,
    Stats,
    count_all,
    find_message,
    find_messages,
    matches,
)
from postroad.spool.ops import Position
from postroad.spool.reading import Reader, Unreadable
from postroad.spool.replay import Replay
from postroad.spool.segments import Frame, Hole, list_segments, read_frames

__all__ = ["Listed", "ListedRecipient", "Query", "Shown", "SpoolReader", "Stats"]

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
                    state = State(row.index, row.status, row.due, row.deadline, row.attempts, row.warned, row.reply)
                    self.states.setdefault(row.id, {})[row.index] = state
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
        return None if all(one.status.is_final for one in message.recipients) else message


def _listed(envelope: Envelope, place: Place) -> Listed:
    recipients = [
        ListedRecipient(index, one.address.text, "", envelope.arrived, None, Status.PENDING, 0, False, "", True)
        for index, one in enumerate(envelope.recipients)
    ]
    return Listed(envelope.id, envelope.sender.text, envelope.size, envelope.arrived, place, recipients)


class _View:
    """One moment of the spool: a snapshot of the index and the journals' tail."""

    def __init__(self, db: apsw.Connection, tail: _Tail | None) -> None:
        self.db = db
        self._tail = tail
        index = Index(db)
        arrived = {} if tail is None else tail.arrived
        self._new = [one for one in arrived.values() if number_of(index, one.id) is None]

    def list(self, query: Query) -> list[Listed]:
        """As `SpoolReader.list`."""
        if self._tail is None:
            return find_messages(self.db, query)
        # The tail may end or change any of them, so the filters are applied again above it.
        found = {one.id: one for one in find_messages(self.db, query)}
        for queue_id in self._tail.states.keys() - found.keys():
            message = find_message(self.db, queue_id)
            if message is not None:
                found[queue_id] = message
        found.update((one.id, one) for one in self._new)
        over = (self._tail.over(one) for one in found.values())
        wanted = [one for one in over if one is not None and matches(query, one)]
        return sorted(wanted, key=lambda one: one.id)[: query.limit]

    def one(self, queue_id: str) -> Listed | None:
        """One message, None when it is not here or finished."""
        message = find_message(self.db, queue_id)
        if self._tail is None:
            return message
        message = message or next((one for one in self._new if one.id == queue_id), None)
        return None if message is None else self._tail.over(message)

    def stats(self) -> Stats:
        """As `SpoolReader.counts`."""
        stats = count_all(self.db)
        if self._tail is None:
            return stats
        for queue_id in self._tail.states:
            message = find_message(self.db, queue_id)
            if message is not None:
                _count(stats, message, -1)
                _count(stats, self._tail.over(message), 1)
        for message in self._new:
            _count(stats, self._tail.over(message), 1)
        return stats


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
