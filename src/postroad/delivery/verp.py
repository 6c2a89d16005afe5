"""Mail whose reverse-path names its recipient (VERP), so that any report about it tells whom it is about.

`news+joe=example.org@example.com` stands for mail of news@example.com to joe@example.org. A transaction has one
reverse-path, so each recipient gets one of its own. As Postfix has it (`XVERP`, its default delimiters).
"""

from collections.abc import Awaitable, Callable
from typing import Final

from postroad.delivery.returnpathsettings import VerpSettings
from postroad.mailauth.srs import made
from postroad.model.address import Mailbox
from postroad.model.content import Content
from postroad.model.outcome import Deferred, Outcome, Scope
from postroad.model.route import Route
from postroad.model.work import Work
from postroad.policy.mailboxes import compile_mailboxes

Deliver = Callable[[Route, list[Work], Content], Awaitable[list[Outcome]]]

_ALL: Final = (Scope.HOST, Scope.NEXT_HOP)  # what is so for every recipient


class Verp:
    """The reverse-paths of `[verp]`."""

    def __init__(self, settings: VerpSettings) -> None:
        """For the senders of `settings`."""
        self._senders = compile_mailboxes(settings.senders)
        self._before, self._at = tuple(settings.delimiters)

    def concerns(self, sender: Mailbox) -> bool:
        """True when recipients of mail of `sender` are told apart."""
        return not sender.is_null and self._senders.match(sender)

    def path(self, sender: Mailbox, recipient: Mailbox) -> Mailbox | None:
        """The reverse-path; None when it would be longer than an address may be."""
        return made(f"{sender.local}{self._before}{recipient.local}{self._at}{recipient.domain}", sender.domain)


def one_by_one(deliver: Deliver, verp: Verp) -> Deliver:
    """`deliver`, which gives each recipient of such mail a transaction of its own, over the same connection.

    What a host or the whole next hop is not ready for now, is not tried for the others.
    """

    async def delivered(route: Route, works: list[Work], content: Content) -> list[Outcome]:
        if len(works) == 1 or not verp.concerns(works[0].stored.envelope.sender):
            return await deliver(route, works, content)
        outcomes: list[Outcome] = []
        for work in works:
            outcomes += await deliver(route, [work], content)
            last = outcomes[-1]
            if isinstance(last, Deferred) and last.scope in _ALL:
                return outcomes + [last] * (len(works) - len(outcomes))
        return outcomes

    return delivered
