"""The queue as Postfix prints it, letter by letter, for the programs that read `mailq` and `postqueue -j` (pure).

The text is that of Postfix with long queue ids: a `*` behind the id of what is being delivered, a `!` behind what is
held, the reason of a delay above the recipients that share it. Sizes and times are Postfix's, in local time.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from postroad.model.work import Status
from postroad.spool.listing import Listed, ListedRecipient, Stats

HEADING: Final = "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------"
EMPTY: Final = "Mail queue is empty"
USAGE: Final = "usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site"
_DAEMON: Final = "MAILER-DAEMON"  # Postfix's name for the null sender
_REASON_ENDS: Final = 76  # column
_MARKS: Final = {"active": "*", "hold": "!"}.items()


def queue_name(message: Listed, now: int) -> str:
    """The queue of Postfix's that a message would be in."""
    open_ones = [one for one in message.recipients if not one.status.is_final]
    if open_ones and all(one.status is Status.HELD for one in open_ones):
        return "hold"
    pending = [one for one in open_ones if one.status is Status.PENDING]
    if any(one.leased and (one.due <= now or not one.attempts) for one in pending):
        return "active"
    return "deferred" if any(one.attempts for one in pending) else "incoming"


def block(message: Listed, now: int) -> Iterator[str]:
    """The lines of one message, without the blank line behind it."""
    name = queue_name(message, now)
    mark = next((sign for queue, sign in _MARKS if queue == name), "")
    at = datetime.fromtimestamp(message.arrived // 1_000_000, tz=UTC).astimezone()
    arrived = f"{at:%a %b} {at.day:2d} {at:%H:%M:%S}"
    yield f"{message.id + mark:<17} {message.size:>8} {arrived:>19.19} {tame(message.sender or _DAEMON)}"
    said = ""
    for recipient in _by_reason(message):
        if recipient.reply and recipient.reply != said:
            said = recipient.reply
            words = tame(said)
            yield f"{'':>{max(_REASON_ENDS - len(words), 0)}}({words})"
        yield f"{'':17} {'':>8} {'':19} {tame(recipient.address)}"


def _by_reason(message: Listed) -> list[ListedRecipient]:
    """The recipients that are not final: those without a reason first, then those of one reason together."""
    order = {"": -1}
    for one in message.recipients:
        order.setdefault(one.reply, len(order))
    return sorted((one for one in message.recipients if not one.status.is_final), key=lambda one: order[one.reply])


def total(stats: Stats) -> str:
    """The last line."""
    return f"-- {stats.octets // 1024} Kbytes in {stats.messages} Request{'' if stats.messages == 1 else 's'}."


def json_line(message: Listed, now: int) -> str:
    """A message as `postqueue -j` has it, on one line."""
    recipients = [
        {"address": one.address, **({"delay_reason": one.reply} if one.reply else {})}
        for one in message.recipients
        if not one.status.is_final
    ]
    facts = {
        "queue_name": queue_name(message, now),
        "queue_id": message.id,
        "arrival_time": message.arrived // 1_000_000,
        "message_size": message.size,
        "forced_expire": False,
        "sender": message.sender or _DAEMON,
        "recipients": recipients,
    }
    return json.dumps(facts, ensure_ascii=False)


def tame(text: str) -> str:
    """`text` with a question mark for whatever does not print, as Postfix has it."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)
