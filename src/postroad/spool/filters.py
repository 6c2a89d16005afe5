"""Which messages somebody asks for: the filters of a query, as values and as a test of one recipient.

A filter is a pattern in which "*" stands for any text; case does not matter. statements.py says the same in SQL.
Pure.
"""

import re
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Struct

from postroad.model.work import Status

HELD: Final = "held"
READY: Final = "ready"
DUE: Final = "due"
RETRY: Final = "retry"
REASONS: Final = (HELD, READY, DUE, RETRY)


class Query(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which recipients, and of which messages. What is empty or 0 does not matter; the rest must all hold.

    The lane must be one of `lanes` or fit one of `hops`, patterns, and fit `next_hop`. `older`: arrived before that
    time, in microseconds since 1970; `larger`: more octets. `reason` says why it waits at `now`, one of `REASONS`.
    `reply` is a text that the last reply holds. `after` and `limit` are for lists of messages: behind that number of
    the index, so many at most; `after_new` is the last id of those that had no number when a list came to them.
    """

    ids: tuple[str, ...] = ()
    status: Status | None = None
    sender: str = ""
    recipient: str = ""
    domain: str = ""
    next_hop: str = ""
    lanes: frozenset[str] = frozenset()
    hops: tuple[str, ...] = ()
    older: int = 0
    larger: int = 0
    reason: str = ""
    reply: str = ""
    now: int = 0
    after: int = 0
    after_new: str = ""
    limit: int = 100

    def behind(self, num: int, queue_id: str) -> "Query":
        """The next page: behind the last message of this one; `num` is 0 when the index did not have it."""
        if num:
            return msgspec.structs.replace(self, after=num)
        return msgspec.structs.replace(self, after_new=queue_id)

    @property
    def is_broad(self) -> bool:
        """True when it asks for everything."""
        return not (self.ids or self.asks_recipient or self.sender or self.older or self.larger)

    @property
    def asks_recipient(self) -> bool:
        """True when it asks for something of a single recipient."""
        names = (self.recipient, self.domain, self.next_hop, self.lanes, self.hops, self.reason, self.reply)
        return self.status is not None or any(names)


class Facts(Struct, frozen=True, gc=False):
    """What filters ask of one recipient and its message."""

    id: str
    sender: str
    size: int
    arrived: int
    address: str
    lane: str
    due: int
    status: Status
    reply: str
    leased: bool


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.IGNORECASE | re.DOTALL)


def fits(pattern: str, text: str) -> bool:
    """True when `pattern` is all of `text`."""
    return _compiled(pattern).fullmatch(text) is not None


def lane_fits(pattern: str, lane: str) -> bool:
    """True when `pattern` is the lane, one of its next hops, or the host of one of them, with its port or without."""
    if fits(pattern, lane):
        return True
    hops, _, _ = lane.partition("?")
    return any(fits(pattern, name) for hop in hops.split(",") for name in _names(hop))


def _names(hop: str) -> tuple[str, ...]:
    """The names of one next hop: with scheme and port, without scheme, without both."""
    hop, _, _ = hop.partition("*")  # the weight
    _, mark, place = hop.partition("://")
    if not mark:
        return (hop, hop.partition(":")[2]) if ":" in hop[:-1] else (hop,)
    host = place.rpartition(":")[0] if not place.endswith("]") else place
    return hop, place, host, host.strip("[]")


def asks_lane(query: Query, lane: str) -> bool:
    """True when `query` asks for recipients of this lane, or for none in particular."""
    if query.next_hop and not lane_fits(query.next_hop, lane):
        return False
    if not query.lanes and not query.hops:
        return True
    return lane in query.lanes or any(lane_fits(pattern, lane) for pattern in query.hops)


def reply_pattern(text: str) -> str:
    """The pattern of replies that hold `text`."""
    return f"*{text}*"


def matches(query: Query, one: Facts) -> bool:
    """True when `query` asks for this recipient; the same rules as in SQL."""
    if one.status.is_final or (query.ids and one.id not in query.ids):
        return False
    if query.status is not None and one.status is not query.status:
        return False
    domain = one.address.rpartition("@")[2] if "@" in one.address else ""
    texts = ((query.sender, one.sender), (query.recipient, one.address), (query.domain, domain))
    if not all(fits(bare(pattern), text) for pattern, text in texts if pattern):
        return False
    if (query.older and one.arrived >= query.older) or (query.larger and one.size <= query.larger):
        return False
    if not asks_lane(query, one.lane):
        return False
    if query.reply and not fits(reply_pattern(query.reply), one.reply):
        return False
    return not query.reason or query.reason == reason_of(one, query.now)


def reason_of(one: Facts, now: int) -> str:
    """Why a recipient that is not final waits."""
    if one.status is Status.HELD:
        return HELD
    if one.leased:
        return READY
    return DUE if one.due <= now else RETRY


def bare(pattern: str) -> str:
    """The null reverse-path is kept as no text."""
    return "" if pattern == "<>" else pattern
