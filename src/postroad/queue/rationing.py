"""Who may use a shared limit: lanes stand in line for it, and are called when it opens.

A slot that begins reserves a place in every rate, and a lease uses it up; so no more slots begin than can do
something. Lanes in line for one limit go round. A limit that is closed for its rate holds only a little in memory,
however many lanes share it, and every limit at most as much as is free for all others. `wake` is when the first
closed one opens: nobody polls. Pure; `now` is microseconds since 1970.
"""

from collections import deque
from heapq import heappop, heappush
from typing import Final

from postroad.model.route import Route
from postroad.queue.lane import UNPLANNED, Lane, Shape, WaitReason
from postroad.queue.limits import Limit
from postroad.queue.shaping import Shaping, adopt, leave
from postroad.queue.throttle import ThrottleRules
from postroad.queue.times import NEVER

HELD: Final = 200  # recipients in memory behind one limit while its rate is used up


class Rationing:
    """The lines before all limits of one courier."""

    def __init__(self, shaping: Shaping, rules: ThrottleRules) -> None:
        """Lanes without a rule for their concurrency keep to `rules`."""
        self.shaping = shaping
        self._rules = rules
        self._lines: dict[Limit, deque[Lane]] = {}
        self._opening: list[tuple[int, int, Limit]] = []  # a heap: when, ticket, which
        self._armed: set[Limit] = set()
        self._freed: deque[Limit] = deque()
        self._ticket = 0

    @property
    def wake(self) -> int:
        """When to call `open_due`; NEVER when no limit will open by itself."""
        return self._opening[0][0] if self._opening else NEVER

    @property
    def has_opened(self) -> bool:
        """True while limits are open whose lines nobody has served yet, for want of a slot."""
        return bool(self._freed)

    def obey(self, rules: ThrottleRules) -> None:
        """Lanes without a rule for their concurrency keep to other `rules` from now on."""
        self._rules = rules

    def readmit(self, lane: Lane, now: int) -> None:
        """A lane that other rules have let go, with all that it holds and runs; its route stands for the next one."""
        if lane.route is None:
            self.welcome(lane, now)
        else:
            self.learn(lane, lane.route, now)

    def welcome(self, lane: Lane, now: int) -> None:
        """A new lane, whose route is not known."""
        self._take_on(lane, self.shaping.first_shape(lane.name), None, now)

    def learn(self, lane: Lane, route: Route, now: int) -> bool:
        """Apply the rules to `lane`, whose route is known; a pause that its rules share is its own, too.

        True when limits that it leaves may hold more from the spool again.
        """
        return self._take_on(lane, self.shaping.shape(lane.name, route), route, now)

    def dismiss(self, lane: Lane) -> None:
        """`lane` is forgotten, or has other rules from now on: it stands in no line and in no account."""
        stopped_by, lane.stopped_by = lane.stopped_by, None
        if stopped_by is not None:
            stopped_by.line -= 1
            line = self._lines[stopped_by]
            line.remove(lane)
            if not line:
                del self._lines[stopped_by]
        leave(lane)
        lane.shape = None

    def forget_idle(self, now: int) -> None:
        """Drop what tells nothing any more."""
        self.shaping.forget_idle(now)

    def is_crowded(self, lane: Lane, room: int, now: int) -> bool:
        """True when a limit of `lane` holds more in memory than it may, now that it is known to be one of its own."""
        return lane.shape is not None and not self.has_place(lane.shape, 0, room, now)

    def begin(self, lane: Lane, now: int) -> WaitReason | None:
        """Take a slot of every limit of `lane`; otherwise why it must wait, in whose line it then stands."""
        shape = lane.shape
        if shape is None:
            return None
        if shape is UNPLANNED:
            return WaitReason.PLANNING if lane.running else None
        for limit in shape.limits:
            if opens := limit.opens(now):
                return self._queue_up(lane, limit, opens)
        for limit in shape.limits:
            limit.running += 1
            limit.reserved += 1
        lane.reserved += 1
        return None

    def unreserve(self, lane: Lane) -> None:
        """A slot of `lane` is about to lease: its reservation ends."""
        if lane.shape is not None:
            lane.reserved -= 1
            for limit in lane.shape.limits:
                limit.reserved -= 1

    def lease(self, lane: Lane, now: int, *, again: bool) -> int | WaitReason:
        """How many works of the next batch may go, counted; otherwise why none may."""
        shape = lane.shape
        if shape is None or not shape.limits:
            return len(lane.batches[0].works)
        allowed = len(lane.batches[0].works)
        for limit in shape.limits:
            if again and limit.line and not (lane.stopped_by is limit and limit.line == 1):
                return self._queue_up(lane, limit, 0)
            if limit.concurrency:
                if limit.running > limit.cap:
                    return self._queue_up(lane, limit, NEVER)
                continue
            free = limit.free(now)
            if free <= 0:
                return self._queue_up(lane, limit, limit.opens(now))
            allowed = min(allowed, free if limit.per_recipient else free * shape.recipients)
        transactions = -(-allowed // shape.recipients)
        for limit in shape.limits:
            if limit.windows:
                limit.count(now, allowed if limit.per_recipient else transactions)
        return allowed

    def end(self, lane: Lane) -> None:
        """Give a slot of every limit of `lane` back."""
        if lane.shape is None:
            return
        for limit in lane.shape.limits:
            limit.running -= 1
            if limit.line:
                self._freed.append(limit)

    def succeed(self, lane: Lane) -> None:
        """The next hop of `lane` took mail without complaint."""
        for limit in lane.shape.limits if lane.shape is not None else ():
            limit.succeed()

    def crowd(self, lane: Lane, named: int) -> None:
        """The next hop of `lane` says that there are too many connections; it takes `named`, 0 when it did not say."""
        for limit in lane.shape.limits if lane.shape is not None else ():
            if limit.concurrency and not limit.of_source:
                limit.crowd(named)

    def let_go(self, lane: Lane, count: int) -> bool:
        """`count` recipients of `lane` wait no more; True when its limits may hold more from the spool again."""
        hungry = False
        if lane.shape is not None:
            for limit in lane.shape.limits:
                hungry |= limit.let_go(count)
        return hungry

    def has_place(self, shape: Shape, count: int, room: int, now: int) -> bool:
        """True when every limit may hold `count` more recipients in memory."""
        for limit in shape.limits:
            most = min(room, HELD) if limit.windows and limit.opens(now) else room
            if limit.held and limit.held + count > most:
                limit.low = limit.held // 2
                return False
        return True

    def open_due(self, now: int) -> None:
        """Limits whose time has come may serve their lines."""
        while self._opening and self._opening[0][0] <= now:
            limit = heappop(self._opening)[2]
            self._armed.discard(limit)
            self._freed.append(limit)

    def next_in_line(self, now: int) -> Lane | None:
        """The lane whose turn it is to try `begin`, at a limit that has opened."""
        freed = self._freed
        while freed:
            limit = freed[0]
            line = self._lines.get(limit)
            while line:
                if opens := limit.opens(now):
                    self._arm(limit, opens)
                    break
                lane = line.popleft()
                limit.line -= 1
                lane.stopped_by = None
                if lane.batches:
                    return lane
            if not line:
                self._lines.pop(limit, None)
            freed.popleft()
        return None

    def wait_of(self, lane: Lane, now: int) -> tuple[WaitReason, int, str] | None:
        """Why `lane` waits for one of its limits, until when, and which it is; None when it does not."""
        shape = lane.shape
        if shape is UNPLANNED:
            return WaitReason.PLANNING, 0, ""
        for limit in shape.limits if shape is not None else ():
            if opens := limit.opens(now):
                return reason_of(limit), 0 if opens == NEVER else opens, limit.words
        return None

    def _take_on(self, lane: Lane, shape: Shape, route: Route | None, now: int) -> bool:
        """Give `lane` its shape; in the line of a limit that is no longer its own it has no place."""
        old = lane.stopped_by
        if old is not None and old not in shape.limits:
            lane.stopped_by = None
            old.line -= 1
            line = self._lines[old]
            line.remove(lane)
            if not line:
                del self._lines[old]
        if lane.shape is not None:
            self._freed += [limit for limit in lane.shape.limits if limit.line and limit not in shape.limits]
        makes_place = adopt(lane, shape, route)
        limit = shape.concurrency or self._rules.limit
        if lane.throttle.rules.limit != limit:
            lane.throttle.obey(ThrottleRules(limit, self._rules.pauses))
        for pause in shape.pauses:
            if pause.until > now:
                lane.throttle.suspend(pause.until, now, pause.reason)
        return makes_place

    def _queue_up(self, lane: Lane, limit: Limit, opens: int) -> WaitReason:
        if lane.stopped_by is None:
            lane.stopped_by = limit
            limit.line += 1
            self._lines.setdefault(limit, deque()).append(lane)
        if opens and lane.stopped_by is limit:
            self._arm(limit, opens)
        return reason_of(limit)

    def _arm(self, limit: Limit, opens: int) -> None:
        if opens != NEVER and limit not in self._armed:
            self._armed.add(limit)
            self._ticket += 1
            heappush(self._opening, (opens, self._ticket, limit))


def reason_of(limit: Limit) -> WaitReason:
    """The reason that a closed `limit` is."""
    if limit.of_source:
        return WaitReason.SOURCE_LIMIT
    return WaitReason.CONCURRENCY if limit.concurrency else WaitReason.RATE
