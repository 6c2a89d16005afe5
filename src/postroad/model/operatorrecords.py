"""Records about what operators do. Everybody imports them from `records`.

`by` is the name of the user who gave the order, `uid` the number of it, as the kernel has them.
"""

from postroad.model.record import Record


class OperatorActed(Record, frozen=True, tag="OperatorActed"):
    """The user `by` did `action` on `selection`: `recipients` of `messages` changed, `busy` were being delivered."""

    action: str
    by: str
    uid: int
    selection: str
    recipients: int = 0
    messages: int = 0
    busy: int = 0
    reason: str = ""


class RecipientHandled(Record, frozen=True, tag="RecipientHandled"):
    """An operator's `action` changed one recipient: hold, release, retry, fail, drop, or reroute to `lane`."""

    id: str
    sender: str
    recipient: str
    lane: str
    action: str
    by: str
    uid: int
    reason: str = ""
