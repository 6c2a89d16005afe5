"""What is used up of long rates, taken out of the accounts to be kept, and put into them again after a restart.

Only rates by the hour and by the day are worth it. Of each window few groups are kept: what leaves it may leave it
late, never early. With very many accounts the fullest are kept. Pure.
"""

from collections.abc import Iterable, Iterator
from heapq import nlargest
from typing import Final

from postroad.model.usage import Span, Usage
from postroad.queue.limits import PERIODS, Group, Limit, Window
from postroad.queue.settings import ShapingSettings
from postroad.queue.shaping import Shaping

ACCOUNTS: Final = 10_000
SPANS: Final = 12  # of a window
_LONG: Final = PERIODS["hour"]

_Criteria = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...], str]


def used(shaping: Shaping, now: int) -> Iterator[Usage]:
    """What is used up now, account by account; other work may come in between."""
    rules, limits, _ = shaping.accounts()
    places = _places(rules)
    found = [(key, limit) for key, limit in limits.items() if any(_is_kept(window, now) for window in limit.windows)]
    if len(found) > ACCOUNTS:
        found = nlargest(ACCOUNTS, found, key=lambda item: _fullness(item[1]))
    for (number, name, key), limit in found:
        windows = {window.rate.period: _spans(window) for window in limit.windows if _is_kept(window, now)}
        criteria, nth = places[number]
        yield Usage(*criteria, nth, name, key, windows)


def restore(shaping: Shaping, usages: Iterable[Usage], now: int) -> None:
    """Count what was used up before; accounts of rules and periods that there are no longer are left out."""
    rules, _, _ = shaping.accounts()
    numbers = {place: number for number, place in enumerate(_places(rules))}
    for one in usages:
        number = numbers.get(((one.domains, one.mx, one.sites, one.sources, one.per), one.nth))
        limit = None if number is None else shaping.account(number, one.name, one.key)
        for window in limit.windows if limit is not None else ():
            spans = one.windows.get(window.rate.period, [])
            window.groups.extend(Group(*span) for span in spans)
            window.total += sum(count for _, _, count in spans)
            window.free(now)


def _places(rules: list[ShapingSettings]) -> list[tuple[_Criteria, int]]:
    """Of each rule: what it covers, and how many before it cover the same."""
    seen: dict[_Criteria, int] = {}
    places: list[tuple[_Criteria, int]] = []
    for rule in rules:
        criteria: _Criteria = (rule.domains, rule.mx, rule.sites, rule.sources, rule.per)
        places.append((criteria, seen.get(criteria, 0)))
        seen[criteria] = seen.get(criteria, 0) + 1
    return places


def _is_kept(window: Window, now: int) -> bool:
    return window.rate.period >= _LONG and window.free(now) < window.rate.count


def _fullness(limit: Limit) -> float:
    return max(window.total / window.rate.count for window in limit.windows)


def _spans(window: Window) -> list[Span]:
    groups = list(window.groups)
    size = -(-len(groups) // SPANS)
    parts = (groups[start : start + size] for start in range(0, len(groups), size))
    return [(part[0].first, part[-1].last, sum(group.count for group in part)) for part in parts]
