"""What waits in the spool, for people: lists, one message, counts, groups.

The questions are asked to the index's connection, by the daemon itself (`EmbeddedSpool.ask`) or by another process
(query.py). `without` are messages that the caller knows more of than the index does: they are left out.
"""

from collections.abc import Callable, Collection
from functools import partial
from types import MappingProxyType
from typing import Final, NamedTuple, TypeVar

import apsw
import msgspec
from msgspec import Struct

from postroad.model.work import Place, Status
from postroad.spool.filters import Facts, Query, asks_lane, fits, matches
from postroad.spool.index import domain_of, select
from postroad.spool.statements import (
    FEW,
    Numbers,
    Statement,
    Where,
    address_domain,
    counting,
    grouping,
    listing,
    probing,
    selecting,
    where,
)

T = TypeVar("T")
MINUTE: Final = 60_000_000
AGES: Final = tuple(5 * MINUTE << step for step in range(9))  # the columns of a shape, as qshape has them
_AGE: Final = f"CASE {' '.join(f'WHEN m.arrived > :now - {age} THEN {n}' for n, age in enumerate(AGES))} ELSE 9 END"
_NAMED: Final = MappingProxyType({"next-hop": "lane", "domain": "domain", "sender-domain": "domain"})
GROUPS: Final = MappingProxyType(
    {
        "domain": "r.domain",
        "next-hop": "r.lane",
        "recipient": "r.address",
        "sender": "m.sender",
        "sender-domain": "m.domain",
        "status": "r.status",
        "reply": "r.reply",
    }
)


Shape = dict[str, list[int]]  # recipients of each group by age: one number for each of `AGES`, one for older


class ListedRecipient(Struct, array_like=True):
    """One recipient's row; times in microseconds since 1970; `leased`: in the daemon's memory right now.

    `moved`: an operator or a fallback chose its next hop. `trail` has its last attempts, see model/trail.py.
    """

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
    moved: bool = False
    trail: str = ""


class Listed(Struct):
    """One message with its recipients; those that are final may be missing. `num` is the index's, 0 without one."""

    id: str
    sender: str
    size: int
    arrived: int
    place: Place
    recipients: list[ListedRecipient]
    num: int = 0


class Stats(Struct):
    """How much waits: messages, octets of content, recipients by status."""

    messages: int = 0
    octets: int = 0
    pending: int = 0
    held: int = 0
    leased: int = 0


class Count(Struct):
    """How many a query asks for."""

    messages: int = 0
    recipients: int = 0


class Selected(NamedTuple):
    """A recipient that a query asks for: number, index, queue id."""

    num: int
    idx: int
    id: str


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


_COLUMNS: Final = "SELECT num, id, sender, size, arrived, journal, segment, offset, length FROM message"
_MANY: Final = f"{_COLUMNS} WHERE num IN (SELECT value FROM json_each(?)) ORDER BY num"  # noqa: S608  constants only
_ONE: Final = f"{_COLUMNS} WHERE id = ?"
_RECIPIENTS: Final = """SELECT r.idx, r.address, l.name, r.due, r.deadline, r.status, r.attempts, r.warned, r.reply,
    r.leased, r.moved, coalesce(t.trail, '') FROM recipient AS r JOIN lane AS l ON l.id = r.lane
    LEFT JOIN trail AS t ON t.num = r.num AND t.idx = r.idx WHERE r.num = ? ORDER BY r.idx"""
_COUNTS: Final = """SELECT count(*) FILTER (WHERE status = 0), count(*) FILTER (WHERE status = 1),
    count(*) FILTER (WHERE leased = 1) FROM recipient"""


def _where(db: apsw.Connection, query: Query, without: Collection[str] = ()) -> Where:
    """The conditions of `query`, with the numbers of the names that it asks for."""
    lanes = None
    if query.next_hop or query.lanes or query.hops:
        lanes = _numbers(db, "lane", lambda name: asks_lane(query, name))
    ids = _json(query.ids) if query.ids else None
    domains, recipients, senders = (
        _numbers(db, "domain", partial(fits, pattern)) if pattern else None
        for pattern in (query.domain, address_domain(query.recipient), address_domain(query.sender))
    )
    left_out = _json(list(without)) if without else None
    found = where(query, Numbers(lanes, domains, recipients, senders, ids, left_out))
    if found.is_by_message and ids is None and _select(db, tuple[int], probing(found))[0][0] > FEW:
        found.is_by_message, found.index = False, ""
    return found


