"""What is used up of long rates outlives a restart: never less than it was, and no more than rules still ask for."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from postroad.model.usage import Usage
from postroad.queue.limits import Limit
from postroad.queue.settings import ShapingSettings
from postroad.queue.shaping import Shaping
from postroad.queue.usage import ACCOUNTS, SPANS, restore, used
from tests.unit.queue.builders import NOW, SECOND

MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND


def shaping(*rules: Mapping[str, object]) -> Shaping:
    return Shaping([ShapingSettings.model_validate(rule) for rule in rules], recipients=100)


def limit(rules: Shaping, lane: str = "mx:a.example") -> Limit:
    """The one limit of a lane."""
    (found,) = rules.first_shape(lane).limits
    return found


def after(rules: Shaping, *others: Mapping[str, object], now: int = NOW) -> Shaping:
    """The same after a restart, maybe with other rules."""
    kept: list[Usage] = list(used(rules, now))
    again = shaping(*others)
    restore(again, kept, now)
    return again


def test_an_hour_and_a_day_are_kept_and_shorter_ones_are_not() -> None:
    rule = {"rates": ["9/second", "9/minute", "9/hour", "9/day"]}
    rules = shaping(rule)
    limit(rules).count(NOW, 5)
    (kept,) = used(rules, NOW)
    assert set(kept.windows) == {HOUR, DAY}
    again = limit(after(rules, rule))
    assert again.free(NOW) == 4
    assert again.free(NOW + HOUR - 1) == 4
    assert [window.free(NOW + HOUR) for window in again.windows] == [9, 9, 9, 4]
    assert again.opens(NOW + HOUR) == 0


def test_what_was_never_used_or_is_over_is_not_kept() -> None:
    rules = shaping({"per": "lane", "rates": ["9/hour"]})
    limit(rules, "mx:a.example").count(NOW, 5)
    limit(rules, "mx:b.example")
    assert [one.key for one in used(rules, NOW)] == ["mx:a.example"]
    assert list(used(rules, NOW + HOUR)) == []


def test_each_lane_and_each_option_has_its_own() -> None:
    rule = {"per": "lane", "rates": ["9/hour"], "recipient_rates": ["90/day"]}
    rules = shaping(rule)
    for lane, count in (("mx:a.example", 1), ("mx:b.example", 2)):
        for one in rules.first_shape(lane).limits:
            one.count(NOW, count * (10 if one.per_recipient else 1))
    again = after(rules, rule)
    for lane, free in (("mx:a.example", {8, 80}), ("mx:b.example", {7, 70})):
        assert {one.free(NOW) for one in again.first_shape(lane).limits} == free


def test_a_rule_is_known_by_what_it_covers_wherever_it_stands() -> None:
    mine = {"domains": ["a.example"], "rates": ["9/day"]}
    rules = shaping(mine)
    limit(rules).count(NOW, 5)
    other = {"domains": ["b.example"], "rates": ["9/day"]}
    assert limit(after(rules, other, mine)).free(NOW) == 4
    assert limit(after(rules, {**mine, "rates": ["20/day"]})).free(NOW) == 15
    assert limit(after(rules, {**mine, "rates": ["9/hour"]})).free(NOW) == 9
    assert after(rules, other).accounts()[1] == {}
    assert after(rules, {**mine, "rates": []}).accounts()[1] == {}


def test_of_two_rules_that_cover_the_same_each_has_its_own() -> None:
    both: tuple[Mapping[str, object], ...] = ({"rates": ["9/day"]}, {"recipient_rates": ["9/day"]})
    rules = shaping(*both)
    first, second = rules.first_shape("mx:a.example").limits
    first.count(NOW, 1)
    second.count(NOW, 2)
    assert [one.free(NOW) for one in after(rules, *both).first_shape("mx:a.example").limits] == [8, 7]


def test_limits_of_a_source_stay_limits_of_a_source() -> None:
    rule = {"sources": ["one"], "rates": ["9/day"]}
    rules = shaping(rule)
    made = rules.account(0, "rates", "")
    assert made is not None
    made.count(NOW, 9)
    (again,) = after(rules, rule).accounts()[1].values()
    assert (again.of_source, again.free(NOW), again.words) == (True, 0, "shaping[0].rates: 9/day")


def test_with_very_many_accounts_the_fullest_are_kept() -> None:
    rules = shaping({"per": "lane", "rates": ["9/day"]})
    for number in range(ACCOUNTS + 5):
        limit(rules, f"mx:d{number}.example").count(NOW, 1 if number < 5 else 2)
    kept = list(used(rules, NOW))
    assert len(kept) == ACCOUNTS
    assert {span[2] for one in kept for span in one.windows[DAY]} == {2}


@given(st.lists(st.tuples(st.integers(0, 7200), st.integers(1, 50)), max_size=200), st.integers(0, 90))
def test_it_is_never_freed_early_and_few_spans_are_kept(counted: list[tuple[int, int]], later: int) -> None:
    rule = {"rates": ["1000000/hour", "1000000/day"]}
    rules = shaping(rule)
    one = limit(rules)
    now = NOW
    for seconds, count in counted:
        now += seconds * SECOND
        one.count(now, count)
    (again,) = after(rules, rule, now=now).first_shape("mx:a.example").limits
    for window, kept in zip(one.windows, again.windows, strict=True):
        assert len(kept.groups) <= SPANS
        assert kept.free(now) == window.free(now)
        assert kept.free(now + later * MINUTE) <= window.free(now + later * MINUTE)
        assert kept.free(now + DAY) == window.rate.count
