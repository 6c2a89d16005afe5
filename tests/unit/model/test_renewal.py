"""When a certificate by ACME is renewed, and how long it is waited after a failure."""

import pytest

from postroad.model.renewal import (
    DAY,
    FIRST_PAUSE,
    HOUR,
    LONGEST_PAUSE,
    LONGEST_WISH,
    Life,
    RenewalState,
    due_at,
    failed,
    planned,
    renewal_at,
)

NOW = 1_700_000_000_000_000
NAMES = ("a.example.com",)


def life_of(days: float, spread: float = 0.0) -> Life:
    return Life(NAMES, NOW, NOW + round(days * DAY), spread)


@pytest.mark.parametrize(
    ("days", "renew_before", "left"),
    [
        (90, 30 * 86400.0, 30.0),  # the last third
        (90, 10 * 86400.0, 10.0),
        (90, 80 * 86400.0, 30.0),  # never before the last third
        (6, 30 * 86400.0, 2.0),
        (1, 30 * 86400.0, 1 / 3),
        (5 * 365, 30 * 86400.0, 30.0),
    ],
)
def test_the_last_third_at_the_earliest(days: float, renew_before: float, left: float) -> None:
    at = renewal_at(life_of(days), renew_before)
    assert NOW + round(days * DAY) - at == round(left * DAY)
    earliest = renewal_at(life_of(days, 1.0), renew_before)
    assert at - earliest == round(left * DAY * 0.1)


def test_what_is_due() -> None:
    life = life_of(90)
    assert due_at(None, NAMES, 86400.0, RenewalState()) == 0
    assert due_at(life, ("a.example.com", "b.example.com"), 86400.0, RenewalState()) == 0
    assert due_at(life, (), 86400.0, RenewalState()) == NOW + 89 * DAY
    assert due_at(life, NAMES, 86400.0, RenewalState(suggested=NOW + DAY)) == NOW + DAY
    assert due_at(life, NAMES, 86400.0, RenewalState(suggested=NOW + 100 * DAY)) == NOW + 89 * DAY, "never later"
    assert due_at(None, NAMES, 86400.0, RenewalState(next=NOW + HOUR)) == NOW + HOUR
    assert due_at(life, NAMES, 86400.0, RenewalState(suggested=NOW, next=NOW + HOUR)) == NOW + HOUR


def test_pauses_grow_to_their_bound() -> None:
    state, pauses = RenewalState("plan"), []
    for _ in range(200):
        state = failed(state, NOW, "no")
        pauses.append(state.next - NOW)
    assert pauses[:4] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE, 8 * FIRST_PAUSE]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE
    assert (state.failures, state.reason, state.plan) == (200, "no", "plan")
    assert failed(RenewalState(), NOW, "no", spread=1.0).next - NOW == FIRST_PAUSE * 5 // 4


def test_the_wish_of_a_ca() -> None:
    assert failed(RenewalState(), NOW, "no", wish=18000.0).next - NOW == 5 * HOUR
    assert failed(RenewalState(), NOW, "no", wish=1.0).next - NOW == FIRST_PAUSE, "it never shortens a pause"
    assert failed(RenewalState(), NOW, "no", wish=1e9).next - NOW == LONGEST_WISH


def test_another_plan_begins_anew() -> None:
    state = failed(RenewalState("one"), NOW, "no")
    assert planned(state, "one") is state
    assert planned(state, "two") == RenewalState("two")
