"""What is known of one message: the spool's own state of what waits, and what was noted of what does not.

Invariant: a message is shown to the key that it came in with and to no other; to the others there is none.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, Literal

from msgspec import Struct

from postroad.api.schema import MessageState, RecipientState
from postroad.model.queueid import is_queue_id
from postroad.model.work import Status, Work
from postroad.spool.listing import Listed, ListedRecipient
from postroad.store.sent import Outcome, Sent

TRIES: Final = 3


class Asking(Struct, frozen=True):
    """Where to look: `find` asks the spool for a message, `in_hand` for the recipients that the queue works on."""

    sent: Sent
    find: Callable[[str], Awaitable[Listed | None]]
    in_hand: Callable[[str], list[Work]]
    flush: Callable[[], None]


async def state_of(asking: Asking, key: str, queue_id: str) -> MessageState | None:
    """The state of a message of `key`; None when there is none."""
    if not is_queue_id(queue_id):
        return None
    known = asking.sent.message(queue_id)
    if known is None or known.key != key:
        return None
    states: list[RecipientState] = []
    for _ in range(TRIES):
        states = [] if known.gone else await _unfinished(asking, queue_id)
        asking.flush()
        known = asking.sent.message(queue_id) or known
        if states or known.gone:
            break  # else it was on its way from the one place to the other while we looked
    if not states and not known.accepted:
        return None
    state: Literal["queued", "done"] = "queued" if states else "done"
    shown = {one.address for one in states}
    states += [_final(one) for one in asking.sent.outcomes(queue_id) if one.address not in shown]
    return MessageState(queue_id, state, _time(known.at), states)


async def _unfinished(asking: Asking, queue_id: str) -> list[RecipientState]:
    """The recipients that are not final: those in the index, and those that only the queue knows so far."""
    listed = await asking.find(queue_id)
    found = {} if listed is None else {one.index: _waiting(one) for one in listed.recipients if not one.status.is_final}
    for work in asking.in_hand(queue_id):
        if not work.status.is_final:
            found.setdefault(work.index, _at_hand(work))
    return list(found.values())


def _waiting(one: ListedRecipient) -> RecipientState:
    if one.status is Status.HELD:
        return RecipientState(one.address, "held", one.attempts, one.reply)
    if one.attempts == 0 or one.leased:
        return RecipientState(one.address, "queued", one.attempts, one.reply)
    return RecipientState(one.address, "deferred", one.attempts, one.reply, _time(one.due))


def _at_hand(work: Work) -> RecipientState:
    address = work.recipient.address.text
    if work.status is Status.HELD:
        return RecipientState(address, "held", work.attempts, work.reply)
    return RecipientState(address, "queued", work.attempts, work.reply)


def _final(one: Outcome) -> RecipientState:
    match one.state:
        case "delivered":
            return RecipientState(one.address, "delivered", one.attempts, one.reply, at=_time(one.at))
        case "dropped":
            return RecipientState(one.address, "dropped", one.attempts, one.reply, at=_time(one.at))
        case _:
            return RecipientState(one.address, "failed", one.attempts, one.reply, at=_time(one.at))


def _time(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
