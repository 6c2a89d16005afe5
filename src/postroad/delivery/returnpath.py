"""The reverse-path that mail leaves with: as it came, one of ours for it, or our own with a tag or recipient (*pure*).

Decided at each attempt and not kept, so that what the queue shows is who sent it, and a secret can be changed under
mail that waits. Mail between addresses that are all ours, and reports, leave as they are. With VERP a recipient is in
the reverse-path, so each gets a transaction of its own.
"""

from collections.abc import Callable, Sequence

from postroad.delivery.returnpathsettings import BatvSettings, SrsSettings
from postroad.delivery.verp import Verp
from postroad.mailauth.srs import Batv, Srs
from postroad.model.address import Mailbox
from postroad.model.envelope import Recipient
from postroad.policy.strangers import covers


class ReturnPaths:
    """What one configuration says about reverse-paths."""

    def __init__(
        self,
        srs: tuple[Srs, SrsSettings] | None,
        batv: tuple[Batv, BatvSettings] | None,
        verp: Verp | None = None,
        *,
        is_ours: Callable[[Mailbox], bool],
        now: Callable[[], int],
    ) -> None:
        """`is_ours` tells whether an address is in one of our domains; `now` gives microseconds since 1970."""
        self._srs = srs
        self._batv = batv
        self._verp = verp
        self._is_ours = is_ours
        self._now = now

    def __call__(self, sender: Mailbox, recipients: Sequence[Recipient]) -> Mailbox:
        """The reverse-path for mail of `sender` to `recipients`."""
        if sender.is_null or all(self._is_ours(recipient.address) for recipient in recipients):
            return sender
        if self._is_ours(sender):
            return self._tagged(self._named(sender, recipients))
        if self._srs is None:
            return sender
        srs, settings = self._srs
        if sender.domain == srs.domain or sender.is_literal or covers(settings.exempt, sender.domain):
            return sender
        return srs.forward(sender, self._now()) or sender

    def _named(self, sender: Mailbox, recipients: Sequence[Recipient]) -> Mailbox:
        if self._verp is None or len(recipients) != 1 or not self._verp.concerns(sender):
            return sender
        return self._verp.path(sender, recipients[0].address) or sender

    def _tagged(self, sender: Mailbox) -> Mailbox:
        if self._batv is None:
            return sender
        batv, settings = self._batv
        if batv.is_tagged(sender) or not covers(settings.domains, sender.domain):
            return sender
        return batv.tag(sender, self._now()) or sender
