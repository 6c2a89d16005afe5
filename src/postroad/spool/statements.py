"""Queries as SQL over the index, each driven by the index of the filter that should leave the least.

So its cost follows what it finds and not what waits. A pattern of addresses without a domain, a text looked for
in replies, and what is due read all rows; tests/unit/spool/test_statements.py holds what is promised. Table
`message` is `m`, `recipient` is `r`. Every message of the index has a recipient that is not final. All text of a
statement is ours: what people ask for goes in as values. Pure.
"""

from types import MappingProxyType
from typing import Final, NamedTuple

from msgspec import Struct

from postroad.model.work import Status
from postroad.spool.filters import DUE, HELD, READY, Query, bare, reply_pattern
from postroad.spool.index import mark_of

LARGE: Final = 1 << 20  # octets; only messages above are in the index of sizes
FEW: Final = 100_000  # messages above which reading all of them in order is quicker than their index
_COVERED: Final = ("r.status",)  # conditions that the indexes below answer without the table
_COVERING: Final = MappingProxyType(
    {"": "recipient_lane", "r.lane": "recipient_lane", "r.status": "recipient_lane", "r.domain": "recipient_domain"}
)
_OPEN: Final = "r.status < 2"

Values = dict[str, int | str]


class Statement(NamedTuple):
    """A question in SQL and its values."""

    text: str
    values: Values


class Where(Struct):
    """The conditions of a query, on a recipient and on its message; the index to drive it, and whose that is."""

    of_recipient: list[str]
    of_message: list[str]
    values: Values
    index: str = ""
    is_by_message: bool = False

    def add(self, condition: str, name: str, value: int | str, *, index: str = "") -> None:
        """One more condition, for which `index` helps more than those named before."""
        (self.of_message if condition.startswith("m.") else self.of_recipient).append(condition)
        self.values[name] = value
        self.index = index or self.index

    def add_address(self, table: str, name: str, pattern: str, index: str) -> None:
        """A condition on an address; its index has marks, which only whole addresses have."""
        column = f"{table}.{name}"
        if "*" not in pattern:
            self.add(f"{table}.mark = :{name}_mark", f"{name}_mark", mark_of(pattern), index=index)
            self.add(f"{column} = :{name} COLLATE NOCASE", name, pattern)
        else:
            self.add_like(column, name, pattern)

    def add_like(self, column: str, name: str, pattern: str) -> None:
        """A condition on a text that no index helps with."""
        like = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")
        self.add(f"{column} LIKE :{name} ESCAPE '\\'", name, like)

    def add_numbers(self, column: str, name: str, numbers: str | None, index: str) -> None:
        """A condition on the number of a name; None: no name is asked for."""
        if numbers is not None:
            self.add(f"{column} IN (SELECT value FROM json_each(:{name}))", name, numbers, index=index)


class Numbers(NamedTuple):
    """What a query asks for by name, as JSON arrays; None where it does not.

    Numbers of lanes, of domains, of the domains of recipients and of senders whose addresses are asked for; queue ids,
    and queue ids that are left out.
    """

    lanes: str | None = None
    domains: str | None = None
    recipients: str | None = None
    senders: str | None = None
    ids: str | None = None
    without: str | None = None


def address_domain(pattern: str) -> str:
    """The pattern of domains that a pattern of addresses leaves; nothing when that is any."""
    domain = pattern.rpartition("@")[2] if "@" in pattern else ""
    return "" if domain == "*" else domain


def where(query: Query, numbers: Numbers) -> Where:
    """`query` as conditions; the index that should leave the least is named last."""
    out = Where([], [], {})
    _message(out, query, numbers)
    by_message, out.index = out.index, ""
    out.add_numbers("r.lane", "lanes", numbers.lanes, "recipient_lane")
    out.add_numbers("r.domain", "domains", numbers.domains, "recipient_domain")
    out.add_numbers("r.domain", "recipients", numbers.recipients, "recipient_domain")
    if query.recipient:
        out.add_address("r", "address", query.recipient, "recipient_address")
    if query.status is not None:
        out.of_recipient.append(f"r.status = {int(query.status)}")  # written out: partial indexes need that
    if query.reason:
        _reason(out, query)
    if query.status is Status.HELD or query.reason == HELD:
        out.index = out.index or "recipient_held"
    if query.reply:
        out.add_like("r.reply", "reply", reply_pattern(query.reply))
    if query.after_new:
        out.add("m.id > :after_new", "after_new", query.after_new)
    out.add_numbers("m.id NOT", "without", numbers.without, "")
    if numbers.ids is not None:
        out.add_numbers("m.id", "ids", numbers.ids, "message_id")
        out.is_by_message = True
    elif by_message and (not out.index or out.index == "recipient_lane"):
        out.index, out.is_by_message = by_message, True
    return out


