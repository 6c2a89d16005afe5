"""Outcomes become decisions: what the spool is to make durable, who is to be told, what is reported.

A recipient is final when its next hop took it, refused it for good (RFC 5321 4.5.4, 6.1), or its time ran out;
everything else waits for its retry schedule, or goes on at the fallback of its lane. Who is told of what is in
`telling`. Called with the works of one message. Pure: the time and the jitter come in.
"""

from collections.abc import Callable, Sequence
from typing import Final, assert_never

from msgspec import Struct

from postroad.model.errors import DamagedError, SpoolError
from postroad.model.outcome import Decided, Deferred, Delivered, Failed, Held, Scope
from postroad.model.records import (
    MessageRemoved,
    RecipientDeferred,
    RecipientDelivered,
    RecipientFailed,
    RecipientHeld,
    Record,
)
from postroad.model.reply import Reply
from postroad.model.route import Fallback
from postroad.model.trail import Attempt, extend
from postroad.model.work import Change, Status, Stored, Work
from postroad.queue.fallback import falls_back, moves_at
from postroad.queue.retry import RetrySchedule
from postroad.queue.retryrules import RetryPolicy, answer_of
from postroad.queue.telling import (
    Settlement,
    Spent,
    Words,
    status_of,
    tell_failure,
    tell_success,
    warn_if_late,
    words_of,
)
from postroad.queue.throttle import Throttle

NO_TARGET: Final = "none"
EXPIRED: Final = "4.4.7"  # RFC 3463 3.5: delivery time expired


class Moment(Struct, frozen=True, gc=False):
    """When an attempt ended (`now`, microseconds since 1970) and where its time went, in seconds.

    `waited` in the window, `connecting` until the route was known, `sending` in delivery; `jitter` is from 0 to 1.
    """

    now: int
    waited: float = 0.0
    connecting: float = 0.0
    sending: float = 0.0
    jitter: float = 0.0


class Known(Struct, frozen=True, gc=False):
    """What is known of the lane that works are on: its site, and where they go on when it does not deliver."""

    site: str = ""
    fallback: Fallback | None = None


class Terms(Struct, frozen=True, gc=False):
    """How one recipient waits: its schedule, and where it goes on when its lane does not deliver."""

    schedule: RetrySchedule
    fallback: Fallback | None


NOTHING_KNOWN: Final = Known()
Retries = RetrySchedule | RetryPolicy


def _nothing(_lane: str) -> Known:
    """Nothing is known of any lane."""
    return NOTHING_KNOWN


def settle(
    works: list[Work], outcomes: Sequence[Decided], moment: Moment, retries: Retries, known: Known = NOTHING_KNOWN
) -> Settlement:
    """Turn one outcome for each of `works`, all of one message, into decisions."""
    settlement = Settlement([], [], [], [])
    stored = works[0].stored
    now = moment.now
    total = (now - stored.envelope.arrived) / 1_000_000
    before = total - moment.waited - moment.connecting - moment.sending
    delays = (max(before, 0.0), moment.waited, moment.connecting, moment.sending)
    spent = Spent(now, total, delays, moment.jitter)
    final = 0
    for work, outcome in zip(works, outcomes, strict=True):
        if isinstance(outcome, Delivered):
            final += 1
            _deliver(settlement, work, outcome, spent)
        elif isinstance(outcome, Deferred):
            schedule = retries.schedule_for(work, outcome, known.site)
            final += _defer(settlement, work, outcome, spent, terms=Terms(schedule, known.fallback))
        elif isinstance(outcome, Failed):
            final += 1
            _fail(settlement, work, outcome, spent)
        elif isinstance(outcome, Held):
            _hold(settlement, work, outcome, now, retries.schedule_for(work, None, known.site))
        else:
            assert_never(outcome)
    _remove(settlement, stored, final, now)
    return settlement


def lapse(works: list[Work], now: int, retries: Retries, known: Callable[[str], Known] = _nothing) -> Settlement:
    """Decide about `works` of one message whose deadline has come while they waited: give up, move on, or warn."""
    settlement = Settlement([], [], [], [])
    stored = works[0].stored
    envelope = stored.envelope
    total = (now - envelope.arrived) / 1_000_000
    spent = Spent(now, total, (total, 0.0, 0.0, 0.0))
    final = 0
    for work in works:
        lane = known(work.lane)
        schedule = retries.schedule_for(work, None, lane.site)
        if now >= schedule.expiry(envelope):
            final += 1
            _expire(settlement, work, None, spent)
            continue
        change = _waits(work, work.due, work.reply)
        if lane.fallback is not None and falls_back(lane.fallback, work, "", now):
            reply = Reply(451, "4.4.0", f"not delivered in time; last reason: {work.reply or 'none'}")
            _move(change, lane.fallback, now)
            settlement.records.append(_deferral(work, Deferred(reply, Scope.NEXT_HOP), change, spent))
        _put_off(settlement, change, words_of(work), spent, terms=Terms(schedule, lane.fallback))
    _remove(settlement, stored, final, now)
    return settlement


