"""Queries as SQL over the index, each driven by the index of the filter that should leave the least.

So its cost follows what it finds and not what waits. A pattern that begins with "*", a text looked for in replies,
and what is due read all rows; tests/unit/spool/test_statements.py holds what is promised. Table `message` is `m`,
`recipient` is `r`. Every message of the index has a recipient that is not final. All text of a statement is ours:
what people ask for goes in as values. Pure.
"""

from types import MappingProxyType
from typing import Final, NamedTuple

from msgspec import Struct

from postroad.model.work import Status
from postroad.spool.filters import DUE, HELD, READY, Query, bare, reply_pattern

_LAST: Final = "\U0010ffff"
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

    def add_text(self, column: str, name: str, pattern: str, index: str) -> None:
        """A condition on a text; its index helps when the pattern does not begin with "*"."""
        folded = " COLLATE NOCASE" if column in ("m.sender", "r.address") else ""
        given = pattern if folded else pattern.lower()
        first, star, _ = given.partition("*")
        if not star:
            self.add(f"{column} = :{name}{folded}", name, given, index=index)
            return
        if first and index:
            self.add(f"{column} >= :{name}_from{folded}", f"{name}_from", first, index=index)
            self.add(f"{column} < :{name}_to{folded}", f"{name}_to", first + _LAST)
        like = given.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")
        self.add(f"{column} LIKE :{name} ESCAPE '\\'", name, like)


def where(query: Query, lanes: str | None, ids: str | None, without: str | None = None) -> Where:
    """`query` as conditions: `lanes` are the numbers of lanes it asks for, `ids` and `without` ids; JSON arrays."""
    out = Where([], [], {})
    _message(out, query)
    by_message, out.index = out.index, ""
    if lanes is not None:
        out.add("r.lane IN (SELECT value FROM json_each(:lanes))", "lanes", lanes, index="recipient_lane")
    if query.domain:
        out.add_text("r.domain", "domain", query.domain, "recipient_domain")
    if query.recipient:
        out.add_text("r.address", "recipient", query.recipient, "recipient_address")
    if query.status is not None:
        out.of_recipient.append(f"r.status = {int(query.status)}")  # written out: partial indexes need that
    if query.reason:
        _reason(out, query)
    if query.status is Status.HELD or query.reason == HELD:
        out.index = out.index or "recipient_held"
    if query.reply:
        out.add_text("r.reply", "reply", reply_pattern(query.reply), "")
    if query.after_new:
        out.add("m.id > :after_new", "after_new", query.after_new)
    if without is not None:
        out.add("m.id NOT IN (SELECT value FROM json_each(:without))", "without", without)
    if ids is not None:
        out.add("m.id IN (SELECT value FROM json_each(:ids))", "ids", ids, index="message_id")
        out.is_by_message = True
    elif by_message and (not out.index or out.index == "recipient_lane"):
        out.index, out.is_by_message = by_message, True
    return out


def _message(out: Where, query: Query) -> None:
    """Conditions on the message; the last index named is the one that should leave the least."""
    if query.larger:
        out.add("m.size > :larger", "larger", query.larger, index="message_size")
    if query.older:
        out.add("m.arrived < :older", "older", query.older, index="message_arrived")
    if query.sender:
        sender = bare(query.sender)
        star, at, domain = sender.rpartition("@")
        if star == "*" and at and "*" not in domain:
            out.add_text("m.domain", "sender", domain, "message_domain")
        else:
            out.add_text("m.sender", "sender", sender, "message_sender")


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