def _numbers(db: apsw.Connection, table: str, is_asked: Callable[[str], bool]) -> str:
    """The numbers of the names that are asked for."""
    rows = select(db, tuple[int, str], f"SELECT id, name FROM {table}")  # noqa: S608  one of two words of ours
    return _json([number for number, name in rows if is_asked(name)])


def find_messages(db: apsw.Connection, query: Query, without: Collection[str] = ()) -> list[Listed]:
    """The messages that `query` asks for, in the order in which the index got them."""
    nums = [row[0] for row in _select(db, tuple[int], listing(query, _where(db, query, without)))]
    return [_listed(db, row) for row in select(db, _Row, _MANY, (_json(nums),))]


def find_message(db: apsw.Connection, queue_id: str) -> Listed | None:
    """One message."""
    rows = select(db, _Row, _ONE, (queue_id,))
    return _listed(db, rows[0]) if rows else None


def select_recipients(db: apsw.Connection, query: Query, after: tuple[int, int], limit: int) -> list[Selected]:
    """At most `limit` of the recipients that `query` asks for, behind `after` (number, index), in that order."""
    return _select(db, Selected, selecting(_where(db, query), after, limit))


def count_found(db: apsw.Connection, query: Query, without: Collection[str] = ()) -> Count:
    """How many messages and recipients `query` asks for."""
    return Count(*_select(db, tuple[int, int], counting(_where(db, query, without)))[0])


def count_groups(db: apsw.Connection, query: Query, by: str, without: Collection[str] = ()) -> dict[str, int]:
    """How many recipients `query` asks for, by one of `GROUPS`."""
    key = GROUPS[by]
    statement = grouping(_where(db, query, without), f"{key}, count(*)", "1")
    name = _namer(db, by)
    return {name(value): count for value, count in _select(db, tuple[str | int, int], statement)}


def shape(db: apsw.Connection, query: Query, by: str, without: Collection[str] = ()) -> Shape:
    """How many recipients `query` asks for by one of `GROUPS`, and by their age at `query.now`."""
    found = _where(db, query, without)
    found.values["now"] = query.now
    statement = grouping(found, f"{GROUPS[by]}, {_AGE}, count(*)", "1, 2")
    name = _namer(db, by)
    out: Shape = {}
    for key, age, count in _select(db, tuple[str | int, int, int], statement):
        out.setdefault(name(key), [0] * (len(AGES) + 1))[age] += count
    return out


def _namer(db: apsw.Connection, by: str) -> Callable[[str | int], str]:
    """From a group's key in the index to its name."""
    if by == "status":
        return lambda key: Status(int(key)).name.lower()
    if by in _NAMED:
        names = dict(select(db, tuple[int | str, str], f"SELECT id, name FROM {_NAMED[by]}"))  # noqa: S608  our words
        return lambda key: names[key]
    return str


def group_of(message: Listed, one: ListedRecipient, by: str) -> str:
    """The group of a recipient, as in SQL."""
    match by:
        case "domain":
            return domain_of(one.address)
        case "next-hop":
            return one.lane
        case "recipient":
            return one.address
        case "sender":
            return message.sender
        case "sender-domain":
            return domain_of(message.sender)
        case "status":
            return one.status.name.lower()
        case _:
            return one.reply


def age_of(message: Listed, now: int) -> int:
    """The column of a shape that a message counts in."""
    return next((step for step, age in enumerate(AGES) if message.arrived > now - age), len(AGES))


def asked(query: Query, message: Listed) -> list[ListedRecipient]:
    """The recipients of `message` that `query` asks for; the same rules as in the index."""
    return [one for one in message.recipients if matches(query, facts(message, one))]


def facts(message: Listed, one: ListedRecipient) -> Facts:
    """What filters ask of a recipient."""
    values = (one.address, one.lane, one.due, one.status, one.reply, one.leased)
    return Facts(message.id, message.sender, message.size, message.arrived, *values)


def count_all(db: apsw.Connection) -> Stats:
    """How much the index holds."""
    messages, octets = select(db, tuple[int, int], "SELECT count(*), coalesce(sum(size), 0) FROM message")[0]
    return Stats(messages, octets, *select(db, tuple[int, int, int], _COUNTS)[0])


def _listed(db: apsw.Connection, row: _Row) -> Listed:
    recipients = select(db, ListedRecipient, _RECIPIENTS, (row.num,))
    place = Place(row.journal, row.segment, row.offset, row.length)
    return Listed(row.id, row.sender, row.size, row.arrived, place, recipients, row.num)


def _select(db: apsw.Connection, kind: type[T], statement: Statement) -> list[T]:
    return select(db, kind, statement.text, statement.values)


def _json(values: Collection[str | int]) -> str:
    return msgspec.json.encode(values).decode()
