"""Refuses clients that are banned, before anything is said, and before a further log-in is looked at (`[bans]`).

Who is banned is decided elsewhere, from how clients behave and by operators; here it is only looked up. RFC 5321 3.1
(554 in the place of the greeting), RFC 5321 3.8 (421).
"""

from collections.abc import Callable

from postroad.policy.context import AuthContext, ConnectContext
from postroad.policy.shield.bans import Ban
from postroad.policy.verdict import Defer, Reject, Verdict
from postroad.smtp import replies


class Banned:
    """The policy, bound to its settings."""

    def __init__(self, ban_of: Callable[[str], Ban | None], answer: str) -> None:
        """`ban_of` gives the ban in force of an address; `answer` is defer, reject or silence."""
        self._ban_of = ban_of
        self._answer = answer

    def __call__(self, ctx: ConnectContext | AuthContext) -> Verdict | None:
        """Refuse who is banned as `bans.answer` says."""
        ban = self._ban_of(ctx.peer.ip)
        if ban is None:
            return None
        reason = f"{ban.network} is banned: {ban.kind}"
        if self._answer == "reject":
            return Reject(replies.BANNED, reason, leave=True)
        return Defer(replies.BANNED_FOR_NOW if self._answer == "defer" else replies.SILENCE, reason, leave=True)
