"""Retry rules: which schedule a recipient has, by its domain, site, next hop, last answer and the message's tags.

A rule covers a recipient when each criterion it names does. All that do merge in the order of the file; for each
option the last that gives it wins, and `[queue]` gives the rest. The site of a next hop is known once it was
planned. Pure.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from postroad.model.envelope import Envelope
from postroad.model.outcome import Deferred
from postroad.model.work import Work
from postroad.queue.patterns import matches_domain, matches_text
from postroad.queue.retry import RetrySchedule, schedule_of
from postroad.queue.settings import QueueSettings, RetrySettings
from postroad.queue.times import microseconds

_KEPT: Final = 1000  # merged schedules


class Answer(Struct, frozen=True, gc=False):
    """What was said last: the enhanced code, "" where there is none, and the reply in words, with and without it."""

    enhanced: str
    forms: tuple[str, str]


def answer_of(said: str) -> Answer:
    """The reply in the reason of a row: `host x[y] said: 450 4.2.0 text (in reply to RCPT TO)`, or our own words."""
    if said.startswith("host "):
        _, _, said = said.partition(" said: ")
        said = said.rpartition(" (in reply to ")[0] or said
    code, _, rest = said.partition(" ")
    enhanced, _, text = rest.partition(" ")
    if not (enhanced[:1].isdigit() and enhanced[1:2] == "."):
        return Answer("", (said, said))
    return Answer(enhanced, (said, f"{code} {text}"))


class RetryPolicy:
    """Chooses schedules by rules."""

    def __init__(self, default: RetrySchedule, rules: Sequence[RetrySettings]) -> None:
        """`default` is what `[queue]` says."""
        self._default = default
        self._rules = tuple(rules)
        self._merged: dict[tuple[int, ...], RetrySchedule] = {(): default}

    def schedule_for(self, work: Work, outcome: Deferred | None, site: str) -> RetrySchedule:
        """The schedule of `work` at a next hop of `site`, after `outcome`, or after what its row says."""
        answer = answer_of(work.reply if outcome is None else str(outcome.reply))
        return self.merged(self.covering(work, answer, site))

    def covering(self, work: Work, answer: Answer | None, site: str) -> tuple[int, ...]:
        """The numbers of the rules that cover `work` after `answer`; without one, those that may after some answer."""
        envelope = work.stored.envelope
        domain = work.recipient.address.domain.lower()
        return tuple(
            number
            for number, rule in enumerate(self._rules)
            if (not rule.domains or matches_domain(rule.domains, domain))
            and (not rule.sites or site in rule.sites)
            and (not rule.lanes or any(matches_text(pattern.casefold(), work.lane) for pattern in rule.lanes))
            and (not rule.tags or not set(rule.tags).isdisjoint(envelope.tags))
            and (not rule.errors or answer is None or any(matches_error(pattern, answer) for pattern in rule.errors))
        )

    def merged(self, numbers: tuple[int, ...]) -> RetrySchedule:
        """What the rules `numbers` say together."""
        known = self._merged.get(numbers)
        if known is not None:
            return known
        pauses, expire, warn = self._default.pauses, self._default.expire_after, self._default.warn_after
        for number in numbers:
            rule = self._rules[number]
            pauses = tuple(map(microseconds, rule.retry)) or pauses
            expire = microseconds(rule.expire_after) or expire
            warn = microseconds(rule.warn_after) or warn
        if len(self._merged) >= _KEPT:
            self._merged.clear()
        made = RetrySchedule(pauses, expire, warn, self._default.greylist, self._default.hints)
        self._merged[numbers] = made
        return made

    def deadline_of(self, envelope: Envelope) -> int:
        """The first time at which a recipient of `envelope` may have to be looked at, whichever rules cover it then."""
        earliest = self._default.deadline_of(envelope)
        domains = {recipient.address.domain.lower() for recipient in envelope.recipients}
        for number, rule in enumerate(self._rules):
            if rule.tags and set(rule.tags).isdisjoint(envelope.tags):
                continue
            if not rule.domains or any(matches_domain(rule.domains, domain) for domain in domains):
                earliest = min(earliest, self.merged((number,)).deadline_of(envelope))
        return earliest


def matches_error(pattern: str, answer: Answer) -> bool:
    """True when `pattern`, the begin of an enhanced code or a reply with "*", is about `answer`."""
    if is_code(pattern):
        pattern = pattern.rstrip("*")
        return (answer.enhanced + ".").startswith(pattern if pattern.endswith(".") else pattern + ".")
    return any(matches_text(pattern.casefold(), form) for form in answer.forms)


def is_code(pattern: str) -> bool:
    """True when `pattern` is an enhanced code or the begin of one: "4.", "4.7.*", "4.7.1"."""
    begin = pattern.rstrip("*")
    return "." in begin and set(begin) <= set("0123456789.")


def retries_of(settings: QueueSettings, rules: Sequence[RetrySettings]) -> RetrySchedule | RetryPolicy:
    """How long mail is tried: by `[queue]` alone, or with `rules`."""
    schedule = schedule_of(settings)
    return RetryPolicy(schedule, rules) if rules else schedule
