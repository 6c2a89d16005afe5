"""The nouns of the window: lanes, batches, the limits that lanes share, and the reasons why work waits.

A `Lane` is one next hop's work in memory. A `Limit` is one number that a shaping rule sets, with the account of
all lanes that share it; a `Shape` is what all rules together say about one lane. Every wait has a `WaitReason`,
so that people can be told. Decisions about them are in `ready` and `limits`. Pure.
"""

from collections import deque
from enum import Enum
from typing import Final

from msgspec import Struct

from postroad.model.route import Route, Terms
from postroad.model.work import Stored, Work
from postroad.queue.limits import Limit
from postroad.queue.remap import ReplyRule
from postroad.queue.throttle import Throttle


class WaitReason(Enum):
    """Why work is not being delivered right now."""

    NOTHING = "nothing is ready"
    PLANNING = "the hosts of the next hop are being looked up"
    LANE_BUSY = "all connections that this next hop may have are in use"
    LANE_SUSPENDED = "the next hop is suspended"
    LANE_STOPPED = "an operator has suspended the next hop"
    RATE = "a rate that a shaping rule sets is used up"
    CONCURRENCY = "all connections that a shaping rule allows are in use"
    SOURCE_LIMIT = "a limit that a shaping rule sets for the egress source is used up"
    GLOBAL_LIMIT = "all connections are in use"
    DRAINING = "the queue is being drained"


class Batch(Struct, eq=False):
    """Works of one message on one lane."""

    stored: Stored
    works: list[Work]


class Pause(Struct, eq=False):
    """A suspension that a reply rule began, for all lanes that share the rule: over at `until`."""

    until: int = 0
    reason: str = ""
    lanes: int = 0  # that refer to it


class Shape(Struct, frozen=True, eq=False):
    """What the shaping rules say about one lane; without rules for it everything is empty.

    `rules` are the numbers of the rules that match. `recipients` is how many go in one transaction: a message rate
    counts transactions. `pauses` belong to `replies`, one each.
    """

    rules: tuple[int, ...] = ()
    limits: tuple[Limit, ...] = ()
    concurrency: int = 0
    recipients: int = 1 << 30
    replies: tuple[ReplyRule, ...] = ()
    pauses: tuple[Pause, ...] = ()
    terms: Terms | None = None


UNPLANNED: Final = Shape()  # of a lane whose rules are known only when its route is


class Lane(Struct, eq=False):
    """One next hop: its throttle, what waits for it in memory, how many deliveries run.

    `shape` is None when there are no shaping rules at all; `route` is what it was made from.
    """

    name: str
    throttle: Throttle
    batches: deque[Batch]
    waiting: int = 0  # recipients in `batches`
    running: int = 0
    low: int = -1  # when no more than this waits, the spool has more
    in_line: bool = False
    shape: Shape | None = None
    route: Route | None = None
    reserved: int = 0  # slots that have begun and not leased yet, each with a place in every rate
    stopped_by: Limit | None = None  # in whose line the lane waits


class LaneState(Struct, frozen=True, gc=False):
    """A lane as shown to people: recipients waiting in memory, deliveries running and allowed, why it waits.

    `until` is when the wait ends, in microseconds since 1970, 0 when that is not known; `reason` tells it in words.
    """

    name: str
    waiting: int
    running: int
    allowed: int
    until: int
    reason: str
    wait: WaitReason


def by_lane(works: list[Work]) -> list[list[Work]]:
    """`works` of one message grouped by lane, in the order of their first ones."""
    groups: dict[str, list[Work]] = {}
    for work in works:
        groups.setdefault(work.lane, []).append(work)
    return list(groups.values())


def by_message(works: list[Work]) -> list[list[Work]]:
    """`works` grouped by message, in the order of their first ones."""
    groups: dict[str, list[Work]] = {}
    for work in works:
        groups.setdefault(work.stored.envelope.id, []).append(work)
    return list(groups.values())
