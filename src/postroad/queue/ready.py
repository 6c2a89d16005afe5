"""The window: work in memory that is ready for delivery, in one lane per next hop.

A batch is the works of one message on one lane. A lane may hold as much as is still free for all others, so
one slow next hop can fill half of the window and never the last place; what a lane may not hold waits in the
spool, and `hungry` says when to look there again. Who gets a slot when all deliveries are taken goes round by
lane. Every wait has its reason. Pure; `now` is microseconds since 1970.
"""

from collections import deque
from enum import Enum
from typing import Final

from msgspec import Struct

from postroad.model.work import Stored, Work
from postroad.queue.settings import QueueSettings
from postroad.queue.throttle import Throttle, ThrottleRules, new_throttle, rules_of

BATCH_LIMIT: Final = 1000  # works in one batch; transactions are split further at each peer's own limit
LANE_LIMIT: Final = 50_000  # lanes remembered with nothing in memory; more than that many dead next hops are forgotten


class WaitReason(Enum):
    """Why work is not being delivered right now."""

    NOTHING = "nothing is ready"
    LANE_BUSY = "all connections that this next hop may have are in use"
    LANE_SUSPENDED = "the next hop is suspended"
    LANE_STOPPED = "an operator has suspended the next hop"
    GLOBAL_LIMIT = "all connections are in use"
    DRAINING = "the queue is being drained"


class Batch(Struct):
    """Works of one message on one lane."""

    stored: Stored
    works: list[Work]


class Lane(Struct):
    """One next hop: its throttle, what waits for it in memory, how many deliveries run."""

    name: str
    throttle: Throttle
    batches: deque[Batch]
    waiting: int = 0  # recipients in `batches`
    running: int = 0
    low: int = -1  # when no more than this waits, the spool has more
    in_line: bool = False


class LaneState(Struct, frozen=True, gc=False):
    """A lane as shown to people: recipients waiting in memory, deliveries running and allowed, why it waits."""

    name: str
    waiting: int
    running: int
    allowed: int
    until: int
    reason: str
    wait: WaitReason


