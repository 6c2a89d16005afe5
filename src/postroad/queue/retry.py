"""The retry schedule: when a recipient is due again, when its sender is warned, when it is given up.

RFC 5321 4.5.4.1: pauses grow, and giving up takes days. Times are microseconds since 1970, pauses and ages
microseconds. The jitter of one settlement is shared by its recipients, so that they stay one batch. Pure.
"""

from typing import Final

from msgspec import Struct

from postroad.model.envelope import Envelope
from postroad.model.outcome import Deferred
from postroad.model.work import Work
from postroad.queue.hints import hint_of, is_greylisting
from postroad.queue.settings import QueueSettings
from postroad.queue.times import NEVER, microseconds

SHORTEST_HINT: Final = 10_000_000  # a peer that wishes for less gets this
JITTER: Final = 0.1  # the share of a pause that is left to chance, so that mail of one outage does not move in step


class RetrySchedule(Struct, frozen=True):
    """The curve of tries: `pauses` between them (the last repeats), ages at which to give up and to warn.

    `greylist` is the longest pause after greylisting, `hints` the longest that a peer's own wish is followed for.
    """

    pauses: tuple[int, ...]
    expire_after: int
    warn_after: int
    greylist: int = 0
    hints: int = 0

    def schedule_for(self, work: Work, outcome: Deferred | None, site: str) -> "RetrySchedule":  # noqa: ARG002
        """The schedule of one recipient: this one for all (`RetryPolicy` has rules)."""
        return self

    def next_due(self, envelope: Envelope, attempts: int, now: int, jitter: float) -> int:
        """When to try again after `attempts` tries, at least one; `jitter` is from 0 to 1.

        Never after the expiry, so that a last try is made at that very time.
        """
        pause = self.pauses[min(attempts, len(self.pauses)) - 1]
        return min(now + pause + int(pause * JITTER * jitter), self.expiry(envelope))

    def due_after(self, outcome: Deferred, work: Work, attempts: int, now: int, jitter: float) -> int:
        """When to try again after `outcome`: by its rule, the peer's wish, soon after greylisting, or by the curve."""
        envelope = work.stored.envelope
        due = self.next_due(envelope, attempts, now, jitter)
        pause = microseconds(outcome.pause)
        if not pause and outcome.command:
            hint = hint_of(outcome.reply.text) if self.hints else 0
            if 0 < hint <= self.hints:
                pause = max(hint, SHORTEST_HINT)
            elif self.greylist and is_greylisting(outcome.reply, attempts):
                return min(due, now + self.greylist + int(self.greylist * JITTER * jitter))
        return min(now + pause + int(pause * JITTER * jitter), self.expiry(envelope)) if pause else due

    def expiry(self, envelope: Envelope) -> int:
        """When a recipient of `envelope` fails undelivered."""
        return min(envelope.arrived + self.expire_after, NEVER)

    def warning(self, envelope: Envelope) -> int:
        """When its sender is told of the delay; `NEVER` when nobody can be told or nobody wants to be."""
        if not envelope.sender.text:
            return NEVER
        for recipient in envelope.recipients:
            if recipient.notify == 0 or recipient.wants_delay():
                return min(envelope.arrived + self.warn_after, NEVER)
        return NEVER

    def deadline(self, envelope: Envelope, *, warned: bool) -> int:
        """When a waiting recipient must be looked at although it is not due: warning or expiry."""
        expiry = self.expiry(envelope)
        return expiry if warned else min(expiry, self.warning(envelope))

    def deadline_of(self, envelope: Envelope) -> int:
        """The deadline of a message that has just been accepted, as the spool asks for it."""
        return self.deadline(envelope, warned=False)


def schedule_of(settings: QueueSettings) -> RetrySchedule:
    """The schedule that `settings` describe."""
    return RetrySchedule(
        tuple(microseconds(pause) for pause in settings.retry),
        microseconds(settings.expire_after),
        microseconds(settings.warn_after),
        microseconds(settings.greylist_retry),
        microseconds(settings.retry_hints),
    )
