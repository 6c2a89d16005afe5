"""Rules about `[[rates]]` and `[counting]`: names that are there once, listeners that exist, counts that make sense.

Connections are limited before anybody can log in, and errors by who made them: so few have accounts of their own.
"""

from collections.abc import Iterator
from typing import Final

from postroad.config.describe import value_text
from postroad.config.problem import Problem, Warned
from postroad.config.schema import Config
from postroad.listener.drops import LISTENER as DROPS
from postroad.policy.rates.settings import RateSettings

_OF_CONNECTIONS: Final = frozenset({"ip", "prefix", "listener"})
_OF_ERRORS: Final = frozenset({"ip", "prefix", "login", "listener"})


def check_rates(config: Config) -> Iterator[Problem]:
    """Every rate, and where they are counted."""
    seen: set[str] = set()
    keys = () if config.api is None else config.api.keys.values()
    listeners = dict.fromkeys((*config.listeners, *(key.listener for key in keys), DROPS))
    for number, rate in enumerate(config.rates):
        path = ("rates", number)
        if rate.name in seen:
            yield Problem((*path, "name"), f"{value_text(rate.name)}: another rate has this name")
        seen.add(rate.name)
        for at, name in enumerate(rate.listeners):
            if name not in listeners:
                known = ", ".join(listeners)
                yield Problem((*path, "listeners", at), f"{value_text(name)}: no such listener; there are: {known}")
        for key, text in _mistakes(rate):
            yield Problem((*path, *key), text)
    if "@" in (config.counting.redis or ""):
        yield Problem(
            ("counting", "redis"), "user and password have options of their own, so that they are never shown"
        )
    if config.counting.redis is not None and not config.rates:
        yield Warned(("counting", "redis"), "has no effect: there are no [[rates]] to count")


def _mistakes(rate: RateSettings) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for at, text in enumerate(rate.limits):
        if "/" not in text and rate.count != "connections":
            yield ("limits", at), f'{value_text(text)}: of {rate.count} write how many in which time, like "{text}/1h"'
    if len(set(rate.per)) < len(rate.per):
        yield ("per",), "names one of them twice"
    if rate.count not in {"connections", "errors"}:
        return
    allowed = _OF_CONNECTIONS if rate.count == "connections" else _OF_ERRORS
    for at, part in enumerate(rate.per):
        if part not in allowed:
            yield ("per", at), f"{value_text(part)}: {rate.count} have none; there are: {', '.join(sorted(allowed))}"
    if rate.then == "hold":
        yield ("then",), f'"hold": {rate.count} cannot be held'
    if rate.groups:
        yield ("groups",), f"{rate.count} have none"
    if rate.count == "connections" and (rate.logins or rate.except_logins):
        yield ("logins" if rate.logins else "except_logins",), "connections have none when they begin"
    if rate.only_rules:
        yield ("only_rules",), f"rules are about mail: {rate.count} cannot be left to them"
