"""Rules, compiled: each belongs to the earliest stage at which all it asks for is known (*pure*).

Within a stage rules are asked in the order of the file. The first that matches and does not go on ends it, for the
stages that follow, too, as far as rules below it are concerned. So that the order of the file holds, a rule is asked no
earlier than those above it that let mail through and end it, but none waits for the content because of them; and one
that asks for tags is asked no earlier than those above it that give them.
"""

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from postroad.model.errors import PostroadError
from postroad.policy.rules.actions import REFUSING, Action, compile_then, stage_of
from postroad.policy.rules.conditions import Condition, Tools, compile_when
from postroad.policy.rules.index import RuleIndex
from postroad.policy.rules.settings import RuleSettings
from postroad.policy.rules.situation import CONNECT, RCPT, STAGES, Situation


class Rule(Struct, frozen=True):
    """One rule; `number` is its place among all, `ends`: no rule below it is asked."""

    number: int
    label: str
    stage: int
    conditions: tuple[Condition, ...]
    action: Action
    ends: bool = True
    settings: RuleSettings | None = None

    def failing(self, situation: Situation) -> str:
        """The key that does not hold, "" when the rule matches."""
        for condition in self.conditions:
            if not condition.holds(situation):
                return condition.key
        return ""


class Rulebook:
    """All rules; `grants` are asked of each recipient that no other rule has decided about."""

    def __init__(self, rules: Sequence[Rule], grants: Sequence[Rule] = ()) -> None:
        """Take `rules` in the order of their numbers."""
        self.rules = tuple(rules)
        self.grants = tuple(grants)
        self._stages = tuple(RuleIndex([rule for rule in rules if rule.stage == stage]) for stage in range(len(STAGES)))

    def has(self, stage: int) -> bool:
        """True when rules are asked at `stage`."""
        return self._stages[stage].size > 0

    def ask(self, stage: int, situation: Situation, limit: int) -> list[Rule]:
        """The rules of `stage` with numbers below `limit` that match, up to the first that ends it.

        Tags that a rule gives are seen by those below it.
        """
        matched: list[Rule] = []
        for rule in self._stages[stage].candidates(situation):
            if rule.number >= limit:
                break
            for condition in rule.conditions:
                if not condition.holds(situation):
                    break
            else:
                matched.append(rule)
                adjust = rule.action.adjust
                if adjust is not None and adjust.tags:
                    situation.tags.update(adjust.tags)
                if rule.ends:
                    break
        return matched

    def granted(self, situation: Situation) -> Rule | None:
        """The grant that takes the recipient, None without one."""
        return next((rule for rule in self.grants if not rule.failing(situation)), None)


class Fault(Struct, frozen=True):
    """The rule at this place cannot be used, and why."""

    at: int
    why: str


def compile_rules(settings: Iterable[RuleSettings], tools: Tools, first: int, faults: list[Fault]) -> list[Rule]:
    """`settings` in order, numbered from `first`; those that cannot be used are left out and told in `faults`."""
    rules: list[Rule] = []
    tagged: dict[str, int] = {}
    passed = CONNECT  # the latest stage, before the content, of a rule above that lets mail through
    for at, one in enumerate(settings):
        try:
            conditions, action = compile_when(one.when, tools), compile_then(one.then)
        except (ValueError, PostroadError) as error:
            faults.append(Fault(at, str(error)))
            continue
        stage = max((condition.stage for condition in conditions), default=CONNECT)
        stage = stage_of(action, max([stage, passed, *_stages_of_tags(one, tagged)]))
        label = one.name or str(at + 1)
        rules.append(Rule(first + at, label, stage, tuple(conditions), action, not one.continue_, one))
        if not one.continue_ and action.end not in REFUSING:
            passed = max(passed, min(stage, RCPT))
        if action.adjust is not None:
            for tag in action.adjust.tags:
                tagged[tag] = max(tagged.get(tag, 0), stage)
    return rules


def _stages_of_tags(rule: RuleSettings, tagged: dict[str, int]) -> Iterator[int]:
    """The stages at which the tags that `rule` asks for are given; any of them where it asks by a pattern."""
    for entry in rule.when.tag:
        text = entry.removeprefix("!") if isinstance(entry, str) else ""
        if text in tagged:
            yield tagged[text]
        elif not isinstance(entry, str) or set(text) & set("*?/"):
            yield from tagged.values()