class Ready:
    """All lanes of one courier, and the accounts of its window."""

    def __init__(self, settings: QueueSettings) -> None:
        """Begin empty, with the limits of `settings`."""
        self._window = settings.window
        self._octets_limit = settings.window_content
        self._deliveries = settings.deliveries
        self._rules: ThrottleRules = rules_of(settings)
        self._lanes: dict[str, Lane] = {}
        self._line: deque[Lane] = deque()  # lanes that wait for a slot among all deliveries
        self._holders: dict[str, int] = {}  # batches in memory by message, where its content counts in `octets`
        self._low = -1
        self.used = 0  # recipients in memory, until their settlement is durable
        self.octets = 0
        self.running = 0
        self.draining = False
        self.hungry = False

    @property
    def room(self) -> int:
        """How many recipients the window can still take."""
        return self._window - self.used

    def lane(self, name: str) -> Lane:
        """The lane called `name`, made when it is new."""
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(name, new_throttle(self._rules), deque())
        return lane

    def has_place(self, lane: Lane, count: int) -> bool:
        """True when `lane` may hold `count` more recipients; otherwise they wait in the spool."""
        if lane.waiting + count <= self._window - self.used:
            return True
        self._expect(lane)
        return False

    def push(self, lane: Lane, stored: Stored, works: list[Work]) -> None:
        """Take `works` of one message in, at the end of `lane`."""
        count = len(works)
        self.used += count
        lane.waiting += count
        if count <= BATCH_LIMIT:
            lane.batches.append(Batch(stored, works))
            self._hold(stored)
            return
        for start in range(0, count, BATCH_LIMIT):
            lane.batches.append(Batch(stored, works[start : start + BATCH_LIMIT]))
            self._hold(stored)

    def leave(self, stored: Stored) -> None:
        """One batch of the message is done with its content; after the last one it leaves memory."""
        key = stored.envelope.id
        holders = self._holders.get(key)
        if holders is None:
            return
        if holders > 1:
            self._holders[key] = holders - 1
            return
        del self._holders[key]
        content = stored.content
        if isinstance(content, bytes):
            self.octets -= len(content)
            stored.content = None

    def take(self, count: int) -> None:
        """Count `count` recipients that are in memory outside of any lane; `finish` ends it."""
        self.used += count

    def begin(self, lane: Lane, now: int) -> WaitReason | None:
        """Take a slot for one more worker of `lane`; otherwise why it must wait."""
        throttle = lane.throttle
        if lane.running >= (throttle.window if throttle.until == 0 else throttle.allowed(now)):
            return WaitReason.LANE_SUSPENDED if throttle.is_suspended(now) else WaitReason.LANE_BUSY
        if self.draining:
            return WaitReason.DRAINING
        if self.running >= self._deliveries:
            self._queue_up(lane)
            return WaitReason.GLOBAL_LIMIT
        lane.running += 1
        self.running += 1
        return None

    def lease(self, lane: Lane, now: int, *, again: bool = False) -> Batch | WaitReason:
        """The next batch for a worker that holds a slot; a reason means that it must `end`.

        `again` says that the slot has served a batch already, so that others may claim it now.
        """
        if self.draining:
            return WaitReason.DRAINING
        if not lane.batches:
            return WaitReason.NOTHING
        throttle = lane.throttle
        if lane.running > (throttle.window if throttle.until == 0 else throttle.allowed(now)):
            return WaitReason.LANE_SUSPENDED if throttle.is_suspended(now) else WaitReason.LANE_BUSY
        if again and self._line and not (lane.in_line and len(self._line) == 1):
            self._queue_up(lane)
            return WaitReason.GLOBAL_LIMIT
        batch = lane.batches.popleft()
        lane.waiting -= len(batch.works)
        if lane.waiting <= lane.low:
            lane.low = -1
            self.hungry = True
        return batch

    def end(self, lane: Lane) -> None:
        """Give the slot of a worker of `lane` back."""
        lane.running -= 1
        self.running -= 1

    def next_in_line(self) -> Lane | None:
        """The lane whose turn it is to try `begin`, when a slot is free."""
        while self._line and self.running < self._deliveries:
            lane = self._line.popleft()
            lane.in_line = False
            if lane.batches:
                return lane
        return None

    def finish(self, count: int) -> None:
        """`count` recipients have left memory."""
        self.used -= count
        if self.used <= self._low:
            self._low = -1
            self.hungry = True

    def unload(self, lane: Lane) -> list[Work]:
        """Take all that waits in `lane` out of the window again."""
        works: list[Work] = []
        for batch in lane.batches:
            works += batch.works
            self.leave(batch.stored)
        lane.batches.clear()
        lane.waiting = 0
        lane.low = -1
        self.finish(len(works))
        return works

    def unload_all(self) -> list[Work]:
        """Take all that waits in any lane out of the window."""
        return [work for lane in self._lanes.values() if lane.batches for work in self.unload(lane)]

    def closed(self, now: int) -> set[str]:
        """The lanes for which nothing is to be fetched from the spool now: suspended, being probed, or full."""
        room = self.room
        closed: set[str] = set()
        for lane in self._lanes.values():
            throttle = lane.throttle
            if throttle.until:
                if now < throttle.until or lane.waiting or lane.running:
                    closed.add(lane.name)
            elif lane.waiting >= room and lane.waiting:
                self._expect(lane)
                closed.add(lane.name)
        return closed

    def mark_full(self) -> None:
        """The window is full: be `hungry` again when half of it is free."""
        self._low = self.used // 2

    def next_resume(self, now: int) -> int | None:
        """When the pause of the first suspended lane ends; None when none is suspended."""
        return min((lane.throttle.until for lane in self._lanes.values() if now < lane.throttle.until), default=None)

    def forget_idle(self, now: int) -> None:
        """Drop the lanes that hold nothing and tell nothing; beyond `LANE_LIMIT`, the longest failing ones too."""
        idle = [lane for lane in self._lanes.values() if not (lane.waiting or lane.running or lane.in_line)]
        for lane in idle:
            if lane.throttle.is_neutral(now):
                del self._lanes[lane.name]
        surplus = len(self._lanes) - LANE_LIMIT
        if surplus > 0:
            rest = sorted((lane for lane in idle if lane.name in self._lanes), key=lambda lane: lane.throttle.failed_at)
            for lane in rest[:surplus]:
                del self._lanes[lane.name]

    def states(self, now: int) -> list[LaneState]:
        """Every lane as it is now, for people."""
        return [
            LaneState(
                lane.name,
                lane.waiting,
                lane.running,
                lane.throttle.allowed(now),
                lane.throttle.until,
                lane.throttle.reason,
                self._reason(lane, now),
            )
            for lane in self._lanes.values()
        ]

    def _reason(self, lane: Lane, now: int) -> WaitReason:
        if self.draining:
            return WaitReason.DRAINING
        if lane.throttle.is_suspended(now):
            return WaitReason.LANE_SUSPENDED
        if not lane.batches:
            return WaitReason.NOTHING
        return WaitReason.GLOBAL_LIMIT if lane.in_line else WaitReason.LANE_BUSY

    def _hold(self, stored: Stored) -> None:
        """One more batch uses the message's content; let it go when there is too much of it in memory."""
        content = stored.content
        if not isinstance(content, bytes):
            return
        key = stored.envelope.id
        holders = self._holders.get(key, 0)
        if holders == 0:
            if self.octets + len(content) > self._octets_limit:
                stored.content = None
                return
            self.octets += len(content)
        self._holders[key] = holders + 1

    def _queue_up(self, lane: Lane) -> None:
        if not lane.in_line:
            lane.in_line = True
            self._line.append(lane)

    def _expect(self, lane: Lane) -> None:
        """More of `lane` waits in the spool than may be held: be `hungry` once half of what is held has gone."""
        if lane.waiting:
            lane.low = lane.waiting // 2
        elif self.used:
            self._low = max(self._low, self.used // 2)
        else:
            self.hungry = True


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
