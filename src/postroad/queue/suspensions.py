"""Which lanes an operator has stopped, and until when.

A lane is looked at once and remembered, so that asking costs a dictionary look-up; with nothing suspended, nothing is
asked. A site's lanes are known once their route was planned, a route's once it was asked for one of its recipients:
`note_site` and `note_route` tell. Pure.
"""

from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from postroad.model.outcome import Deferred
from postroad.model.suspension import NEXT_HOP, ROUTE, SITE, Suspension
from postroad.queue.throttle import Throttle, ThrottleRules
from postroad.queue.times import NEVER
from postroad.spool.filters import fits, lane_fits
from postroad.spool.shut import Closed

LIMIT: Final = 1000  # suspensions at once
_LANES_KEPT: Final = 100_000

Key = tuple[str, str]  # kind and name


class Stopped(Deferred, frozen=True, gc=False, kw_only=True):
    """There is a route, but an operator has stopped where it leads: nothing was tried, and nobody failed."""

    suspension: Suspension

    def throttle(self, rules: ThrottleRules) -> Throttle:
        """The same, in the form in which mail is parked."""
        return _parking(self.suspension, rules)


class Suspensions:
    """The suspensions in force, and what is known about lanes."""

    def __init__(self, entries: Iterable[Suspension] = ()) -> None:
        """Begin with what was in force before."""
        self.entries: dict[Key, Suspension] = {}
        self.has_routes = False
        self._sites: dict[str, str] = {}  # by lane
        self._lanes: dict[Key, dict[str, None]] = {}  # by suspension of a site or route: those learned, in order
        self._stopped: dict[str, Suspension] = {}  # lanes looked at
        self._free: set[str] = set()
        self._patterns: tuple[str, ...] = ()
        self.restore(entries)

    def add(self, one: Suspension) -> None:
        """Put `one` in force, in the place of one with the same name."""
        known = (lane for lane, site in self._sites.items() if one.kind == SITE and fits(one.name, site))
        self.entries[one.kind, one.name] = one
        self._lanes[one.kind, one.name] = dict.fromkeys(known)
        self._look_again()

    def remove(self, kind: str, name: str) -> list[Suspension]:
        """End those whose kind is `kind` and whose name fits the pattern; which they were."""
        ended = [
            one for one in self.entries.values() if one.kind == kind and (one.name == name or fits(name, one.name))
        ]
        self._end(ended)
        return ended

    def listed(self) -> list[Suspension]:
        """All that are in force, with the lanes that they are known to mean: to be kept, and restored."""
        return [msgspec.structs.replace(one, lanes=tuple(self._lanes[key])) for key, one in self.entries.items()]

    def restore(self, entries: Iterable[Suspension]) -> None:
        """Let `entries` be in force, and nothing else."""
        found = {(one.kind, one.name): one for one in entries}
        self._lanes = {key: dict.fromkeys(one.lanes) for key, one in found.items()}
        self.entries = {key: msgspec.structs.replace(one, lanes=()) for key, one in found.items()}
        self._look_again()

    def expire(self, now: int) -> list[Suspension]:
        """End those whose time is over; which they were."""
        ended = [one for one in self.entries.values() if one.until <= now]
        if ended:
            self._end(ended)
        return ended

    def of(self, lane: str, now: int) -> Suspension | None:
        """What stops `lane` now."""
        if lane in self._free:
            return None
        found = self._stopped.get(lane) or self._look(lane)
        if found is None or found.until > now:
            return found
        return next((one for one in self.entries.values() if one.until > now and self._means(one, lane)), None)

    def throttle(self, lane: str, rules: ThrottleRules, now: int) -> Throttle | None:
        """What stops `lane` now, in the form in which mail is parked."""
        found = self.of(lane, now)
        return None if found is None else _parking(found, rules)

    def closed(self, closed: set[str], now: int) -> Collection[str]:
        """`closed` lanes and those stopped now, as far as they are known; what has ended is forgotten."""
        if self.entries:
            self.expire(now)
        if not self.entries:
            return closed
        return Closed(closed.union(*self._lanes.values()), self._patterns)

    def next_end(self) -> int:
        """When the first suspension ends; `NEVER` without one."""
        return min((one.until for one in self.entries.values()), default=NEVER) if self.entries else NEVER

    def note_site(self, lane: str, site: str) -> bool:
        """`lane` leads to `site`; True when that is news."""
        if self._sites.get(lane) == site:
            return False
        if len(self._sites) >= _LANES_KEPT:
            self._sites.clear()
        self._sites[lane] = site
        return self._learn(SITE, site, lane)

    def note_route(self, lane: str, reason: str) -> None:
        """The route that `reason` names sends mail to `lane`; only worth a call when `has_routes`."""
        head = reason.partition(" (")[0]
        name = head.removeprefix("route ").strip('"')
        self._learn(ROUTE, name, lane)

    def lanes_of(self, site: str) -> list[str]:
        """The lanes known to lead to sites that fit the pattern."""
        return sorted(lane for lane, name in self._sites.items() if fits(site, name))

    def _learn(self, kind: str, name: str, lane: str) -> bool:
        learned = False
        for key, one in self.entries.items():
            if one.kind == kind and fits(one.name, name) and lane not in self._lanes[key]:
                self._lanes[key][lane] = None
                learned = True
        if learned:
            self._look(lane)
        return learned

    def _look(self, lane: str) -> Suspension | None:
        """What stops `lane` the longest; remembered."""
        meant = [one for one in self.entries.values() if self._means(one, lane)]
        found = max(meant, key=lambda one: one.until, default=None)
        if found is not None:
            if len(self._stopped) >= _LANES_KEPT:
                self._stopped.clear()
            self._stopped[lane] = found
            self._free.discard(lane)
            return found
        if len(self._free) >= _LANES_KEPT:
            self._free.clear()
        self._free.add(lane)
        return None

    def _means(self, one: Suspension, lane: str) -> bool:
        return lane_fits(one.name, lane) if one.kind == NEXT_HOP else lane in self._lanes[one.kind, one.name]

    def _end(self, ended: list[Suspension]) -> None:
        for one in ended:
            del self.entries[one.kind, one.name], self._lanes[one.kind, one.name]
        self._look_again()

    def _look_again(self) -> None:
        self._stopped.clear()
        self._free.clear()
        self._patterns = tuple(one.name for one in self.entries.values() if one.kind == NEXT_HOP)
        self.has_routes = any(one.kind == ROUTE for one in self.entries.values())


def _parking(one: Suspension, rules: ThrottleRules) -> Throttle:
    return Throttle(rules, 0, 0, until=one.until, reason=one.words)
