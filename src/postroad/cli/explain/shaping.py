"""The part of `postroad explain` about shaping and retry: which rules cover a message, and what they come to.

The same rules that serve decide here. A retry rule that asks for an error cannot be known before there is one: it
is told as one that may still apply.
"""

from msgspec import Struct

from postroad.config.describe import duration_text
from postroad.config.schema import Config
from postroad.model.envelope import Envelope
from postroad.model.route import Route
from postroad.model.work import Place, Stored, Work
from postroad.queue.retryrules import Answer, RetryPolicy, retries_of
from postroad.queue.settings import ShapingSettings
from postroad.queue.shaping import Merged, Shaping
from postroad.queue.times import NEVER

_NOTHING_SAID = Answer("", ("", ""))
_SHOWN = (
    "concurrency",
    "rates",
    "recipient_rates",
    "connection_messages",
    "recipients_per_transaction",
    "connect_timeout",
    "command_timeout",
    "data_timeout",
    "done_timeout",
    "tls",
)


class Shaped(Struct):
    """What the rules come to for one recipient, in words; the numbers are those of the rules that cover it."""

    shaping: list[int]
    limits: list[str]
    retry: list[int]
    schedule: str
    on_errors: list[int]


def explain_rules(config: Config, envelope: Envelope, lane: str, route: Route | None) -> Shaped:
    """The rules of `config` for the first recipient of `envelope`, which waits in `lane`, planned as `route`."""
    merged = Shaping(config.shaping, recipients=config.delivery.recipients_per_transaction).merge(lane, route)
    retries = retries_of(config.queue, config.retry)
    site = route.site if route is not None else ""
    work = Work(Stored(envelope, Place("", 0, 0, 0)), 0, lane)
    may: tuple[int, ...] = ()
    numbers: tuple[int, ...] = ()
    if isinstance(retries, RetryPolicy):
        numbers = retries.covering(work, _NOTHING_SAID, site)
        may = retries.covering(work, None, site)
        schedule = retries.merged(numbers)
    else:
        schedule = retries
    pauses = ", ".join(duration_text(pause / 1_000_000) for pause in schedule.pauses)
    return Shaped(
        shaping=list(merged.rules),
        limits=_limits(config.shaping, merged),
        retry=list(numbers),
        schedule=f"tries after {pauses}; warns after {_age(schedule.warn_after)}, "
        f"fails after {_age(schedule.expire_after)}",
        on_errors=[number for number in may if number not in numbers],
    )


def rule_lines(found: Shaped) -> list[str]:
    """`found` as `explain` prints it."""
    out = [f"shaping   {line}" for line in found.limits]
    chosen = f" (retry rules {', '.join(map(str, found.retry))})" if found.retry else ""
    out.append(f"retry     {found.schedule}{chosen}")
    if found.on_errors:
        out.append(f"          after some errors, too: retry rules {', '.join(map(str, found.on_errors))}")
    return out


def _limits(rules: tuple[ShapingSettings, ...], merged: Merged) -> list[str]:
    out = []
    for options, shared in (
        (merged.options, "shared by what the rule covers"),
        (merged.source_options, "of the source"),
    ):
        for name in _SHOWN:
            given = options.get(name)
            if given is None:
                continue
            value = getattr(given.rule, name)
            if isinstance(value, float):
                value = duration_text(value)
            words = ", ".join(value) if isinstance(value, tuple) else value
            is_limit = name in ("concurrency", "rates", "recipient_rates")
            mine = {"lane": "for this next hop alone", "site": "shared by its site"}.get(given.rule.per, shared)
            out.append(f"{name} {words}: rule {given.number}{f', {mine}' if is_limit else ''}")
    for number in merged.rules:
        out += [f'"{reply.match}" means {reply.as_}: rule {number}' for reply in rules[number].replies]
    return out


def _age(microseconds: int) -> str:
    return "never" if microseconds >= NEVER else duration_text(microseconds / 1_000_000)
