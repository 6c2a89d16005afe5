"""Who leaves the rotation, when it is probed, and how it comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.delivery.health import FIRST_SHARE, LIMIT, PATIENCE, PAUSES, SLOW_START, Health


def test_the_healthy_have_no_entry() -> None:
    health: Health[str] = Health()
    assert health.succeed("a", 1.0) == 0
    assert health.share("a", 1.0) == 1.0
    assert not health.entries


def test_what_cannot_be_reached_leaves_at_once() -> None:
    health: Health[str] = Health()
    assert health.fail("a", 100.0, fatal=True) == PAUSES[0]
    assert health.share("a", 100.0) == 0.0
    assert health.until("a") == 105.0


def test_what_breaks_off_leaves_after_a_few_in_a_row() -> None:
    health: Health[str] = Health()
    for _ in range(PATIENCE - 1):
        assert health.fail("a", 1.0, fatal=False) == 0
    health.succeed("a", 1.0)
    for _ in range(PATIENCE - 1):
        assert health.fail("a", 1.0, fatal=False) == 0
        assert health.share("a", 1.0) == 1.0
    assert health.fail("a", 1.0, fatal=False) == PAUSES[0]


def test_pauses_grow_with_each_probe_alone() -> None:
    health: Health[str] = Health()
    now = 0.5
    health.fail("a", now, fatal=True)
    for _ in range(20):  # twenty deliveries under way when it died
        assert health.fail("a", now + 1, fatal=True) == 0
    assert health.until("a") == now + PAUSES[0]
    for pause in (*PAUSES[1:], PAUSES[-1]):
        now = health.until("a")
        assert health.begin_probe("a", now)
        health.fail("a", now, fatal=True)
        health.end_probe("a")
        assert health.until("a") == now + pause


def test_one_probe_at_a_time() -> None:
    health: Health[str] = Health()
    assert not health.begin_probe("a", 0.0)
    health.fail("a", 100.0, fatal=True)
    assert not health.begin_probe("a", 104.9)
    assert health.begin_probe("a", 105.0)
    assert not health.begin_probe("a", 106.0)
    health.end_probe("a")
    assert health.begin_probe("a", 107.0)


def test_slow_start() -> None:
    health: Health[str] = Health()
    health.fail("a", 100.0, fatal=True)
    assert health.answer("a", 130.0) == 30.0
    assert health.answer("a", 130.0) == 0
    assert health.share("a", 130.0) == FIRST_SHARE
    assert health.share("a", 130.0 + SLOW_START / 2) == pytest.approx(FIRST_SHARE + 0.5)
    assert health.share("a", 130.0 + SLOW_START) == 1.0
    assert not health.entries


def test_failing_again_while_coming_back_goes_on_with_the_longer_pause() -> None:
    health: Health[str] = Health()
    health.fail("a", 100.0, fatal=True)
    health.succeed("a", 110.0)
    health.succeed("a", 111.0)  # the mail it gets now
    assert health.fail("a", 112.0, fatal=True) == PAUSES[1]
    health.answer("a", 130.0)
    health.share("a", 130.0 + SLOW_START)
    assert health.fail("a", 200.0, fatal=True) == PAUSES[0]


def test_turns_follow_the_share() -> None:
    health: Health[str] = Health()
    health.fail("a", 100.0, fatal=True)
    assert not health.has_turn("a", 100.0)
    health.answer("a", 100.0)
    assert sum(health.has_turn("a", 100.0) for _ in range(1000)) == pytest.approx(1000 * FIRST_SHARE, abs=1)
    assert sum(health.has_turn("a", 108.0) for _ in range(1000)) == pytest.approx(525, abs=1)
    assert health.has_turn("b", 100.0)


def test_bounded() -> None:
    health: Health[int] = Health()
    for number in range(LIMIT + 5):
        health.fail(number, 100.0, fatal=True)
    assert len(health.entries) == LIMIT
    assert health.share(0, 100.0) == 1.0
    assert health.share(LIMIT + 4, 100.0) == 0.0


@given(st.lists(st.tuples(st.sampled_from(["soft", "fatal", "ok", "answer", "probe", "end"]), st.floats(0, 400))))
def test_whatever_happens_a_host_that_works_is_whole_again(events: list[tuple[str, float]]) -> None:
    health: Health[str] = Health()
    now = 1.0
    for what, seconds in events:
        now += seconds
        match what:
            case "soft" | "fatal":
                health.fail("a", now, fatal=what == "fatal")
            case "ok":
                health.succeed("a", now)
            case "answer":
                health.answer("a", now)
            case "probe":
                health.begin_probe("a", now)
            case _:
                health.end_probe("a")
        assert 0.0 <= health.share("a", now) <= 1.0
        assert health.until("a") <= now + PAUSES[-1]
    health.succeed("a", now)
    health.share("a", now + SLOW_START)
    assert health.share("a", now + SLOW_START) == 1.0
    assert not health.entries
