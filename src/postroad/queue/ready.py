"""The window: work in memory that is ready for delivery, in one lane per next hop.

A batch is the works of one message on one lane. A lane may hold as much as is still free for all others, so
one slow next hop can fill half of the window and never the last place; what a lane may not hold waits in the
spool, and `hungry` says when to look there again. Who gets a slot when all deliveries are taken goes round by
lane. Limits that lanes share are in `rationing`. Every wait has its reason. Pure; `now` is microseconds since 1970.
"""

from collections import deque
from collections.abc import Collection
from typing import Final

from postroad.model.route import Route
from postroad.model.work import Stored, Work
from postroad.queue.lane import Batch, Lane, LaneState, WaitReason
from postroad.queue.rationing import Rationing
from postroad.queue.settings import QueueSettings
from postroad.queue.shaping import Shaping
from postroad.queue.throttle import ThrottleRules, new_throttle, rules_of
from postroad.queue.times import NEVER

BATCH_LIMIT: Final = 1000  # works in one batch; transactions are split further at each peer's own limit
LANE_LIMIT: Final = 50_000  # lanes remembered with nothing in memory; more than that many dead next hops are forgotten


class Ready:
    """All lanes of one courier, and the accounts of its window."""

    def __init__(self, settings: QueueSettings, shaping: Shaping | None = None) -> None:
        """Begin empty, with the limits of `settings`, and of `shaping` where there are rules."""
        self._window = settings.window
        self._octets_limit = settings.window_content
        self._deliveries = settings.deliveries
        self._rules: ThrottleRules = rules_of(settings)
        self._lanes: dict[str, Lane] = {}
        self._line: deque[Lane] = deque()  # lanes that wait for a slot among all deliveries
        self._is_turn_of_limits = False  # who waits for a slot and who waits for a limit get free slots in turn
        self._holders: dict[str, int] = {}  # batches in memory by message, where its content counts in `octets`
        self._low = -1
        self._sites: dict[str, str] = {}  # by lane, for mail that waits longer than a lane is remembered
        self.rations = None if shaping is None else Rationing(shaping, self._rules)
        self.used = 0  # recipients in memory, until their settlement is durable
        self.octets = 0
        self.running = 0
        self.draining = False
        self.hungry = False

    def adopt(self, settings: QueueSettings, shaping: Shaping | None, now: int) -> list[Lane]:
        """Go on with other limits; the lanes that have work and may try to begin anew.

        Lanes keep what they hold and what they learned; with other rules each takes its place in their accounts.
        """
        self._window = settings.window
        self._octets_limit = settings.window_content
        self._deliveries = settings.deliveries
        self._rules = rules_of(settings)
        old = self.rations
        if old is not None and old.shaping is shaping:
            old.obey(self._rules)
        else:
            self.rations = None if shaping is None else Rationing(shaping, self._rules)
        for lane in self._lanes.values():
            if self.rations is not old:
                if old is not None:
                    old.dismiss(lane)
                if self.rations is not None:
                    self.rations.readmit(lane, now)
            lane.throttle.obey(
                ThrottleRules((lane.shape and lane.shape.concurrency) or self._rules.limit, self._rules.pauses)
            )
        self.hungry = True
        return [lane for lane in self._lanes.values() if lane.batches]

    @property
    def room(self) -> int:
        """How many recipients the window can still take."""
        return self._window - self.used

    def lane(self, name: str, now: int = 0) -> Lane:
        """The lane called `name`, made when it is new."""
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(name, new_throttle(self._rules), deque())
            if self.rations is not None:
                self.rations.welcome(lane, now)
        return lane

    def find(self, name: str) -> Lane | None:
        """The lane called `name`, when there is one."""
        return self._lanes.get(name)

    def surplus(self, lane: Lane, now: int) -> list[Work]:
        """What `lane` must not hold in memory, now that its limits are known: all or nothing."""
        if self.rations is None or not self.rations.is_crowded(lane, self._window - self.used + lane.waiting, now):
            return []
        return self.unload(lane)

    def site_of(self, lane: str) -> str:
        """The site of the lane called `lane`, "" while that is not known."""
        return self._sites.get(lane, "")

    def pause(self, lane: Lane, index: int, until: int, reason: str) -> list[Lane]:
        """The lanes that keep the pause that reply rule `index` of `lane` asks for; lanes to come will, too."""
        if lane.shape is None:
            return []
        pause = lane.shape.pauses[index]
        pause.until, pause.reason = until, reason
        return [other for other in self._lanes.values() if other.shape is not None and pause in other.shape.pauses]

    def learn(self, lane: Lane, route: Route, now: int) -> None:
        """The route of `lane` is known: apply the shaping rules that depend on it, where there are any."""
        if route.site:
            if len(self._sites) >= LANE_LIMIT:
                self._sites.clear()
            self._sites[lane.name] = route.site
        if self.rations is None:
            lane.route = route
        else:
            self.hungry |= self.rations.learn(lane, route, now)

    def has_place(self, lane: Lane, count: int, now: int) -> bool:
        """True when `lane` may hold `count` more recipients; otherwise they wait in the spool."""
        room = self._window - self.used
        if lane.waiting + count > room:
            self._expect(lane)
            return False
        return lane.shape is None or self.rations is None or self.rations.has_place(lane.shape, count, room, now)

    def push(self, lane: Lane, stored: Stored, works: list[Work]) -> None:
        """Take `works` of one message in, at the end of `lane`."""
        count = len(works)
        self.used += count
        lane.waiting += count
        if lane.shape is not None:
            for limit in lane.shape.limits:
                limit.held += count
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

    def let_content_go(self, stored: Stored) -> None:
        """A message that did not come in needs no content, unless works of it are here already."""
        if stored.envelope.id not in self._holders:
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
        if self.rations is not None and (wait := self.rations.begin(lane, now)) is not None:
            return wait
        lane.running += 1
        self.running += 1
        return None

    def lease(self, lane: Lane, now: int, *, again: bool = False) -> Batch | WaitReason:
        """The next batch for a worker that holds a slot; a reason means that it must `end`.

        `again` says that the slot has served a batch already, so that others may claim it now.
        """
        if lane.reserved and not again and self.rations is not None:
            self.rations.unreserve(lane)
        if self.draining:
            return WaitReason.DRAINING
        if not lane.batches:
            return WaitReason.NOTHING
        throttle = lane.throttle
        if lane.running > (throttle.window if throttle.until == 0 else throttle.allowed(now)):
            return WaitReason.LANE_SUSPENDED if throttle.is_suspended(now) else WaitReason.LANE_BUSY
        if again and self._is_slot_wanted(lane):
            self._queue_up(lane)
            return WaitReason.GLOBAL_LIMIT
        if self.rations is not None and lane.shape is not None:
            allowed = self.rations.lease(lane, now, again=again)
            if isinstance(allowed, WaitReason):
                return allowed
            self._split(lane, allowed)
        batch = lane.batches.popleft()
        self.let_go(lane, len(batch.works))
        return batch

    def let_go(self, lane: Lane, count: int) -> None:
        """`count` recipients have left the batches of `lane`; they stay in memory until `finish`."""
        lane.waiting -= count
        if lane.waiting <= lane.low:
            lane.low = -1
            self.hungry = True
        if self.rations is not None:
            self.hungry |= self.rations.let_go(lane, count)

    def end(self, lane: Lane) -> None:
        """Give the slot of a worker of `lane` back."""
        lane.running -= 1
        self.running -= 1
        if self.rations is not None:
            self.rations.end(lane)

    def next_in_line(self, now: int) -> Lane | None:
        """The lane whose turn it is to try `begin`, when a slot is free."""
        if self.running >= self._deliveries:
            return None
        if self.rations is None:
            return self._first_in_line()
        self._is_turn_of_limits = not self._is_turn_of_limits
        if self._is_turn_of_limits:
            return self.rations.next_in_line(now) or self._first_in_line()
        return self._first_in_line() or self.rations.next_in_line(now)

    def _first_in_line(self) -> Lane | None:
        while self._line:
            lane = self._line.popleft()
            lane.in_line = False
            if lane.batches:
                return lane
        return None

    def _is_slot_wanted(self, lane: Lane) -> bool:
        """True when others than `lane` wait for a slot: for any, or for one that the limit they stood at allows."""
        if self._line and not (lane.in_line and len(self._line) == 1):
            return True
        return self.rations is not None and self.rations.has_opened and self.running >= self._deliveries

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
        if self.rations is not None:
            self.hungry |= self.rations.let_go(lane, lane.waiting)
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
            elif _is_crowded(lane):
                closed.add(lane.name)
        return closed

    def mark_full(self) -> None:
        """The window is full: be `hungry` again when half of it is free."""
        self._low = self.used // 2

    def next_resume(self, now: int) -> int:
        """When the pause of the first suspended lane ends; NEVER when none is suspended."""
        return min((lane.throttle.until for lane in self._lanes.values() if now < lane.throttle.until), default=NEVER)

    def forget_idle(self, now: int) -> None:
        """Drop the lanes that hold nothing and tell nothing; beyond `LANE_LIMIT`, the longest failing ones too."""
        idle = [
            lane
            for lane in self._lanes.values()
            if not (lane.waiting or lane.running or lane.in_line or lane.stopped_by)
        ]
        for lane in idle:
            if lane.throttle.is_neutral(now) and not _is_crowded(lane):
                self._forget(lane)
        if self.rations is not None:
            self.rations.forget_idle(now)
        surplus = len(self._lanes) - LANE_LIMIT
        if surplus > 0:
            rest = sorted((lane for lane in idle if lane.name in self._lanes), key=lambda lane: lane.throttle.failed_at)
            for lane in rest[:surplus]:
                self._forget(lane)

    def _forget(self, lane: Lane) -> None:
        del self._lanes[lane.name]
        if self.rations is not None:
            self.rations.dismiss(lane)

    def states(self, now: int, names: Collection[str] = ()) -> list[LaneState]:
        """Every lane as it is now, for people; with `names`, those called so that there are."""
        chosen = [self._lanes[name] for name in names if name in self._lanes] if names else self._lanes.values()
        return [self._state(lane, now) for lane in chosen]

    def _state(self, lane: Lane, now: int) -> LaneState:
        throttle = lane.throttle
        wait, until, reason = self._wait(lane, now)
        return LaneState(lane.name, lane.waiting, lane.running, throttle.allowed(now), until, reason, wait)

    def _wait(self, lane: Lane, now: int) -> tuple[WaitReason, int, str]:
        """Why `lane` waits, until when, and more in words."""
        throttle = lane.throttle
        known = (throttle.until, throttle.reason)
        if self.draining:
            return WaitReason.DRAINING, *known
        if throttle.is_suspended(now):
            return WaitReason.LANE_SUSPENDED, *known
        if not lane.batches:
            return WaitReason.NOTHING, *known
        if lane.in_line:
            return WaitReason.GLOBAL_LIMIT, *known
        if self.rations is not None and (wait := self.rations.wait_of(lane, now)) is not None:
            return wait
        return WaitReason.LANE_BUSY, *known

    def _split(self, lane: Lane, allowed: int) -> None:
        """Let the next batch of `lane` have at most `allowed` works; the rest stays where it is."""
        batch = lane.batches[0]
        if len(batch.works) > allowed:
            lane.batches[0] = Batch(batch.stored, batch.works[allowed:])
            lane.batches.appendleft(Batch(batch.stored, batch.works[:allowed]))
            self._hold(batch.stored)

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


def _is_crowded(lane: Lane) -> bool:
    """True when a limit of `lane` may hold no more in memory for now."""
    return lane.shape is not None and any(limit.low >= 0 for limit in lane.shape.limits)
