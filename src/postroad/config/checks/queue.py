"""Rules across the options of `[[shaping]]` and `[[retry]]` (pure).

Times must be in their natural order, as in `[queue]` (RFC 5321 4.5.4.1), names must exist, and a rule must say
something: one that names mail and sets nothing for it is a doubt.
"""

from collections.abc import Callable, Iterator
from typing import Final

from postroad.config.describe import duration_text, value_text
from postroad.config.problem import Problem, Warned
from postroad.config.schema import Config
from postroad.model.option import NEVER


def _retry_rules(config: Config) -> Iterator[Problem]:
    """The times of a rule in their natural order, with what `[queue]` gives where the rule does not."""
    for number, rule in enumerate(config.retry):
        pauses = rule.retry or config.queue.retry
        expire = rule.expire_after or config.queue.expire_after
        warn = rule.warn_after or config.queue.warn_after
        if expire < pauses[0]:
            yield Problem(
                ("retry", number, "expire_after" if rule.expire_after else "retry"),
                f'mail would expire after "{duration_text(expire)}", before its first retry after '
                f'"{duration_text(pauses[0])}"',
            )
        elif rule.warn_after and warn != NEVER and warn >= expire:
            yield Problem(
                ("retry", number, "warn_after"),
                f'"{duration_text(warn)}": the delay warning would come after the mail has expired '
                f'(after "{duration_text(expire)}"); make it shorter, or "never"',
            )


def _idle_rules(config: Config) -> Iterator[Problem]:
    """Rules that name mail and say nothing about it."""
    sections = (
        ("shaping", config.shaping, {"domains", "mx", "sites", "sources", "per"}),
        ("retry", config.retry, {"domains", "sites", "lanes", "errors", "tags"}),
    )
    for section, rules, criteria in sections:
        for number, rule in enumerate(rules):
            if not rule.model_fields_set - criteria:
                yield Warned((section, number), "has no effect: it names mail, but sets nothing for it")


def _names(config: Config) -> Iterator[Problem]:
    """Sites and egress sources that do not exist, so that the rule could never apply."""
    sites = list(config.sites)
    sources = [*config.sources, *config.pools]
    for number, rule in enumerate(config.retry):
        yield from _unknown(("retry", number, "sites"), rule.sites, "site", sites)
    for number, shaping in enumerate(config.shaping):
        yield from _unknown(("shaping", number, "sites"), shaping.sites, "site", sites)
        yield from _unknown(("shaping", number, "sources"), shaping.sources, "egress source or pool", sources)


def _unknown(path: tuple[str | int, ...], names: tuple[str, ...], what: str, known: list[str]) -> Iterator[Problem]:
    there = ", ".join(known) or "none"
    for at, name in enumerate(names):
        if name not in known:
            yield Problem((*path, at), f"{value_text(name)}: no such {what}; there are: {there}")


QUEUE_RULES: Final[tuple[Callable[[Config], Iterator[Problem]], ...]] = (_retry_rules, _idle_rules, _names)
