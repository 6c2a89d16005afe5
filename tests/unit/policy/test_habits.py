"""Habits: small senders are left alone, what is usual is learned and fades, what is not is seen; accounts."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from postroad.policy.shield.accounts import MOST, Account, Accounts
from postroad.policy.shield.habits import DAY, Excess, Habit, HabitRules, Habits

NOW = 20_000 * DAY
RULES = HabitRules(window=3600, minimums=(100, 50, 20), failure_ratio=0.25, factor=4, half_life=14 * DAY)


def some(count: int, start: int = 0) -> list[str]:
    return [f"user{number}@example.com" for number in range(start, start + count)]


def send(habits: Habits, login: str, count: int, now: int, start: int = 0) -> list[Excess]:
    found = [habits.taken(login, [recipient], now) for recipient in some(count, start)]
    return [excess for excess in found if excess is not None]


def test_small_senders_are_left_alone() -> None:
    habits = Habits(RULES)
    for day in range(30):
        assert send(habits, "ann", 45, NOW + day * DAY, start=day * 45) == []


def test_many_recipients_are_too_much() -> None:
    habits = Habits(RULES)
    for day in range(3):
        assert send(habits, "ann", 20, NOW + day * DAY) == []
    for number in range(5):
        assert habits.taken("ann", some(20), NOW + 3 * DAY + number) is None
    excess = habits.taken("ann", some(20), NOW + 3 * DAY + 5)
    assert excess is not None
    assert (excess.measure, excess.allowed) == ("recipients", 100)
    assert str(excess) == "120 recipients; usual are 20, allowed 100"
    assert habits.taken("bob", some(20), NOW + 3 * DAY) is None


def test_a_list_that_always_sends_much_is_usual() -> None:
    habits = Habits(RULES)
    for day in range(10):
        for hour in range(24):
            assert habits.taken("news", some(90), NOW + day * DAY + hour * 3600) is None or not day
    for _ in range(2):
        assert habits.taken("news", some(90), NOW + 10 * DAY) is None  # more than 100, less than 4 times the usual


def test_strangers_are_too_many() -> None:
    habits = Habits(RULES)
    excess = send(habits, "ann", 60, NOW)
    assert {one.measure for one in excess} == {"new recipients"}
    assert send(habits, "ann", 60, NOW + 2 * DAY) == []  # known now


def test_failures_count_as_a_part() -> None:
    habits = Habits(RULES)
    assert habits.settled("news", 1000, 100, NOW) is None
    assert habits.settled("ann", 10, 20, NOW) is None
    excess = habits.settled("ann", 0, 1, NOW)
    assert excess is not None
    assert excess.measure == "failures"


def test_what_is_too_much_never_becomes_usual_by_itself() -> None:
    habits = Habits(RULES)
    for day in range(5):
        assert (habits.taken("ann", some(1000), NOW + day * DAY) is None) is False or day > 1
    assert habits.known["ann"].usual[0] <= 100 * 4**4


def test_who_is_forgiven_may_do_the_same_again() -> None:
    habits = Habits(RULES)
    assert habits.taken("ann", some(300), NOW) is not None
    habits.forgive("ann", NOW)
    assert habits.taken("ann", some(300), NOW + 1) is None


def test_what_is_known_can_be_kept() -> None:
    habits = Habits(RULES)
    send(habits, "ann", 60, NOW)
    kept = msgspec.json.decode(msgspec.json.encode(habits.known), type=dict[str, Habit])
    assert kept == habits.known
    assert send(Habits(RULES, kept), "ann", 60, NOW + DAY) == []


days = st.lists(st.lists(st.integers(1, 100), max_size=20), max_size=20)


@given(days, st.integers(2, 10))
def test_who_stays_below_the_minimum_never_trips(days: list[list[int]], factor: int) -> None:
    """Whatever the pattern: with at most the minimum within a window nothing happens."""
    habits = Habits(HabitRules(window=3600, minimums=(100, 100, 100), failure_ratio=0, factor=factor, half_life=DAY))
    for day, amounts in enumerate(days):
        left = 100
        for amount in amounts:
            amount = min(amount, left)
            left -= amount
            assert habits.taken("ann", some(amount), NOW + day * DAY * 2) is None
            assert habits.settled("ann", 0, amount, NOW + day * DAY * 2) is None


@given(days, st.integers(101, 10_000))
def test_a_flood_always_trips(days: list[list[int]], more: int) -> None:
    """Whatever was usual: more than `factor` times the most of any day, and than the minimum, is too much."""
    habits = Habits(RULES)
    most = 0.0
    for day, amounts in enumerate(days):
        for amount in amounts:
            habits.taken("ann", some(amount), NOW + day * DAY)
        if "ann" in habits.known:
            most = max(most, habits.known["ann"].amounts[0])
    now = NOW + (len(days) + 2) * DAY
    assert habits.taken("ann", ["a@example.com"] * (int(most) * 4 + more), now) is not None


def test_accounts() -> None:
    accounts = Accounts((Account("ann", "held", NOW, "much"),))
    assert not accounts.is_locked("ann")
    assert accounts.put(Account("ann", "locked", NOW, "because", "root"))
    assert accounts.is_locked("ann")
    assert not accounts.is_locked("bob")
    for number in range(MOST - 1):
        assert accounts.put(Account(str(number), "held", NOW, ""))
    assert not accounts.put(Account("one more", "held", NOW, ""))
    assert accounts.put(Account("ann", "held", NOW, "again"))
    assert accounts.free("ann") == Account("ann", "held", NOW, "again")
    assert accounts.free("ann") is None
    assert accounts.of("ann") is None
    assert len(accounts.all()) == MOST - 1
