"""Reports that come back to reverse-paths of ours: whom they are for, and which are about mail that we never sent.

What `[srs]` and `[batv]` signed on its way out is turned back here, at RCPT; an address that only looks like one gets
`550 5.1.1`. Whoever holds such an address may write to whom it stands for, as long as it holds. With `batv.refuse` a
report to a sender of ours without a tag is refused: it is about mail that was forged (RFC 5321 4.5.5, RFC 5321 3.6.3).
"""

from collections.abc import Callable

from postroad.delivery.returnpathsettings import BatvSettings
from postroad.mailauth.srs import Batv, Srs
from postroad.model.address import Mailbox
from postroad.policy.context import RcptContext
from postroad.policy.strangers import covers
from postroad.policy.verdict import Accept, Adjust, Reject, Verdict
from postroad.smtp import replies


class ReturnedMail:
    """The policy, bound to its settings."""

    def __init__(self, srs: Srs | None, batv: tuple[Batv, BatvSettings] | None, now: Callable[[], int]) -> None:
        """`now` gives microseconds since 1970."""
        self._srs = srs
        self._batv = batv
        self._now = now

    def __call__(self, ctx: RcptContext) -> Verdict | None:
        """Accept what stands for somebody, for that one; no opinion on other addresses."""
        mailbox = ctx.recipient
        if self._srs is not None and self._srs.is_ours(mailbox):
            return _turned("SRS", mailbox, self._srs.back(mailbox, self._now()))
        if self._batv is None or not covers(self._batv[1].domains, mailbox.domain):
            return None
        batv, settings = self._batv
        if batv.is_tagged(mailbox):
            return _turned("BATV", mailbox, batv.untag(mailbox, self._now()))
        is_report = ctx.sender.is_null and settings.refuse and mailbox.local.lower() != "postmaster"
        if is_report and not ctx.peer.relays and ctx.peer.identity is None:
            return Reject(replies.NOT_SENT_BY_US, "BATV: a report to a sender without a tag of ours")
        return None


def _turned(scheme: str, mailbox: Mailbox, found: Mailbox | str) -> Verdict:
    if isinstance(found, str):
        return Reject(replies.unknown_recipient(mailbox), f"{scheme}: {found}")
    reason = f"{scheme}: it stands for {found.text}"
    return Accept(reason, Adjust(reason, redirect=(found,)))
