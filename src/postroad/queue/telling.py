"""Who is told of an outcome, and what: notices to the sender, or why there are none.

Who is told of what is RFC 3461 4.1 and 5.2; a message with the null reverse-path tells nobody (RFC 5321 6.1), nor
does one whose sender policy could not verify: that would be backscatter. What the sender is not told is kept for
the postmaster. Pure: the time comes in.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from postroad.message.dsn import DELAYED, DELIVERED, FAILED, RELAYED, Notice
from postroad.model.outcome import Deferred, Delivered, Failed
from postroad.model.records import DsnSuppressed, Record
from postroad.model.reply import Reply
from postroad.model.route import CAPTURE, LMTP, Target
from postroad.model.trail import attempts_of
from postroad.model.work import Change, Work
from postroad.queue.retryrules import answer_of

UNVERIFIED: Final = "unverified"  # a tag: policy could not tell that the sender is who it says, so nobody is told
_FINAL_DELIVERY: Final = (LMTP, CAPTURE)  # what these take has arrived; anything else was passed on


class Settlement(Struct, gc=False):
    """Decisions about works of one message: row changes, what its sender is told, records for once it is durable.

    `pending` are the works among them that go on waiting, for a later try or to be released; `untold` is what its
    sender is not told; `done` is called when all of it is durable.
    """

    changes: list[Change]
    notices: list[Notice]
    records: list[Record]
    pending: list[Work]
    untold: list[Notice] = []
    done: Callable[[], None] | None = None


class Spent(Struct, frozen=True, gc=False):
    """The clock of one settlement: now, seconds since arrival, and their parts a/b/c/d."""

    now: int
    total: float
    delays: tuple[float, float, float, float]
    jitter: float = 0.0


class Words(Struct, frozen=True, gc=False):
    """What a notice says about the reason: `remote` is set when a remote host said it, to `command`."""

    diagnostic: str = ""
    remote: str = ""
    command: str = ""
    status: str = ""
    expired: bool = False


def words_of(work: Work, outcome: Deferred | Failed | None = None, *, expired: bool = False) -> Words:
    """What a notice about `work` says: what `outcome` was, or what its last attempt ended with."""
    if outcome is None:
        return _last_words(work, expired=expired)
    remote = _host(outcome.target) if outcome.command else ""
    return Words(str(outcome.reply), remote, outcome.command, status_of(outcome.reply, ""), expired)


def _last_words(work: Work, *, expired: bool) -> Words:
    """The last attempt is what RFC 3464 2.3.4 to 2.3.6 ask for; before any, the reason why there was none."""
    attempts = attempts_of(work.trail)
    if not attempts:
        return Words(work.reply, expired=expired)
    last = attempts[-1]
    remote = _name_in(last.target) if last.command else ""
    return Words(last.reply, remote, last.command, answer_of(last.reply).enhanced, expired)


def tell_success(settlement: Settlement, work: Work, outcome: Delivered, spent: Spent) -> None:
    """Tell the sender that asked for it, unless the next mail system will."""
    envelope = work.stored.envelope
    recipient = work.recipient
    if not recipient.wants_success() or outcome.dsn_passed or envelope.sender.is_null:
        return
    if UNVERIFIED in envelope.tags:
        settlement.records.append(_suppressed(work, RELAYED, "unverified sender", spent))
        return
    # RFC 3461 5.2.2 and 5.2.3: we answer for what goes on without DSN, and for what has arrived.
    target = outcome.target
    arrived = target is not None and target.scheme in _FINAL_DELIVERY
    settlement.notices.append(
        Notice(
            recipient,
            DELIVERED if arrived else RELAYED,
            status_of(outcome.reply, "2.0.0"),
            diagnostic=str(outcome.reply),
            remote="" if target is None or target.scheme == CAPTURE else _host(target),
            at=spent.now,
        )
    )


def tell_failure(settlement: Settlement, work: Work, words: Words, status: str, spent: Spent) -> None:
    """Tell the sender that the recipient failed with `status`."""
    envelope = work.stored.envelope
    recipient = work.recipient
    notice = Notice(
        recipient,
        FAILED,
        status,
        diagnostic=words.diagnostic,
        remote=words.remote,
        command=words.command,
        expired=words.expired,
        at=spent.now,
    )
    if envelope.sender.is_null:
        why = "null reverse-path"
    elif UNVERIFIED in envelope.tags:
        why = "unverified sender"
    elif not recipient.wants_failure():
        why = "NOTIFY without FAILURE"
    else:
        settlement.notices.append(notice)
        return
    settlement.untold.append(notice)
    settlement.records.append(_suppressed(work, FAILED, why, spent))


def warn_if_late(
    settlement: Settlement, change: Change, words: Words, spent: Spent, *, warning: int, expiry: int
) -> None:
    """Tell the sender of the delay, once and when the time of `warning` has come (RFC 3461 5.2.5)."""
    if change.warned or spent.now < warning:
        return
    change.warned = True
    work = change.work
    recipient = work.recipient
    notice = Notice(
        recipient,
        DELAYED,
        words.status or "4.0.0",
        diagnostic=words.diagnostic,
        remote=words.remote,
        command=words.command,
        at=spent.now,
        retry_until=expiry,
    )
    if UNVERIFIED in work.stored.envelope.tags:
        settlement.records.append(_suppressed(work, DELAYED, "unverified sender", spent))
    elif recipient.wants_delay():
        settlement.notices.append(notice)
        return
    settlement.untold.append(notice)


def _suppressed(work: Work, kind: str, why: str, spent: Spent) -> DsnSuppressed:
    return DsnSuppressed(
        at=spent.now, id=work.stored.envelope.id, kind=kind, recipient=work.recipient.address.text, reason=why
    )


def _host(target: Target | None) -> str:
    return "" if target is None else target.host or target.address


def _name_in(target: str) -> str:
    """The host of a target in words, "host[address]:port"."""
    host, _, rest = target.partition("[")
    return host or rest.rpartition("]")[0]


def status_of(reply: Reply, default: str) -> str:
    """The status code of RFC 3464 2.3.4: the enhanced code, or the class of the reply alone."""
    return reply.enhanced or (f"{reply.code // 100}.0.0" if reply.code else default)
