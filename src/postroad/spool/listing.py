"""What waits in the spool, for people: lists, one message, counts.

The questions are asked to the index's connection, by the daemon itself (`EmbeddedSpool.find`) or by another process
(query.py).
"""

from typing import Final, NamedTuple

import apsw
from msgspec import Struct

from postroad.model.work import Place, Status
from postroad.spool.index import select


class Query(Struct, frozen=True):
    """Which messages, oldest first: with a recipient in `status`, these words in addresses and lane; `after` an id."""

    status: Status | None = None
    sender: str = ""
    recipient: str = ""
    lane: str = ""
    after: str = ""
    limit: int = 100


class ListedRecipient(Struct, array_like=True):
    """One recipient's row; times in microseconds since 1970; `leased`: in the daemon's memory right now."""

    index: int
    address: str
    lane: str
    due: int
    deadline: int | None
    status: Status
    attempts: int
    warned: bool
    reply: str
    leased: bool


class Listed(Struct):
    """One message with its recipients; those that are final may be missing."""

    id: str
    sender: str
    size: int
    arrived: int
    place: Place
    recipients: list[ListedRecipient]


class Stats(Struct):
    """How much waits: messages, octets of content, recipients by status."""

    messages: int = 0
    octets: int = 0
    pending: int = 0
    held: int = 0
    leased: int = 0


class _Row(NamedTuple):
    """A row of the table `message`, without what lists do not show."""

    num: int
    id: str
    sender: str
    size: int
    arrived: int
    journal: str
    segment: int
    offset: int
    length: int


_MESSAGES: Final = """SELECT num, id, sender, size, arrived, journal, segment, offset, length FROM message
    WHERE id > ?1 AND (?2 = '' OR instr(lower(sender), ?2)) AND EXISTS (
        SELECT 1 FROM recipient AS r WHERE r.num = message.num AND (?3 IS NULL OR r.status = ?3)
        AND (?4 = '' OR instr(lower(r.address), ?4))
        AND (?5 = '' OR r.lane IN (SELECT id FROM lane WHERE instr(name, ?5))))
    ORDER BY id LIMIT ?6"""
_ONE: Final = """SELECT num, id, sender, size, arrived, journal, segment, offset, length FROM message WHERE id = ?"""
_RECIPIENTS: Final = """SELECT r.idx, r.address, l.name, r.due, r.deadline, r.status, r.attempts, r.warned, r.reply,
    r.leased FROM recipient AS r JOIN lane AS l ON l.id = r.lane WHERE r.num = ? ORDER BY r.idx"""
_COUNTS: Final = """SELECT count(*) FILTER (WHERE status = 0), count(*) FILTER (WHERE status = 1),
    count(*) FILTER (WHERE leased = 1) FROM recipient"""


def find_messages(db: apsw.Connection, query: Query) -> list[Listed]:
    """The messages that `query` asks for, oldest first."""
    status = None if query.status is None else int(query.status)
    words = (query.sender.lower(), status, query.recipient.lower(), query.lane)
    return [_listed(db, row) for row in select(db, _Row, _MESSAGES, (query.after, *words, query.limit))]


def find_message(db: apsw.Connection, queue_id: str) -> Listed | None:
    """One message."""
    rows = select(db, _Row, _ONE, (queue_id,))
    return _listed(db, rows[0]) if rows else None


def _listed(db: apsw.Connection, row: _Row) -> Listed:
    recipients = select(db, ListedRecipient, _RECIPIENTS, (row.num,))
    return Listed(
        row.id, row.sender, row.size, row.arrived, Place(row.journal, row.segment, row.offset, row.length), recipients
    )


def count_all(db: apsw.Connection) -> Stats:
    """How much the index holds."""
    messages, octets = select(db, tuple[int, int], "SELECT count(*), coalesce(sum(size), 0) FROM message")[0]
    return Stats(messages, octets, *select(db, tuple[int, int, int], _COUNTS)[0])


def matches(query: Query, message: Listed) -> bool:
    """True when `query` asks for `message`; the same rules as in the index."""
    if message.id <= query.after or query.sender.lower() not in message.sender.lower():
        return False
    return any(
        (query.status is None or one.status is query.status)
        and query.recipient.lower() in one.address.lower()
        and query.lane in one.lane
        for one in message.recipients
    )
