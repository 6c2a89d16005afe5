"""Conditions of routes and egress rules, in look-up form (*pure*).

A list of address patterns becomes sets, so that matching costs a look or two however long the list is. All conditions
of a rule must hold; one that was not given always does.
"""

from collections.abc import Sequence

from msgspec import Struct

from postroad.model.address import Mailbox, parse_domain, parse_mailbox
from postroad.model.envelope import Envelope
from postroad.model.errors import AddressError


class Patterns(Struct, frozen=True):
    """A list of patterns in look-up form: `parents` of "*.domain", `null` for "<>", `any` for "*"."""

    domains: frozenset[str]
    parents: frozenset[str]
    mailboxes: frozenset[tuple[str, str]]
    mailbox_domains: frozenset[str]
    any: bool
    null: bool

    def covers(self, domain: str) -> bool:
        """True when every address at `domain` matches."""
        if self.any or domain in self.domains:
            return True
        parent = domain
        while self.parents and "." in parent:
            parent = parent.partition(".")[2]
            if parent in self.parents:
                return True
        return False

    def match(self, mailbox: Mailbox) -> bool:
        """True when `mailbox` matches; local parts are compared without regard to case."""
        if mailbox.is_null:
            return self.null or self.any
        return self.covers(mailbox.domain) or (mailbox.local.lower(), mailbox.domain) in self.mailboxes


class Conditions(Struct, frozen=True):
    """What a rule asks of a recipient and its message; None and 0 stand for a condition that was not given."""

    recipients: Patterns
    senders: Patterns | None = None
    listeners: frozenset[str] | None = None
    logins: frozenset[str] | None = None  # "*" is in it for any login
    larger_than: int = 0
    smaller_than: int = 0
    tags: frozenset[str] | None = None

    @property
    def about_recipients(self) -> bool:
        """True when nothing but the recipient counts."""
        return (
            self.senders is None
            and self.listeners is None
            and self.logins is None
            and not self.larger_than
            and not self.smaller_than
            and self.tags is None
        )

    def concern(self, domain: str) -> bool:
        """True when some recipient at `domain` may match."""
        return domain in self.recipients.mailbox_domains or self.recipients.covers(domain)

    def hold(self, envelope: Envelope, recipient: Mailbox) -> bool:
        """True when all conditions hold; of `envelope` everything but its recipients counts."""
        if self.listeners is not None and envelope.origin.listener not in self.listeners:
            return False
        if self.logins is not None and not self._has_login(envelope.origin.login):
            return False
        if self.larger_than and envelope.size <= self.larger_than:
            return False
        if self.smaller_than and envelope.size >= self.smaller_than:
            return False
        if self.tags is not None and self.tags.isdisjoint(envelope.tags):
            return False
        if self.senders is not None and not self.senders.match(envelope.sender):
            return False
        return self.recipients.match(recipient)

    def _has_login(self, login: str) -> bool:
        return bool(login) and self.logins is not None and (login in self.logins or "*" in self.logins)


def compile_patterns(patterns: Sequence[str]) -> Patterns:
    """`patterns` in look-up form; ValueError for one that is malformed."""
    try:
        mailboxes = [parse_mailbox(text) for text in patterns if "@" in text]
        names = [text for text in patterns if "@" not in text and text not in ("*", "<>")]
        domains = [parse_domain(text) for text in names if not text.startswith("*.")]
        parents = [parse_domain(text[2:]) for text in names if text.startswith("*.")]
    except AddressError as error:
        raise ValueError(f"pattern: {error}") from None
    return Patterns(
        frozenset(domains),
        frozenset(parents),
        frozenset((mailbox.local.lower(), mailbox.domain) for mailbox in mailboxes),
        frozenset(mailbox.domain for mailbox in mailboxes),
        any="*" in patterns,
        null="<>" in patterns,
    )
