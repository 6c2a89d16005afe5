"""Questions to the index: what is due, what has lapsed, where a message lies. On the index thread.

Leases go lane by lane, so rows that wait in closed lanes are never walked over. A leased row leaves the
due order until it is released; leases live as long as the process.
"""

from collections.abc import Sequence
from typing import Final, TypeVar

import apsw
import msgspec
from msgspec import Struct

from postroad.model.work import Place, Status
from postroad.spool.index import Index, select
from postroad.spool.shut import Closed

T = TypeVar("T")

_DUE_LANES: Final = """SELECT json_group_array(id) FROM (SELECT id FROM lane WHERE next_due <= ?1
    AND id NOT IN (SELECT lane FROM temp.shut) AND name NOT IN (SELECT value FROM json_each(?2))
    ORDER BY next_due LIMIT ?3)"""
_COLUMNS: Final = """json_array(r.num, r.idx, l.name, r.due, r.deadline, r.attempts, r.warned, r.reply,
    m.id, m.journal, m.segment, m.offset, m.length,
    (SELECT count(*) FROM recipient AS o WHERE o.num = r.num AND o.status < 2), r.status, r.moved,
    coalesce((SELECT t.trail FROM trail AS t WHERE t.num = r.num AND t.idx = r.idx), ''))"""
_DUE_ROWS: Final = f"""SELECT json_group_array({_COLUMNS}) FROM json_each(?1) AS open
    JOIN recipient AS r ON (r.num, r.idx) IN (
        SELECT d.num, d.idx FROM recipient AS d INDEXED BY recipient_due
        WHERE d.lane = open.value AND d.leased = 0 AND d.status = 0 AND d.due <= ?2 ORDER BY d.due LIMIT ?3)
    JOIN message AS m ON m.num = r.num JOIN lane AS l ON l.id = r.lane"""  # noqa: S608  constants only
_LAPSED_ROWS: Final = f"""SELECT json_group_array({_COLUMNS}) FROM (
        SELECT num, idx FROM recipient INDEXED BY recipient_deadline
        WHERE leased = 0 AND status = 0 AND deadline <= ?1 AND deadline IS NOT NULL ORDER BY deadline LIMIT ?2) AS d
    JOIN recipient AS r ON r.num = d.num AND r.idx = d.idx
    JOIN message AS m ON m.num = r.num JOIN lane AS l ON l.id = r.lane"""  # noqa: S608  constants only
_CLAIMED_ROWS: Final = f"""SELECT json_group_array({_COLUMNS}) FROM json_each(?1) AS w
    CROSS JOIN message AS m ON m.id = json_extract(w.value, '$[0]')
    CROSS JOIN recipient AS r ON r.num = m.num AND r.leased = 0 AND r.status < 2
        AND json_extract(w.value, '$[1]') IN (-1, r.idx)
    JOIN lane AS l ON l.id = r.lane"""  # noqa: S608  constants only
_LEASE: Final = """UPDATE recipient SET leased = 1 FROM (VALUES {}) AS v
    WHERE recipient.num = v.column1 AND recipient.idx = v.column2"""
_EXACT_LANES: Final = """UPDATE lane SET next_due = (SELECT min(d.due) FROM recipient AS d INDEXED BY recipient_due
    WHERE d.lane = lane.id AND d.leased = 0 AND d.status = 0) WHERE id IN (SELECT value FROM json_each(?))"""
_FIRST_LANE: Final = """SELECT id, next_due FROM lane WHERE next_due IS NOT NULL
    AND id NOT IN (SELECT lane FROM temp.shut) AND name NOT IN (SELECT value FROM json_each(?))
    ORDER BY next_due LIMIT 1"""
_SET_ASIDE: Final = """UPDATE recipient SET reply = CASE WHEN status = 1 AND reply <> '' THEN reply ELSE ? END,
    status = ?, leased = 0 WHERE num = ? AND status < 2"""


class LeasedRow(Struct, frozen=True, gc=False, array_like=True):
    """A recipient just leased, with its message's place and the number of recipients not yet final (`open`)."""

    num: int
    index: int
    lane: str
    due: int
    deadline: int | None
    attempts: int
    warned: int
    reply: str
    id: str
    journal: str
    segment: int
    offset: int
    length: int
    open: int
    status: int = 0
    moved: int = 0
    trail: str = ""

    @property
    def place(self) -> Place:
        """Where its message's frame lies."""
        return Place(self.journal, self.segment, self.offset, self.length)


class SegmentUse(Struct, frozen=True, gc=False, array_like=True):
    """What the index knows of a segment: live messages, their octets, where the last one ends."""

    journal: str
    number: int
    messages: int
    octets: int
    end: int


_leased_rows: Final = msgspec.json.Decoder(list[LeasedRow])
_lane_numbers: Final = msgspec.json.Decoder(list[int])


def _ask(db: apsw.Connection, decoder: msgspec.json.Decoder[T], query: str, values: Sequence[int | str]) -> T:
    """The one JSON text that `query` gives, read; one row is one return of the GIL."""
    try:
        return decoder.decode(select(db, tuple[str], query, values)[0][0])
    except msgspec.MsgspecError as error:
        raise apsw.CorruptError(f"a row of the index makes no sense: {error}") from error