def _message(out: Where, query: Query, numbers: Numbers) -> None:
    """Conditions on the message; the last index named is the one that should leave the least."""
    if query.larger:
        is_large = query.larger >= LARGE
        out.add("m.size > :larger", "larger", query.larger, index="message_size" if is_large else "")
        out.of_message += [f"m.size > {LARGE}"] * is_large  # written out: the index has no others
    if query.older:
        out.add("m.arrived < :older", "older", query.older, index="message_arrived")
    out.add_numbers("m.domain", "senders", numbers.senders, "message_domain")
    if query.sender:
        out.add_address("m", "sender", bare(query.sender), "message_sender")


def _reason(out: Where, query: Query) -> None:
    if query.reason == HELD:
        out.of_recipient.append("r.status = 1")
        return
    out.of_recipient.append("r.status = 0")
    if query.reason == READY:
        out.of_recipient.append("r.leased = 1")
        out.index = out.index or "recipient_leased"
        return
    out.of_recipient.append("r.leased = 0")
    out.add(f"r.due {'<=' if query.reason == DUE else '>'} :now", "now", query.now)


def probing(found: Where) -> Statement:
    """How many messages the index that drives `found` leaves, at most `FEW` and one."""
    inner = f"SELECT 1 FROM message AS m INDEXED BY {found.index} {_all(found.of_message)} LIMIT {FEW + 1}"
    return Statement(f"SELECT count(*) FROM ({inner})", found.values)


def listing(query: Query, found: Where) -> Statement:
    """The numbers of the messages, in the order of the index."""
    values = found.values | {"after": query.after, "limit": query.limit}
    if found.index and not found.is_by_message:
        conditions = _all((_OPEN, *found.of_recipient, *found.of_message, "r.num > :after"))
        source = _source(found, join=bool(found.of_message))
        return Statement(f"SELECT r.num {source} {conditions} GROUP BY r.num ORDER BY r.num LIMIT :limit", values)
    wanted = [*found.of_message, "m.num > :after"]
    if found.of_recipient:
        wanted.append(f"EXISTS (SELECT 1 FROM recipient AS r {_all(('r.num = m.num', _OPEN, *found.of_recipient))})")
    return Statement(f"SELECT m.num FROM {_messages(found)} {_all(wanted)} ORDER BY m.num LIMIT :limit", values)


def selecting(found: Where, after: tuple[int, int], limit: int) -> Statement:
    """Number, index and queue id of recipients behind `after`, which is (number, index), in that order."""
    values = found.values | {"num": after[0], "idx": after[1], "limit": limit}
    num = "r.num" if found.index and not found.is_by_message else "m.num"
    conditions = (_OPEN, *found.of_recipient, *found.of_message, f"{num} >= :num", f"({num} > :num OR r.idx > :idx)")
    source = _source(found, join=num == "m.num" or bool(found.of_message))
    columns = f"{num}, r.idx, (SELECT id FROM message WHERE num = r.num)"
    return Statement(f"SELECT {columns} {source} {_all(conditions)} ORDER BY {num}, r.idx LIMIT :limit", values)


def counting(found: Where) -> Statement:
    """How many messages and recipients."""
    if found.of_recipient:
        text = (
            f"SELECT count(*), coalesce(sum(n), 0) FROM (SELECT count(*) AS n {_rest(found, 'r.num')} GROUP BY r.num)"
        )
        return Statement(text, found.values)
    messages = "SELECT count(*) FROM message AS m"
    if found.of_message:
        messages = f"SELECT count(*) FROM {_messages(found)} {_all(found.of_message)}"
    return Statement(f"SELECT ({messages}), (SELECT count(*) {_rest(found, '')})", found.values)


def grouping(found: Where, columns: str, keys: str) -> Statement:
    """`columns`, by the first of them: `keys` as in GROUP BY."""
    return Statement(f"SELECT {columns} {_rest(found, columns)} GROUP BY {keys}", found.values)


def _rest(found: Where, columns: str) -> str:
    """FROM and WHERE for all the recipients that are asked for; `columns` tell whether the message is needed."""
    source = _source(found, join=bool(found.of_message) or "m." in columns, columns=columns)
    return f"{source} {_all((_OPEN, *found.of_recipient, *found.of_message))}"


def _source(found: Where, *, join: bool, columns: str = "") -> str:
    index = found.index
    if found.is_by_message or (join and not index):
        return f"FROM {_messages(found)} CROSS JOIN recipient AS r ON r.num = m.num"
    if not index and all(part.startswith(_COVERED) for part in found.of_recipient):
        index = _COVERING.get(columns.partition(",")[0], "")  # smaller than the table, and in order
    by = f" INDEXED BY {index}" if index else ""
    return f"FROM recipient AS r{by}{' CROSS JOIN message AS m ON m.num = r.num' if join else ''}"


def _messages(found: Where) -> str:
    return f"message AS m {f'INDEXED BY {found.index}' if found.is_by_message else 'NOT INDEXED'}"


def _all(conditions: tuple[str, ...] | list[str]) -> str:
    return f"WHERE {' AND '.join(conditions)}"
