"""A message that is only thought of, taken through the rules: what would come of it, and why, rule by rule (*pure*).

The same course decides as in a session; only each rule is asked one by one, so that what each of them said can be told.
"""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from postroad.model.address import Mailbox
from postroad.model.envelope import Origin, Recipient
from postroad.policy.adjusting import recipients_after, total
from postroad.policy.context import Peer, RcptContext
from postroad.policy.facts import Facts
from postroad.policy.rules.book import Rule, Rulebook
from postroad.policy.rules.course import Course
from postroad.policy.rules.situation import STAGES, Situation
from postroad.policy.verdict import Accept, Adjust, Answer, Defer, Discard, Reject, Verdict

RELAY_CONTROL: Final = "relay control"


class Case(Struct, frozen=True):
    """A message to one recipient: who brings it, when (microseconds since 1970), and what it has in its head."""

    peer: Peer
    origin: Origin
    sender: Mailbox
    recipient: Mailbox
    now: int
    head: bytes = b""
    size: int = 0
    findings: frozenset[str] = frozenset()


class Step(Struct, frozen=True):
    """What one rule had to say at its stage: `matches`, else `why` not."""

    stage: str
    rule: str
    matches: bool
    why: str = ""


class Rehearsed(Struct, frozen=True):
    """What would come of it: accept, reject, defer, discard or hold, by whom, and with what done to the message."""

    outcome: str
    by: str
    reply: str
    adjust: Adjust
    to: tuple[str, ...]
    steps: tuple[Step, ...]


class NotingRulebook(Rulebook):
    """Rules that remember what each of them said."""

    def __init__(self, book: Rulebook) -> None:
        """The rules of `book`."""
        super().__init__(book.rules, book.grants)
        self.steps: list[Step] = []

    def ask(self, stage: int, situation: Situation, limit: int) -> list[Rule]:
        """As its base has it, each rule asked one by one."""
        matched: list[Rule] = []
        for rule in self.rules:
            if rule.stage != stage:
                continue
            if matched and matched[-1].ends:
                why = f"not asked: rule {matched[-1].label} ended it"
            elif rule.number >= limit:
                why = "not asked: a rule above it ended it"
            elif failing := rule.failing(situation):
                why = f"{failing} does not hold"
            else:
                why = ""
                matched.append(rule)
                situation.tags.update(() if rule.action.adjust is None else rule.action.adjust.tags)
            self.steps.append(Step(STAGES[stage], rule.label, not why, why))
        return matched

    def granted(self, situation: Situation) -> Rule | None:
        """As its base has it, and noted."""
        for rule in self.grants:
            failing = rule.failing(situation)
            why = f"{failing} does not hold" if failing else ""
            self.steps.append(Step(STAGES[rule.stage], rule.label, not why, why))
            if not why:
                return rule
        return None


def rehearse(book: Rulebook, case: Case, relay: Callable[[RcptContext], Verdict | None]) -> Rehearsed:
    """What would come of `case` by the rules of `book`, and by `relay` where they say nothing."""
    noting = NotingRulebook(book)
    course = Course(noting, Situation(case.peer, case.origin, case.now, findings=case.findings))
    adjustments: list[Adjust] = []
    by = ""
    for ask in (course.connect, lambda: course.mail(case.sender)):
        answer = ask()
        if isinstance(answer, Reject | Defer | Discard):
            return _ended(answer, noting, adjustments)
        _add(answer, adjustments)
    answer = course.rcpt(case.recipient)
    _add(answer, adjustments)
    if not isinstance(answer, Accept | Reject | Defer | Discard):
        context = RcptContext(case.peer, case.origin, case.sender, case.recipient, 0, Facts())
        answer, by = relay(context), RELAY_CONTROL
    if not isinstance(answer, Accept):
        return _ended(answer, noting, adjustments, by)
    by = by or answer.reason.removeprefix("rule ")
    of_rcpt = total(adjustments)
    to = of_rcpt.redirect or (case.recipient,)
    answer = course.message(to, case.head, case.size)
    if isinstance(answer, Reject | Defer | Discard):
        return _ended(answer, noting, adjustments)
    at_message: list[Adjust] = []
    _add(answer, at_message)
    adjust = total([*adjustments, *at_message])
    after = Adjust("", redirect=total(at_message).redirect, add=adjust.add)
    reached = recipients_after([Recipient(mailbox) for mailbox in to], after)
    outcome = "hold" if adjust.hold else "accept"
    return Rehearsed(outcome, by, "", adjust, tuple(one.address.text for one in reached), tuple(noting.steps))


def _add(answer: Answer | None, adjustments: list[Adjust]) -> None:
    if isinstance(answer, Accept):
        answer = answer.adjust
    if isinstance(answer, Adjust):
        adjustments.append(answer)


def _ended(answer: Verdict | None, noting: NotingRulebook, adjustments: Sequence[Adjust], by: str = "") -> Rehearsed:
    adjust, steps = total(adjustments), tuple(noting.steps)
    match answer:
        case Reject(reply=reply, reason=reason):
            outcome, text = "reject", str(reply)
        case Defer(reply=reply, reason=reason):
            outcome, text = "defer", str(reply)
        case Discard(reason=reason):
            outcome, text = "discard", ""
        case _:
            outcome, text, reason = "reject", "", RELAY_CONTROL
    return Rehearsed(outcome, by or reason.removeprefix("rule "), text, adjust, (), steps)
