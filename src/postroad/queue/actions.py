"""What an operator's order makes of works: hold, release, retry, fail, drop, reroute.

A recipient that fails by order is settled like one that a host refused, with its DSN; one that is dropped ends
without a word to its sender. What an order does not concern (a retry of held mail) is left alone. Called with the works
of one message. Pure.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from postroad.model.envelope import Envelope, Recipient
from postroad.model.outcome import Failed
from postroad.model.records import MessageRemoved, RecipientHandled
from postroad.model.reply import Reply
from postroad.model.route import HOLD as ROUTE_HELD
from postroad.model.work import Change, Status, Work
from postroad.queue.settle import Known, Moment, Retries, Terms, deadline_of, settle
from postroad.queue.telling import Settlement
from postroad.spool.filters import Query

HOLD: Final = "hold"
RELEASE: Final = "release"
RETRY: Final = "retry"
FAIL: Final = "fail"
DROP: Final = "drop"
REROUTE: Final = "reroute"
ACTIONS: Final = (HOLD, RELEASE, RETRY, FAIL, DROP, REROUTE)
LIVELY: Final = frozenset({RELEASE, RETRY, REROUTE})  # those that make mail due now
_BY_ORDER: Final = "5.3.0"  # RFC 3463 3.4: other or undefined mail system status


class Order(Struct, frozen=True):
    """`action` on the recipients that `query` asks for, by the user `by`; `lane` is where a reroute leads.

    In `lane`, "mx" stands for each recipient's own domain.
    """

    action: str
    query: Query
    by: str = ""
    uid: int = -1
    reason: str = ""
    lane: str = ""


class Surroundings(Struct, frozen=True):
    """What orders need to know: retry schedules, what is `known` of a lane, where what a route held is `placed`.

    `secured` makes of a lane the one for mail that asks for TLS by a word of its envelope.
    """

    retries: Retries
    known: Callable[[str], Known]
    placed: Callable[[Envelope, Recipient], str]
    secured: Callable[[str, str], str]


def carry_out(order: Order, works: list[Work], now: int, around: Surroundings) -> tuple[Settlement, list[Work]]:
    """The decisions about `works`, and those of them that the order does not concern."""
    concerned = [work for work in works if _concerns(order, work)]
    others = [work for work in works if not _concerns(order, work)]
    if order.action == FAIL and concerned:
        words = f"failed by the operator: {order.reason}" if order.reason else "failed by the operator"
        outcomes = [Failed(Reply(554, _BY_ORDER, words)) for _ in concerned]
        settlement = settle(concerned, list(outcomes), Moment(now), around.retries)
    else:
        settlement = Settlement([], [], [], [])
        for work in concerned:
            change = _change(order, work, now, around)
            settlement.changes.append(change)
            if not change.status.is_final:
                settlement.pending.append(work)
    settlement.records[:0] = [_record(order, work, now, around) for work in concerned]
    if order.action == DROP and concerned and len(concerned) >= concerned[0].stored.open:
        settlement.records.append(MessageRemoved(at=now, id=concerned[0].stored.id))
    return settlement, others


def _concerns(order: Order, work: Work) -> bool:
    match order.action:
        case "hold" | "retry":
            return work.status is Status.PENDING
        case "release":
            return work.status is Status.HELD
        case _:
            return not work.status.is_final


def _change(order: Order, work: Work, now: int, around: Surroundings) -> Change:
    change = Change(work, work.status, work.due, 0, work.attempts, work.warned, work.reply)
    match order.action:
        case "hold":
            change.status = Status.HELD
            change.reply = f"held by {order.by}{': ' if order.reason else ''}{order.reason}"
        case "drop":
            change.status = Status.DROPPED
        case "release":
            change.status, change.due = Status.PENDING, now
            if work.lane.startswith(f"{ROUTE_HELD}:"):
                change.lane = around.placed(work.stored.envelope, work.recipient)
        case "reroute":
            change.due, change.lane = now, lane_for(order, work, around)
        case _:
            change.due = now
    known = around.known(change.lane or work.lane)
    terms = Terms(around.retries.schedule_for(work, None, known.site), known.fallback)
    change.deadline = deadline_of(change, terms, now)
    return change


def lane_for(order: Order, work: Work, around: Surroundings) -> str:
    """Where the order leads this recipient; that its mail goes by TLS alone stays so."""
    lane = f"mx:{work.recipient.address.domain}" if order.lane == "mx" else order.lane
    return around.secured(lane, work.stored.envelope.tls) if work.stored.envelope.tls else lane


def _record(order: Order, work: Work, now: int, around: Surroundings) -> RecipientHandled:
    return RecipientHandled(
        at=now,
        id=work.stored.id,
        sender=work.stored.envelope.sender.text,
        recipient=work.recipient.address.text,
        lane=lane_for(order, work, around) if order.action == REROUTE else work.lane,
        action=order.action,
        by=order.by,
        uid=order.uid,
        reason=order.reason,
    )
