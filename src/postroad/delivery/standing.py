"""How the hosts of routes with a choice stand: orders targets, learns from failures, reports who leaves and returns.

The pure parts are `health` and `balance`; here they get the time and their findings become records. A route with one
target has nothing to choose: its lane alone is suspended.
"""

from collections.abc import Sequence

from postroad.delivery.balance import Balance, Key, key_of
from postroad.delivery.dialing import Dialing
from postroad.delivery.egress import Egress, Source
from postroad.delivery.health import Health
from postroad.model.records import Emit, SourceResumed, SourceSuspended, TargetResumed, TargetSuspended
from postroad.model.route import Route, Target
from postroad.net.clock import Clock


class Standing:
    """Who may be tried, and in which order; `failing` is empty while all hosts are well."""

    __slots__ = ("_clock", "_egress", "_emit", "_health", "_monotonic", "balance", "failing")

    def __init__(self, egress: Egress, clock: Clock, emit: Emit) -> None:
        """All are well; `egress` has the sources."""
        self._egress = egress
        self._clock = clock
        self._monotonic = clock.monotonic
        self._emit = emit
        self._health: Health[Key] = Health()
        self.failing = self._health.entries
        self.balance = Balance(self._health)

    def order(self, route: Route, dialing: Dialing) -> Sequence[Target]:
        """The targets of `route` to try, in order."""
        return self.balance.order(route, dialing.preference, self._monotonic())

    def take_due(self, dialing: Dialing) -> list[Target]:
        """The targets that the last order left out and that are to be probed now; each until `end_probe`."""
        balance = self.balance
        if not balance.due:
            return []
        now = self._monotonic()
        source = dialing.preference.source
        due = [target for target in balance.due if self._health.begin_probe(key_of(target, source), now)]
        balance.due = []
        return due

    def end_probe(self, target: Target, dialing: Dialing) -> None:
        """The probe of `target` has ended, one way or the other."""
        self._health.end_probe(key_of(target, dialing.preference.source))

    def fail(self, target: Target, dialing: Dialing, reason: str, *, fatal: bool) -> None:
        """`target` failed; `fatal`: it cannot be reached at all."""
        source = dialing.preference.source
        pause = self._health.fail(key_of(target, source), self._monotonic(), fatal=fatal)
        if pause:
            now = self._clock.now()
            until = now + int(pause * 1_000_000)
            self._emit(TargetSuspended(at=now, target=str(target), until=until, reason=reason, source=source))

    def succeed(self, target: Target, dialing: Dialing) -> None:
        """`target` took a transaction to its end, whatever it said of the mail."""
        key = key_of(target, dialing.preference.source)
        if key in self.failing:
            self._returned(target, key, self._health.succeed(key, self._monotonic()))

    def answer(self, target: Target, dialing: Dialing) -> None:
        """`target` opened a session."""
        key = key_of(target, dialing.preference.source)
        if key in self.failing:
            self._returned(target, key, self._health.answer(key, self._monotonic()))

    def sources(self, name: str) -> list[Source]:
        """The sources to try, in order, for the source or pool `name`."""
        return self._egress.order(name, self._monotonic())

    def source_failed(self, source: Source, reason: str) -> None:
        """Nothing can be sent from `source` now."""
        pause = self._egress.health.fail(source.name, self._monotonic(), fatal=True)
        if pause:
            now = self._clock.now()
            self._emit(SourceSuspended(at=now, source=source.name, until=now + int(pause * 1_000_000), reason=reason))

    def source_worked(self, source: Source) -> None:
        """`source` reached somebody, or its targets were to blame."""
        seconds = self._egress.health.succeed(source.name, self._monotonic())
        if seconds:
            self._emit(SourceResumed(at=self._clock.now(), source=source.name, seconds=seconds))

    def end_source_probe(self, source: Source) -> None:
        """What was sent from `source` has ended, one way or the other."""
        self._egress.health.end_probe(source.name)

    def _returned(self, target: Target, key: Key, seconds: float) -> None:
        if seconds:
            self._emit(TargetResumed(at=self._clock.now(), target=str(target), seconds=seconds, source=key[2]))
