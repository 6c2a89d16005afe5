"""What rules have decided in the course of one transaction, and what follows from it at each stage (*pure*).

The rule that ends it at one stage ends it for those below it at the stages that follow: of a recipient when it was
asked about that recipient, of all of them when it was asked before. A rule that accepts lets the recipient be relayed,
but not a stranger's whose address itself asks to be sent on (percent hack and the like).
"""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from postroad.model.address import Mailbox
from postroad.model.reply import Reply
from postroad.policy.adjusting import total
from postroad.policy.rules.actions import ACCEPT, DEFER, DISCARD, REJECT
from postroad.policy.rules.book import Rule, Rulebook
from postroad.policy.rules.situation import CONNECT, MAIL, MESSAGE, RCPT, Situation
from postroad.policy.verdict import Accept, Adjust, Answer, Defer, Discard, Reject

NO_LIMIT: Final = 1 << 60


class Course:
    """One transaction; `limit` is the number of the rule that ended it, `accepted` why recipients may be relayed."""

    __slots__ = ("_of_recipient", "_rulebook", "accepted", "limit", "rates", "situation")

    def __init__(self, rulebook: Rulebook, situation: Situation, limit: int = NO_LIMIT, accepted: str = "") -> None:
        """`limit` and `accepted` are what came of stage connect."""
        self._rulebook = rulebook
        self.situation = situation
        self.limit = limit
        self.accepted = accepted
        self.rates: tuple[str, ...] = ()  # those that the rules want that were asked last
        self._of_recipient: dict[Mailbox, tuple[int, frozenset[str]]] = {}

    def connect(self) -> Answer | None:
        """A client has come."""
        return self._ask(CONNECT)

    def mail(self, sender: Mailbox) -> Answer | None:
        """The reverse-path is known."""
        self.situation.sender = sender
        return self._ask(MAIL)

    def _ask(self, stage: int) -> Answer | None:
        matched = self._rulebook.ask(stage, self.situation, self.limit)
        self.rates = rates_of(matched)
        if not matched:
            return None
        last = matched[-1]
        if last.ends:
            self.limit = last.number
        if last.action.end == ACCEPT:
            self.accepted = reason_of(last)
        return _refusal(last) or adjust_of(matched)

    def rcpt(self, recipient: Mailbox) -> Answer | None:
        """One recipient."""
        situation = self.situation
        situation.recipients = (recipient,)
        situation.forget_findings()
        before = frozenset(situation.tags)
        matched = self._rulebook.ask(RCPT, situation, self.limit)
        self.rates = rates_of(matched)
        tags, situation.tags = frozenset(situation.tags), set(before)
        ends = matched[-1] if matched and matched[-1].ends else None
        if ends is not None and (refusal := _refusal(ends)) is not None:
            return refusal
        adjust = adjust_of(matched)
        number = self.limit if ends is None else ends.number
        if number != NO_LIMIT or len(tags) > len(before):
            for mailbox in (recipient, *(() if adjust is None else adjust.redirect)):
                self._of_recipient[mailbox] = number, tags
        why = reason_of(ends) if ends is not None and ends.action.end == ACCEPT else self.accepted
        if not why and (grant := self._rulebook.granted(situation)) is not None:
            why = reason_of(grant)
        if why and not situation.is_limited and (situation.is_trusted or not recipient.has_routing):
            return Accept(why, adjust)
        return adjust

    def message(self, recipients: Sequence[Mailbox], head: bytes, size: int) -> Answer | None:
        """The content is there; rules below those that ended it for every recipient are not asked."""
        situation, of_recipient = self.situation, self._of_recipient
        situation.recipients = tuple(recipients)
        situation.see(head, size)
        situation.forget_findings()
        limit = self.limit
        if of_recipient:
            known = [of_recipient.get(mailbox, (limit, frozenset[str]())) for mailbox in recipients]
            limit = max((number for number, _ in known), default=limit)
            situation.tags.update(tag for _, tags in known for tag in tags)
        matched = self._rulebook.ask(MESSAGE, situation, limit)
        self.rates = rates_of(matched)
        return (_refusal(matched[-1]) or adjust_of(matched)) if matched else None


def reason_of(rule: Rule) -> str:
    """The rule, for the log and for people."""
    return f"rule {rule.label}"


def rates_of(matched: Sequence[Rule]) -> tuple[str, ...]:
    """The names of `[[rates]]` that `matched` want asked, each once."""
    return tuple(dict.fromkeys(name for rule in matched for name in rule.action.rates)) if matched else ()


def adjust_of(matched: Sequence[Rule]) -> Adjust | None:
    """What `matched` want done to the message, as one; None for nothing."""
    wanted = [_adjust(rule, rule.action.adjust) for rule in matched if rule.action.adjust is not None]
    return total(wanted) if wanted else None


def _adjust(rule: Rule, adjust: Adjust) -> Adjust:
    reason = reason_of(rule)
    return replace(adjust, reason=reason, hold=f"{adjust.hold} ({reason})" if adjust.hold else "")


def _refusal(rule: Rule) -> Answer | None:
    action, reason = rule.action, reason_of(rule)
    is_greeting = rule.stage == CONNECT
    if action.end == DISCARD:
        return Discard(reason)
    if action.reply is None:
        return None
    if action.end == REJECT:
        return Reject(_greeting(action.reply, 554) if is_greeting else action.reply, reason, leave=is_greeting)
    if action.end == DEFER:
        return Defer(_greeting(action.reply, 421) if is_greeting else action.reply, reason, leave=is_greeting)
    return None


def _greeting(reply: Reply, code: int) -> Reply:
    """A refusal instead of the banner has one of two codes (RFC 5321 3.1, RFC 5321 4.2.1)."""
    return Reply(code, reply.enhanced, reply.text)
