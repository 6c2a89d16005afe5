"""How hard one next hop is pushed: a window of concurrent deliveries that adapts, and suspension of a dead one.

The window starts small and grows by one with each success; a failure of the host halves it, and from then on it
grows slowly above the half, so that a peer's own limit is found and kept. A failure with a window of one
suspends the lane; when the pause is over one message probes it, and a failed probe begins the next, longer pause.
Failures of single recipients never count: a host that answers is alive. A host that answers "too many connections"
is alive, too: what it takes is what it named, or one less than there are. RFC 5321 4.5.4.1 asks for memory of dead
hosts. Pure; times are microseconds since 1970.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from postroad.model.outcome import Decided, Deferred, Scope
from postroad.queue.retry import JITTER
from postroad.queue.settings import QueueSettings
from postroad.queue.times import NEVER, microseconds

START: Final = 5  # deliveries at once to a next hop nothing is known about (Postfix begins with 5, too)
PATIENCE: Final = 50  # successes at a window that failed before, until one more is tried
NAMED_LIMIT: Final = 1000  # a number larger than this in a reply is no limit of connections
_READ: Final = 500  # characters of a reply that are looked at
_LIMIT_WORDS: Final = frozenset(
    {"limit", "limited", "max", "maximum", "than", "exceeded", "exceeds", "allowed", "of", "to", "is"}
)
MEMORY: Final = 3_600_000_000  # a failure is forgotten after an hour without news


class ThrottleRules(Struct, frozen=True):
    """Limits all lanes share: deliveries at once, pauses of a suspended lane in microseconds (the last repeats)."""

    limit: int
    pauses: tuple[int, ...]


def rules_of(settings: QueueSettings) -> ThrottleRules:
    """The rules that `settings` describe."""
    return ThrottleRules(settings.concurrency, tuple(microseconds(pause) for pause in settings.suspend))


class Throttle(Struct):
    """The state of one lane: `until` is 0 while it runs freely, later than now while suspended, else it is probed."""

    rules: ThrottleRules
    window: int
    brisk: int  # up to here the window grows by one with each success, above it slowly
    patience: int = 0
    until: int = 0
    level: int = 0
    reason: str = ""
    failed_at: int = 0
    is_fixed: bool = False  # suspended by a rule: what was under way does not end it

    def allowed(self, now: int) -> int:
        """How many deliveries may run at once."""
        if self.until == 0:
            return self.window
        return 0 if now < self.until else 1

    def is_suspended(self, now: int) -> bool:
        """True while nothing may be tried."""
        return now < self.until

    def is_probing(self, now: int) -> bool:
        """True when the pause is over and the next outcome decides."""
        return 0 < self.until <= now

    def is_neutral(self, now: int) -> bool:
        """True when nothing worth keeping is known."""
        return self.failed_at == 0 or (self.until <= now and self.failed_at + MEMORY <= now)

    def succeed(self) -> bool:
        """The next hop answered; True when that ends a suspension."""
        if self.until:
            limit = self.rules.limit
            self.is_fixed = False
            self.until = self.level = self.failed_at = self.patience = 0
            self.reason = ""
            self.brisk = limit
            self.window = min(START, limit)
            return True
        if self.window < self.brisk:
            self.window += 1
        elif self.window < self.rules.limit:
            self.patience += 1
            if self.patience >= PATIENCE:
                self.patience = 0
                self.window += 1
                self.brisk = self.window
        return False

    def fail(self, now: int, reason: str, jitter: float) -> bool:
        """The next hop failed for `reason`; True when that suspends it. `jitter` is from 0 to 1."""
        if now < self.until:
            return False  # a delivery that began before the suspension
        self.failed_at = now
        if not self.until and self.window > 1:
            self.window //= 2
            self.brisk = self.window
            self.patience = 0
            return False
        pauses = self.rules.pauses
        pause = pauses[min(self.level, len(pauses) - 1)]
        self.level += 1
        self.until = min(now + pause + int(pause * JITTER * jitter), NEVER)
        self.reason = reason
        self.window = self.brisk = 1
        return True

    def crowd(self, now: int, running: int, named: int, reason: str, jitter: float) -> bool:
        """The next hop says that `running` are too many; it takes `named`, or 0 when it did not say.

        True when that suspends it: it does not even take one.
        """
        if self.until or running <= 1:
            return self.fail(now, reason, jitter)
        self.failed_at = now
        self.window = max(1, min(self.window, named or running - 1))
        self.brisk = self.window
        self.patience = 0
        return False

    def suspend(self, until: int, now: int, reason: str) -> bool:
        """Try nothing until `until`, because of `reason`; then probe. False when it is suspended for longer already."""
        if until <= self.until:
            return False
        self.until = until
        self.reason = reason
        self.failed_at = now
        self.is_fixed = True
        self.window = self.brisk = 1
        return True

    def obey(self, rules: ThrottleRules) -> None:
        """Go on by other `rules`."""
        if self.brisk >= self.rules.limit or self.brisk > rules.limit:
            self.brisk = rules.limit
        self.rules = rules
        self.window = min(self.window, rules.limit)


def new_throttle(rules: ThrottleRules) -> Throttle:
    """The state of a lane nothing is known about."""
    return Throttle(rules, min(START, rules.limit), rules.limit)


def host_failure(outcomes: Sequence[Decided]) -> Deferred | None:
    """The outcome that tells of a failing next hop; None when any outcome shows that it answered."""
    blamed: Deferred | None = None
    for outcome in outcomes:
        if type(outcome) is not Deferred or (outcome.scope is not Scope.HOST and outcome.scope is not Scope.NEXT_HOP):
            return None
        blamed = outcome
    return blamed


def crowding(outcome: Deferred) -> int | None:
    """How many connections a host takes that says there are too many; 0 when it names no number, None for all else."""
    if not outcome.command:
        return None
    text = outcome.reply.text[:_READ].casefold()
    many = "too many" in text or "limit" in text or "maximum" in text or "exceed" in text
    if not many or not ("connection" in text or "session" in text or "concurren" in text):
        return None
    if "rate" in text or "per minute" in text or "per hour" in text:
        return None  # how fast, not how many
    near = False
    for word in text.split():
        bare = word.strip("()[]<>.,;:=\"'")
        if near and bare.isascii() and bare.isdigit() and 0 < int(bare[:9]) <= NAMED_LIMIT:
            return int(bare)
        near = bare in _LIMIT_WORDS
    return 0
