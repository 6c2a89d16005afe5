"""What is known of one message: the spool's own state of what waits, and what was noted of what does not.

Invariant: a message is shown to the key that it came in with and to no other; to the others there is none.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from msgspec import Struct

from postroad.api.schema import MessageState, RecipientState
from postroad.model.queueid import is_queue_id
from postroad.model.work import Status
from postroad.spool.listing import Listed, ListedRecipient
from postroad.store.sent import Outcome, Sent


class Asking(Struct, frozen=True):
    """Where to look: `find` asks the spool for a message."""

    sent: Sent
    find: Callable[[str], Awaitable[Listed | None]]
    flush: Callable[[], None]


async def state_of(asking: Asking, key: str, queue_id: str) -> MessageState | None:
    """The state of a message of `key`; None when there is none."""
    if not is_queue_id(queue_id):
        return None
    known = asking.sent.message(queue_id)
    if known is None or known.key != key:
        return None
    listed = None if known.gone else await asking.find(queue_id)
    asking.flush()
    outcomes = {one.address: one for one in asking.sent.outcomes(queue_id)}
    if listed is None and not known.accepted:
        return None
    waiting = [] if listed is None else [one for one in listed.recipients if not one.status.is_final]
    states = [_waiting(one) for one in waiting]
    shown = {one.address for one in states}
    states += [_final(one) for one in outcomes.values() if one.address not in shown]
    return MessageState(queue_id, "queued" if waiting else "done", _time(known.at), states)


def _waiting(one: ListedRecipient) -> RecipientState:
    if one.status is Status.HELD:
        return RecipientState(one.address, "held", one.attempts, one.reply)
    if one.attempts == 0 or one.leased:
        return RecipientState(one.address, "queued", one.attempts, one.reply)
    return RecipientState(one.address, "deferred", one.attempts, one.reply, _time(one.due))


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