def lease(index: Index, want: int, now: int, closed: Closed) -> list[LeasedRow]:
    """At most `want` due recipients of open lanes, oldest first and fairly over the lanes, now leased."""
    if closed.is_everything:
        return []
    db = index.db
    index.shut.set(closed.patterns)
    shut = msgspec.json.encode(list(closed)).decode()
    found: list[LeasedRow] = []
    db.execute("BEGIN IMMEDIATE")
    try:
        while len(found) < want:
            left = want - len(found)
            lanes = _ask(db, _lane_numbers, _DUE_LANES, (now, shut, left))
            if not lanes:
                break
            share = -(-left // len(lanes))
            rows = _ask(db, _leased_rows, _DUE_ROWS, (_json(lanes), now, share))[:left]
            index.bulk(_LEASE, [(row.num, row.index) for row in rows])
            db.execute(_EXACT_LANES, (_json(lanes),))
            found += rows
        db.execute("COMMIT")
    except BaseException:
        _roll_back(db)
        raise
    found.sort(key=lambda row: (row.due, row.num, row.index))
    return found


def lapsed(index: Index, want: int, now: int) -> list[LeasedRow]:
    """At most `want` recipients whose deadline has come, earliest first, now leased."""
    index.db.execute("BEGIN IMMEDIATE")
    try:
        rows = _ask(index.db, _leased_rows, _LAPSED_ROWS, (now, want))
        index.bulk(_LEASE, [(row.num, row.index) for row in rows])
        index.db.execute("COMMIT")
    except BaseException:
        _roll_back(index.db)
        raise
    return rows


def claim(index: Index, wanted: Sequence[tuple[str, int]]) -> list[LeasedRow]:
    """Those of `wanted` (queue id, recipient; -1: all of them) that nobody holds, whatever their due time, leased."""
    index.db.execute("BEGIN IMMEDIATE")
    try:
        rows = _ask(index.db, _leased_rows, _CLAIMED_ROWS, (msgspec.json.encode(wanted).decode(),))
        index.bulk(_LEASE, [(row.num, row.index) for row in rows])
        index.db.execute("COMMIT")
    except BaseException:
        _roll_back(index.db)
        raise
    return rows


def next_due(index: Index, closed: Closed) -> int | None:
    """When the first recipient outside of `closed` is due."""
    if closed.is_everything:
        return None
    index.shut.set(closed.patterns)
    shut = msgspec.json.encode(list(closed)).decode()
    while first := select(index.db, tuple[int, int], _FIRST_LANE, (shut,)):
        lane, bound = first[0]
        index.db.execute(_EXACT_LANES, (_json([lane]),))
        exact = select(index.db, tuple[int | None], "SELECT next_due FROM lane WHERE id = ?", (lane,))
        if exact[0][0] == bound:
            return bound
    return None


def _json(numbers: Sequence[int]) -> str:
    return msgspec.json.encode(numbers).decode()


def _roll_back(db: apsw.Connection) -> None:
    if db.in_transaction:
        db.execute("ROLLBACK")


def number_of(index: Index, queue_id: str) -> int | None:
    """The index's number for a message, None when it has none."""
    found = select(index.db, tuple[int], "SELECT num FROM message WHERE id = ?", (queue_id,))
    return found[0][0] if found else None


def place_of(index: Index, queue_id: str) -> Place | None:
    """Where the frame of a message lies now."""
    query = "SELECT journal, segment, offset, length FROM message WHERE id = ?"
    found = select(index.db, tuple[str, int, int, int], query, (queue_id,))
    return Place(*found[0]) if found else None


def usage(index: Index) -> list[SegmentUse]:
    """Every segment that live messages lie in."""
    query = """SELECT journal, segment, count(*), sum(length), max(offset + length)
        FROM message INDEXED BY message_place GROUP BY journal, segment"""
    return select(index.db, SegmentUse, query)


def set_aside(index: Index, num: int, reason: str) -> None:
    """Hold all open recipients of a message that cannot be read, `reason` as their reply if they have none."""
    index.db.execute(_SET_ASIDE, (reason, int(Status.HELD), num))


def end_leases(index: Index) -> None:
    """Give back what a process that is gone had in memory."""
    index.db.execute("BEGIN IMMEDIATE")
    lanes = index.db.execute("SELECT json_group_array(DISTINCT lane) FROM recipient WHERE leased = 1").get
    index.db.execute("UPDATE recipient SET leased = 0 WHERE leased = 1")
    index.db.execute(_EXACT_LANES, (lanes,))
    index.db.execute("COMMIT")


def remove_finished(index: Index, nums: Sequence[int]) -> list[tuple[str, bool]]:
    """Remove those of `nums` that have no open recipient left: their ids, and whether they have a content file."""
    query = """SELECT num, id, file FROM message WHERE num IN (SELECT value FROM json_each(?))
        AND NOT EXISTS (SELECT 1 FROM recipient WHERE recipient.num = message.num AND status < 2)"""
    rows = select(index.db, tuple[int, str, bool], query, (_json(nums),))
    index.db.execute("BEGIN IMMEDIATE")
    index.remove([num for num, _, _ in rows])
    index.db.execute("COMMIT")
    return [(queue_id, file) for _, queue_id, file in rows]


def restore_lanes(index: Index, nums: Sequence[int]) -> None:
    """Make `next_due` exact for the lanes of these messages, whose rows were changed by replay."""
    query = """SELECT json_group_array(DISTINCT lane) FROM recipient
        WHERE num IN (SELECT value FROM json_each(?))"""
    index.db.execute(_EXACT_LANES, (index.db.execute(query, (_json(nums),)).get,))


def give_back(index: Index, rows: Sequence[LeasedRow]) -> None:
    """End leases that nobody took."""
    nums = [row.num for row in rows]
    index.bulk(_LEASE.replace("leased = 1", "leased = 0"), [(row.num, row.index) for row in rows])
    restore_lanes(index, nums)
