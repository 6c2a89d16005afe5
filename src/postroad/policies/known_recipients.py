"""Unknown names are refused at RCPT, before any content is sent.

In domains of `[[recipients]]`, and of `[[aliases]]` with `strict = true`, a recipient that nobody knows gets
`550 5.1.1`, whoever sends it, so that mail to invented names is neither taken nor bounced to forged senders (RFC 5321
3.6.2). Who cannot tell now defers. Postmaster is known everywhere (RFC 5321 4.5.1). All other domains are none of this
policy's business, nor is mail that the client may not send there at all.
"""

from collections.abc import Awaitable, Callable

from postroad.model.address import Mailbox
from postroad.model.errors import TableError
from postroad.policy.context import RcptContext
from postroad.policy.verdict import Defer, Reject, Verdict
from postroad.smtp import replies

Knows = Callable[[Mailbox], bool | Awaitable[bool]]
Control = Callable[[RcptContext], Verdict | None]


class KnownRecipients:
    """The policy, bound to the tables."""

    def __init__(self, knows: Knows, control: Control) -> None:
        """`knows` tells, at once or later, whether a recipient may exist; TableError: not now.

        What `control` rejects is not looked up for clients without a login: strangers learn nothing of domains that
        they may not send to, and no next hop is asked for them.
        """
        self._knows = knows
        self._control = control

    def __call__(self, ctx: RcptContext) -> Verdict | Awaitable[Verdict | None] | None:
        """Reject what is known not to exist; no opinion on all else."""
        if ctx.peer.identity is None and isinstance(self._control(ctx), Reject):
            return None
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
    return Reject(replies.unknown_recipient(recipient), "nobody knows this name, in a domain whose names are all known")


def _defer(error: TableError) -> Verdict:
    return Defer(replies.ALIASES_UNAVAILABLE, str(error))
