"""Outcomes become decisions: what the spool is to make durable, who is to be told, what is reported.

A recipient is final when its next hop took it, refused it for good (RFC 5321 4.5.4, 6.1), or its time ran out;
everything else waits for the retry schedule. Who is told of what is RFC 3461 4.1 and 5.2; a message with the
null reverse-path tells nobody (RFC 5321 6.1). Called with the works of one message. Pure: the time and the
jitter come in.
"""

from collections.abc import Callable
from typing import Final, assert_never

from msgspec import Struct

from postroad.message.dsn import DELAYED, DELIVERED, FAILED, RELAYED, Notice
from postroad.model.outcome import Deferred, Delivered, Failed, Outcome, Scope
from postroad.model.records import (
    DsnSuppressed,
    MessageRemoved,
    RecipientDeferred,
    RecipientDelivered,
    RecipientFailed,
    Record,
)
from postroad.model.reply import Reply
from postroad.model.route import CAPTURE, LMTP, Target
from postroad.model.trail import Attempt, extend
from postroad.model.work import Change, Status, Stored, Work
from postroad.queue.retry import RetrySchedule
from postroad.queue.throttle import Throttle

NO_TARGET: Final = "none"
EXPIRED: Final = "4.4.7"  # RFC 3463 3.5: delivery time expired
_FINAL_DELIVERY: Final = (LMTP, CAPTURE)  # what these take has arrived; anything else was passed on


class Moment(Struct, frozen=True, gc=False):
    """When an attempt ended (`now`, microseconds since 1970) and where its time went, in seconds.

    `waited` in the window, `connecting` until the route was known, `sending` in delivery; `jitter` is from 0 to 1.
    """

    now: int
    waited: float = 0.0
    connecting: float = 0.0
    sending: float = 0.0
    jitter: float = 0.0


class Settlement(Struct, gc=False):
    """Decisions about works of one message: row changes, what its sender is told, records for once it is durable.

    `pending` are the works among them that wait for a later try; `done` is called when all of it is durable.
    """

    changes: list[Change]
    notices: list[Notice]
    records: list[Record]
    pending: list[Work]
    done: Callable[[], None] | None = None


def settle(works: list[Work], outcomes: list[Outcome], moment: Moment, schedule: RetrySchedule) -> Settlement:
    """Turn one outcome for each of `works`, all of one message, into decisions."""
    settlement = Settlement([], [], [], [])
    stored = works[0].stored
    now = moment.now
    total = (now - stored.envelope.arrived) / 1_000_000
    before = total - moment.waited - moment.connecting - moment.sending
    delays = (max(before, 0.0), moment.waited, moment.connecting, moment.sending)
    spent = _Spent(now, total, delays, moment.jitter)
    final = 0
    for work, outcome in zip(works, outcomes, strict=True):
        if isinstance(outcome, Delivered):
            final += 1
            _deliver(settlement, work, outcome, spent)
        elif isinstance(outcome, Deferred):
            final += _defer(settlement, work, outcome, spent, schedule=schedule)
        elif isinstance(outcome, Failed):
            final += 1
            _fail(settlement, work, outcome, spent)
        else:
            assert_never(outcome)
    _remove(settlement, stored, final, now)
    return settlement


def lapse(works: list[Work], now: int, schedule: RetrySchedule) -> Settlement:
    """Decide about `works` of one message whose deadline has come while they waited: give up, or warn."""
    settlement = Settlement([], [], [], [])
    stored = works[0].stored
    envelope = stored.envelope
    total = (now - envelope.arrived) / 1_000_000
    spent = _Spent(now, total, (total, 0.0, 0.0, 0.0))
    final = 0
    for work in works:
        if now >= schedule.expiry(envelope):
            final += 1
            _expire(settlement, work, None, spent)
            continue
        change = _pending(work, schedule, due=work.due, warned=work.warned, reply=work.reply)
        _warn_if_late(settlement, work, change, _words(work), spent=spent, schedule=schedule)
        settlement.changes.append(change)
        settlement.pending.append(work)
    _remove(settlement, stored, final, now)
    return settlement


