"""Unknown names are refused at RCPT, before any content is sent.

In domains of `[[aliases]]` with `strict = true` a recipient that no table has gets `550 5.1.1`, whoever sends it, so
that mail to invented names is neither taken nor bounced to forged senders (RFC 5321 3.6.2). A database that does not
answer defers. Postmaster is known everywhere (RFC 5321 4.5.1). All other domains are none of this policy's business.
"""

from collections.abc import Awaitable, Callable

from postroad.model.address import Mailbox
from postroad.model.errors import TableError
from postroad.policy.context import RcptContext
from postroad.policy.verdict import Defer, Reject, Verdict
from postroad.smtp import replies

Knows = Callable[[Mailbox], bool | Awaitable[bool]]


class KnownRecipients:
    """The policy, bound to the tables."""

    def __init__(self, knows: Knows) -> None:
        """`knows` tells, at once or later, whether a recipient may exist; TableError: not now."""
        self._knows = knows

    def __call__(self, ctx: RcptContext) -> Verdict | Awaitable[Verdict | None] | None:
        """Reject what is known not to exist; no opinion on all else."""
        try:
            known = self._knows(ctx.recipient)
        except TableError as error:
            return _defer(error)
        if known is True:
            return None
        return _reject(ctx.recipient) if known is False else self._later(ctx.recipient, known)

    async def _later(self, recipient: Mailbox, pending: Awaitable[bool]) -> Verdict | None:
        try:
            return None if await pending else _reject(recipient)
        except TableError as error:
            return _defer(error)


def _reject(recipient: Mailbox) -> Verdict:
    return Reject(replies.unknown_recipient(recipient), "no table of aliases has this name of a strict domain")


def _defer(error: TableError) -> Verdict:
    return Defer(replies.ALIASES_UNAVAILABLE, str(error))
