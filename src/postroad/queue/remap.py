"""Replies that a shaping rule gives another meaning: 4xx that is final, 5xx that is not, a pause for the next hop.

Only what a peer said is looked at, never our own words. What it said is kept beside the new meaning, so that the
log tells both. Of several rules that match, the last wins. Pure.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from postroad.model.option import parse_duration
from postroad.model.outcome import Decided, Deferred, Failed
from postroad.model.reply import Reply
from postroad.queue.patterns import matches_any

DEFER: Final = "defer"
FAIL: Final = "fail"
SUSPEND: Final = "suspend"
RETRY: Final = "retry"
_LONGEST: Final = 30 * 86400.0


class ReplyRule(Struct, frozen=True):
    """Replies that `match` (case-folded) mean `action`; `seconds` belong to suspend and retry."""

    match: str
    action: str
    seconds: float = 0.0


class Suspension(Struct, frozen=True, gc=False):
    """A reply asks for a pause: of which rule (its place in the list), how long, and the reply in words."""

    index: int
    seconds: float
    reason: str


def parse_action(text: str) -> tuple[str, float]:
    """Action and seconds of "defer", "fail", "suspend 10m" or "retry 5m"; ValueError tells what is accepted."""
    word, _, rest = text.strip().partition(" ")
    if word in (DEFER, FAIL) and not rest:
        return word, 0.0
    if word in (SUSPEND, RETRY) and rest:
        seconds = parse_duration(rest.strip())
        if not 0 < seconds <= _LONGEST:
            raise ValueError(f"{text!r}: the pause must be more than 0 and at most 30d")
        return word, seconds
    raise ValueError(f'{text!r} is no meaning of a reply; write "defer", "fail", "suspend 10m" or "retry 5m"')


def forms_of(reply: Reply) -> tuple[str, ...]:
    """The texts that patterns are held against: with the enhanced code, as the peer may have sent it, and without."""
    text = reply.text.replace("\n", " ")
    bare = f"{reply.code} {text}".rstrip()
    enhanced = reply.enhanced
    if not enhanced:
        return (bare,)
    full = f"{reply.code} {enhanced} {text}".rstrip()
    if reply.code >= 500 and enhanced[0] == "4":  # a deferral of ours for what the host said of itself
        return full, bare, f"{reply.code} 5{enhanced[1:]} {text}".rstrip()
    return full, bare


def remap(outcomes: Sequence[Decided], rules: Sequence[ReplyRule]) -> tuple[list[Decided], Suspension | None]:
    """`outcomes` as `rules` read them, and the pause that one of them asks for."""
    changed: list[Decided] = []
    pause: Suspension | None = None
    for outcome in outcomes:
        if isinstance(outcome, Deferred | Failed) and outcome.command:
            index = _find(outcome.reply, rules)
            if index >= 0:
                rule = rules[index]
                changed.append(_changed(outcome, rule))
                if rule.action == SUSPEND:
                    pause = Suspension(index, rule.seconds, str(outcome.reply))
                continue
        changed.append(outcome)
    return changed, pause


def _find(reply: Reply, rules: Sequence[ReplyRule]) -> int:
    forms = forms_of(reply)
    for index in range(len(rules) - 1, -1, -1):
        if matches_any((rules[index].match,), forms):
            return index
    return -1


def _changed(outcome: Deferred | Failed, rule: ReplyRule) -> Deferred | Failed:
    said = outcome.reply
    fails = rule.action == FAIL
    kind, code = ("5", 554) if fails else ("4", 451)
    if said.code // 100 == code // 100 and said.enhanced[:1] == kind:
        reply, original = said, outcome.original
    else:
        reply, original = Reply(code, f"{kind}{said.enhanced[1:] or '.0.0'}", said.text), str(said)
    if fails:
        return Failed(reply, outcome.scope, outcome.target, outcome.command, outcome.source, original)
    pause = rule.seconds if rule.action == RETRY else 0.0
    return Deferred(reply, outcome.scope, outcome.target, outcome.command, outcome.source, original, pause)