def reason_of(outcome: Deferred | Failed) -> str:
    """The outcome in words for people, with who said it."""
    target = outcome.target
    if outcome.command and target is not None:
        return f"host {target.host}[{target.address}] said: {outcome.reply} (in reply to {outcome.command})"
    return str(outcome.reply)


class _Spent(Struct, frozen=True, gc=False):
    """The clock of one settlement: now, seconds since arrival, and their parts a/b/c/d."""

    now: int
    total: float
    delays: tuple[float, float, float, float]
    jitter: float = 0.0


def _deliver(settlement: Settlement, work: Work, outcome: Delivered, spent: _Spent) -> None:
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
        )
    )
    if recipient.notify and recipient.wants_success() and not outcome.dsn_passed and not envelope.sender.is_null:
        # RFC 3461 5.2.2 and 5.2.3: we answer for what goes on without DSN, and for what has arrived.
        arrived = target is not None and target.scheme in _FINAL_DELIVERY
        settlement.notices.append(
            Notice(
                recipient,
                DELIVERED if arrived else RELAYED,
                _status(outcome.reply, "2.0.0"),
                diagnostic=str(outcome.reply),
                remote=_host(target),
                at=spent.now,
            )
        )


def _defer(settlement: Settlement, work: Work, outcome: Deferred, spent: _Spent, *, schedule: RetrySchedule) -> int:
    """Keep the recipient for a later try; 1 when its time has run out instead."""
    envelope = work.stored.envelope
    if spent.now >= schedule.expiry(envelope):
        _expire(settlement, work, outcome, spent)
        return 1
    attempts = work.attempts + 1
    due = schedule.next_due(envelope, attempts, spent.now, spent.jitter)
    change = _pending(work, schedule, due=due, warned=work.warned, reply=reason_of(outcome))
    change.attempts = attempts
    change.trail = _trail(work, outcome, spent.now)
    settlement.changes.append(change)
    settlement.pending.append(work)
    settlement.records.append(
        RecipientDeferred(
            at=spent.now,
            id=envelope.id,
            sender=envelope.sender.text,
            recipient=work.recipient.address.text,
            lane=work.lane,
            target=NO_TARGET if outcome.target is None else str(outcome.target),
            reply=outcome.reply,
            command=outcome.command,
            scope=outcome.scope.value,
            attempts=attempts,
            delay=spent.total,
            delays=spent.delays,
            due=due,
        )
    )
    _warn_if_late(settlement, work, change, _words(work, outcome), spent=spent, schedule=schedule)
    return 0


def _fail(settlement: Settlement, work: Work, outcome: Failed, spent: _Spent) -> None:
    attempts = work.attempts + 1
    reason = reason_of(outcome)
    trail = _trail(work, outcome, spent.now)
    settlement.changes.append(Change(work, Status.FAILED, attempts=attempts, reply=reason, trail=trail))
    settlement.records.append(_failure(work, outcome, outcome.reply, attempts, spent=spent))
    _tell_failure(settlement, work, _words(work, outcome), _status(outcome.reply, "5.0.0"), spent)


def _expire(settlement: Settlement, work: Work, outcome: Deferred | None, spent: _Spent) -> None:
    """The recipient's time is over: after a last try with `outcome`, or waiting, with what was said before."""
    attempts = work.attempts + (outcome is not None)
    last = work.reply if outcome is None else str(outcome.reply)
    text = f"delivery time expired; last reason: {last}" if last else "delivery time expired before any try"
    reply = Reply(451, EXPIRED, text)
    reason = work.reply if outcome is None else reason_of(outcome)
    settlement.changes.append(Change(work, Status.FAILED, attempts=attempts, reply=reason or text))
    settlement.records.append(_failure(work, outcome, reply, attempts, spent=spent, expired=True))
    _tell_failure(settlement, work, _words(work, outcome, expired=True), EXPIRED, spent)


def _failure(
    work: Work, outcome: Deferred | Failed | None, reply: Reply, attempts: int, *, spent: _Spent, expired: bool = False
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
    )


