"""Counting records while somebody watches: what came in and what became of it, by lane.

A sink of records that is there only as long as it is watched, so that nobody pays for it otherwise.
"""

from collections import Counter

from postroad.desk.protocol import Activity, LaneNow
from postroad.model.records import MessageAccepted, RecipientDeferred, RecipientDelivered, RecipientFailed, Record
from postroad.queue.lane import LaneState


class Watch:
    """The counts of one who watches."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._accepted = 0
        self._delivered: Counter[str] = Counter()
        self._deferred: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()

    def __call__(self, record: Record) -> None:
        """Count `record`."""
        kind = type(record)
        if kind is MessageAccepted:
            self._accepted += 1
        elif isinstance(record, RecipientDelivered):
            self._delivered[record.lane] += 1
        elif isinstance(record, RecipientDeferred):
            self._deferred[record.lane] += 1
        elif isinstance(record, RecipientFailed):
            self._failed[record.lane] += 1

    def take(self, seconds: float, states: list[LaneState], limit: int) -> tuple[Activity, tuple[LaneNow, ...]]:
        """What was counted in the last `seconds`, and the lanes where most happens or waits; counting begins anew."""
        delivered, deferred, failed = self._delivered, self._deferred, self._failed
        known = {state.name: state for state in states}
        names = {name: self._weight(name, known.get(name)) for name in (*known, *delivered, *deferred, *failed)}
        busiest = sorted(names, key=lambda name: (-names[name], name))[:limit]
        lanes = tuple(
            lane_now(known.get(name), name, (delivered[name], deferred[name], failed[name])) for name in busiest
        )
        activity = Activity(seconds, self._accepted, delivered.total(), deferred.total(), failed.total())
        self._accepted = 0
        self._delivered, self._deferred, self._failed = Counter(), Counter(), Counter()
        return activity, lanes

    def _weight(self, name: str, state: LaneState | None) -> int:
        happened = self._delivered[name] + self._deferred[name] + self._failed[name]
        return happened + (0 if state is None else state.waiting + state.running + bool(state.reason))


def lane_now(state: LaneState | None, name: str, counts: tuple[int, int, int] = (0, 0, 0)) -> LaneNow:
    """A lane for people."""
    if state is None:
        return LaneNow(name, 0, 0, 0, 0, "", "", *counts)
    facts = (state.waiting, state.running, state.allowed, state.until, state.reason, state.wait.value)
    return LaneNow(name, *facts, *counts)