def reason_of(outcome: Deferred | Failed) -> str:
    """The outcome in words for people, with who said it."""
    target = outcome.target
    if outcome.command and target is not None:
        return f"host {target.host}[{target.address}] said: {outcome.reply} (in reply to {outcome.command})"
    return str(outcome.reply)


def unreadable(error: SpoolError) -> Decided:
    """What becomes of recipients whose content cannot be read: damaged mail waits for people, the rest is tried again.

    Trying again would not mend what is damaged, and giving up would hide it.
    """
    if isinstance(error, DamagedError):
        return Held(str(error))
    return Deferred(Reply(451, "4.3.0", "the content cannot be read from the spool"), Scope.MESSAGE)


def _deliver(settlement: Settlement, work: Work, outcome: Delivered, spent: Spent) -> None:
    envelope = work.stored.envelope
    recipient = work.recipient
    attempts = work.attempts + 1
    target = outcome.target
    settlement.changes.append(Change(work, Status.DELIVERED, attempts=attempts))
    settlement.records.append(
        RecipientDelivered(
            at=spent.now,
            id=envelope.id,
            sender=envelope.sender.text,
            recipient=recipient.address.text,
            lane=work.lane,
            target=NO_TARGET if target is None else str(target),
            reply=outcome.reply,
            attempts=attempts,
            delay=spent.total,
            delays=spent.delays,
            size=envelope.size,
            tls=outcome.tls,
            source=outcome.source,
            secured=outcome.secured,
        )
    )
    if recipient.notify:
        tell_success(settlement, work, outcome, spent)


def _defer(
    settlement: Settlement,
    work: Work,
    outcome: Deferred,
    spent: Spent,
    *,
    terms: Terms,
) -> int:
    """Keep the recipient for a later try; 1 when its time has run out instead."""
    schedule, fallback = terms.schedule, terms.fallback
    if spent.now >= schedule.expiry(work.stored.envelope):
        _expire(settlement, work, outcome, spent)
        return 1
    attempts = work.attempts + 1
    change = _waits(work, schedule.due_after(outcome, work, attempts, spent.now, spent.jitter), reason_of(outcome))
    change.attempts = attempts
    change.trail = _trail(work, outcome, spent.now)
    if fallback is not None and falls_back(fallback, work, outcome.reply.enhanced, spent.now):
        _move(change, fallback, spent.now)
    settlement.records.append(_deferral(work, outcome, change, spent))
    _put_off(settlement, change, words_of(work, outcome), spent, terms=terms)
    return 0


def _waits(work: Work, due: int, reply: str) -> Change:
    return Change(work, work.status, due, attempts=work.attempts, warned=work.warned, reply=reply)


def _put_off(settlement: Settlement, change: Change, words: Words, spent: Spent, *, terms: Terms) -> None:
    """Let a recipient wait as `change` has it; warn the sender in time, look again when something is due for it."""
    schedule, work = terms.schedule, change.work
    envelope = work.stored.envelope
    warn_if_late(settlement, change, words, spent, warning=schedule.warning(envelope), expiry=schedule.expiry(envelope))
    change.deadline = deadline_of(change, terms, spent.now)
    settlement.changes.append(change)
    settlement.pending.append(work)


def deadline_of(change: Change, terms: Terms, now: int) -> int:
    """When the recipient must be looked at although nothing is due: to warn, to go on at its fallback, to give up."""
    work, fallback = change.work, terms.fallback
    envelope = work.stored.envelope
    deadline = terms.schedule.deadline(envelope, warned=change.warned)
    if fallback is not None and not change.lane and fallback.lane != work.lane:
        moves = moves_at(fallback, envelope)
        if moves > now:
            return min(deadline, moves)
    return deadline


def _move(change: Change, fallback: Fallback, now: int) -> None:
    """Let the recipient go on at the fallback, at once."""
    change.lane = fallback.lane
    change.due = now


def _deferral(work: Work, outcome: Deferred, change: Change, spent: Spent) -> RecipientDeferred:
    envelope = work.stored.envelope
    return RecipientDeferred(
        at=spent.now,
        id=envelope.id,
        sender=envelope.sender.text,
        recipient=work.recipient.address.text,
        lane=work.lane,
        target=NO_TARGET if outcome.target is None else str(outcome.target),
        reply=outcome.reply,
        command=outcome.command,
        scope=outcome.scope.value,
        attempts=change.attempts,
        delay=spent.total,
        delays=spent.delays,
        due=change.due,
        original=outcome.original,
        moved_to=change.lane,
        source=outcome.source,
    )