def _trail(work: Work, outcome: Deferred | Failed, now: int) -> str:
    target = "" if outcome.target is None else str(outcome.target)
    return extend(work.trail, Attempt(now, target, outcome.command, str(outcome.reply)))


class _Words(Struct, frozen=True, gc=False):
    """What a notice says about the reason: `remote` is set when a remote host said it, to `command`."""

    diagnostic: str = ""
    remote: str = ""
    command: str = ""
    status: str = ""
    expired: bool = False


def _words(work: Work, outcome: Deferred | Failed | None = None, *, expired: bool = False) -> _Words:
    if outcome is None:
        return _Words(work.reply, expired=expired)
    remote = _host(outcome.target) if outcome.command else ""
    return _Words(str(outcome.reply), remote, outcome.command, _status(outcome.reply, ""), expired)


def _tell_failure(settlement: Settlement, work: Work, words: _Words, status: str, spent: _Spent) -> None:
    envelope = work.stored.envelope
    recipient = work.recipient
    if envelope.sender.is_null or not recipient.wants_failure():
        why = "null reverse-path" if envelope.sender.is_null else "NOTIFY without FAILURE"
        settlement.records.append(
            DsnSuppressed(at=spent.now, id=envelope.id, kind=FAILED, recipient=recipient.address.text, reason=why)
        )
        return
    settlement.notices.append(
        Notice(
            recipient,
            FAILED,
            status,
            diagnostic=words.diagnostic,
            remote=words.remote,
            command=words.command,
            expired=words.expired,
            at=spent.now,
        )
    )


def _warn_if_late(
    settlement: Settlement, work: Work, change: Change, words: _Words, *, spent: _Spent, schedule: RetrySchedule
) -> None:
    """Tell the sender of the delay, once and when its time has come (RFC 3461 5.2.7)."""
    envelope = work.stored.envelope
    if change.warned or spent.now < schedule.warning(envelope):
        return
    change.warned = True
    change.deadline = schedule.deadline(envelope, warned=True)
    recipient = work.recipient
    if not recipient.wants_delay():
        return
    settlement.notices.append(
        Notice(
            recipient,
            DELAYED,
            words.status or "4.0.0",
            diagnostic=words.diagnostic,
            remote=words.remote,
            command=words.command,
            at=spent.now,
            retry_until=schedule.expiry(envelope),
        )
    )


def _pending(work: Work, schedule: RetrySchedule, *, due: int, warned: bool, reply: str) -> Change:
    deadline = schedule.deadline(work.stored.envelope, warned=warned)
    return Change(work, work.status, due, deadline, work.attempts, warned, reply)


def _remove(settlement: Settlement, stored: Stored, final: int, now: int) -> None:
    if final and final >= stored.open:
        settlement.records.append(MessageRemoved(at=now, id=stored.envelope.id))


def _host(target: Target | None) -> str:
    return "" if target is None else target.host or target.address


def _status(reply: Reply, default: str) -> str:
    """The status code of RFC 3464 2.3.4: the enhanced code, or the class of the reply alone."""
    return reply.enhanced or (f"{reply.code // 100}.0.0" if reply.code else default)


def park(works: list[Work], throttle: Throttle, now: int) -> list[Record]:
    """Mark works of a suspended lane with the reason why they wait, without an attempt; what to report of each."""
    reply = Reply(451, "4.4.1", f"next hop suspended: {throttle.reason}")
    words = str(reply)
    records: list[Record] = []
    for work in works:
        work.reply = words
        envelope = work.stored.envelope
        total = (now - envelope.arrived) / 1_000_000
        records.append(
            RecipientDeferred(
                at=now,
                id=envelope.id,
                sender=envelope.sender.text,
                recipient=work.recipient.address.text,
                lane=work.lane,
                target=NO_TARGET,
                reply=reply,
                command="",
                scope=Scope.NEXT_HOP.value,
                attempts=work.attempts,
                delay=total,
                delays=(total, 0.0, 0.0, 0.0),
                due=throttle.until,
            )
        )
    return records
