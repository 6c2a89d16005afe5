"""Recipients that a route replaces when their message is accepted (*pure*).

A route whose `then` rewrites replaces the recipient, and the routes are tried again from the first for the new one;
each route rewrites a recipient once, so that no loop is possible. The original recipient goes along as ORCPT where
the sender gave none, and everything else that was asked for stays (RFC 3461 5.2.7.2), so that reports name the
address that the sender knows.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from postroad.model.address import Mailbox, parse_domain, parse_mailbox
from postroad.model.envelope import Envelope, Recipient
from postroad.model.records import RecipientRewritten, Record
from postroad.routing.rules import Rule, compile_routes
from postroad.routing.settings import RouteSettings
from postroad.smtp.client import original_recipient


class Step(Struct, frozen=True):
    """One rewriting: the new recipient, and the route that made it, in words for people."""

    recipient: Recipient
    reason: str


class Rewriter:
    """The routes as far as they replace recipients; made by `compile_rewriter`."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        """Take `rules` in the order they are to be tried."""
        self._rules = tuple(rules)

    def __call__(self, envelope: Envelope) -> tuple[Envelope, list[Record]]:
        """`envelope` for the recipients that the routes make of its own, each address once; what to report of it."""
        out: dict[tuple[str, str], Recipient] = {}
        records: list[Record] = []
        for given in envelope.recipients:
            recipient = given
            for step in self.steps(given, envelope):
                recipient = step.recipient
                records.append(
                    RecipientRewritten(
                        at=envelope.arrived,
                        id=envelope.id,
                        recipient=given.address.text,
                        to=recipient.address.text,
                        reason=step.reason,
                    )
                )
            out.setdefault((recipient.address.local, recipient.address.domain), recipient)
        return (replace(envelope, recipients=tuple(out.values())) if records else envelope), records

    def steps(self, recipient: Recipient, envelope: Envelope) -> Iterator[Step]:
        """What `recipient` becomes, one rewriting after the other."""
        used: set[int] = set()
        while (at := self._first(recipient.address, envelope, used)) is not None:
            used.add(at)
            rule = self._rules[at]
            orcpt = recipient.orcpt or original_recipient(recipient.address.text)
            recipient = Recipient(rewritten(rule.rewrite, recipient.address), recipient.notify, orcpt)
            yield Step(recipient, rule.reason)

    def _first(self, recipient: Mailbox, envelope: Envelope, used: set[int]) -> int | None:
        """The first route that matches, when it rewrites."""
        for at, rule in enumerate(self._rules):
            if at not in used and rule.conditions.hold(envelope, recipient):
                return at if rule.rewrite else None
        return None


def compile_rewriter(routes: Sequence[RouteSettings]) -> Rewriter | None:
    """What `routes` replace; None when they replace nothing."""
    rules = compile_routes(routes)
    return Rewriter(rules) if any(rule.rewrite for rule in rules) else None


def rewritten(pattern: str, recipient: Mailbox) -> Mailbox:
    """The mailbox that `pattern`, "*@domain" or an address, makes of `recipient`; the domain in ASCII."""
    local, _, domain = pattern.rpartition("@")
    domain = parse_domain(domain)
    if local == "*":
        return Mailbox(f"{recipient.text.rpartition('@')[0]}@{domain}", recipient.local, domain)
    return Mailbox(f"{local}@{domain}", parse_mailbox(pattern).local, domain)