def _fail(settlement: Settlement, work: Work, outcome: Failed, spent: Spent) -> None:
    attempts = work.attempts + 1
    reason = reason_of(outcome)
    trail = _trail(work, outcome, spent.now)
    settlement.changes.append(Change(work, Status.FAILED, attempts=attempts, reply=reason, trail=trail))
    settlement.records.append(_failure(work, outcome, outcome.reply, attempts, spent=spent))
    tell_failure(settlement, work, words_of(work, outcome), status_of(outcome.reply, "5.0.0"), spent)


def _hold(settlement: Settlement, work: Work, outcome: Held, now: int, schedule: RetrySchedule) -> None:
    """Keep the recipient until somebody releases it: it is not tried, warned of or given up meanwhile."""
    envelope = work.stored.envelope
    change = _waits(work, work.due, outcome.reason)
    change.status = Status.HELD
    change.deadline = schedule.deadline(envelope, warned=work.warned)
    settlement.changes.append(change)
    settlement.pending.append(work)
    settlement.records.append(
        RecipientHeld(
            at=now,
            id=envelope.id,
            sender=envelope.sender.text,
            recipient=work.recipient.address.text,
            lane=work.lane,
            reason=outcome.reason,
        )
    )


def _expire(settlement: Settlement, work: Work, outcome: Deferred | None, spent: Spent) -> None:
    """The recipient's time is over: after a last try with `outcome`, or waiting, with what was said before."""
    attempts = work.attempts + (outcome is not None)
    last = work.reply if outcome is None else str(outcome.reply)
    text = f"delivery time expired; last reason: {last}" if last else "delivery time expired before any try"
    reply = Reply(451, EXPIRED, text)
    reason = work.reply if outcome is None else reason_of(outcome)
    settlement.changes.append(Change(work, Status.FAILED, attempts=attempts, reply=reason or text))
    settlement.records.append(_failure(work, outcome, reply, attempts, spent=spent, expired=True))
    tell_failure(settlement, work, words_of(work, outcome, expired=True), EXPIRED, spent)


def _failure(
    work: Work, outcome: Deferred | Failed | None, reply: Reply, attempts: int, *, spent: Spent, expired: bool = False
) -> RecipientFailed:
    envelope = work.stored.envelope
    target = None if outcome is None else outcome.target
    return RecipientFailed(
        at=spent.now,
        id=envelope.id,
        sender=envelope.sender.text,
        recipient=work.recipient.address.text,
        lane=work.lane,
        target=NO_TARGET if target is None else str(target),
        reply=reply,
        command="" if outcome is None else outcome.command,
        scope="recipient" if outcome is None else outcome.scope.value,
        attempts=attempts,
        delay=spent.total,
        delays=spent.delays,
        expired=expired,
        original="" if outcome is None else outcome.original,
        source="" if outcome is None else outcome.source,
    )


def _trail(work: Work, outcome: Deferred | Failed, now: int) -> str:
    target = "" if outcome.target is None else str(outcome.target)
    return extend(work.trail, Attempt(now, target, outcome.command, str(outcome.reply)))


def _remove(settlement: Settlement, stored: Stored, final: int, now: int) -> None:
    if final and final >= stored.open:
        settlement.records.append(MessageRemoved(at=now, id=stored.envelope.id))


def park(works: list[Work], throttle: Throttle, now: int) -> list[Record]:
    """Mark works of a suspended lane with the reason why they wait, without an attempt; what to report of each."""
    outcome = Deferred(Reply(451, "4.4.1", f"next hop suspended: {throttle.reason}"), Scope.NEXT_HOP)
    words = str(outcome.reply)
    records: list[Record] = []
    for work in works:
        work.reply = words
        total = (now - work.stored.envelope.arrived) / 1_000_000
        spent = Spent(now, total, (total, 0.0, 0.0, 0.0))
        waits = Change(work, work.status, throttle.until, attempts=work.attempts)
        records.append(_deferral(work, outcome, waits, spent))
    return records


def divert(works: list[Work], throttle: Throttle, now: int, retries: Retries, known: Known) -> Settlement:
    """Decide about works of one message on a suspended lane with a fallback: move on now, or when old enough."""
    settlement = Settlement([], [], [], [])
    outcome = Deferred(Reply(451, "4.4.1", f"next hop suspended: {throttle.reason}"), Scope.NEXT_HOP)
    total = (now - works[0].stored.envelope.arrived) / 1_000_000
    spent = Spent(now, total, (total, 0.0, 0.0, 0.0))
    enhanced = answer_of(throttle.reason).enhanced
    for work in works:
        schedule = retries.schedule_for(work, None, known.site)
        change = _waits(work, work.due, str(outcome.reply))
        if known.fallback is not None and falls_back(known.fallback, work, enhanced, now):
            _move(change, known.fallback, now)
        settlement.records.append(_deferral(work, outcome, change, spent))
        _put_off(settlement, change, words_of(work, outcome), spent, terms=Terms(schedule, known.fallback))
    return settlement
