"""When a process counts as hanging, with time driven by hand, and how long to wait before the next is begun."""

import pytest

from postroad.house.processes.vigil import LATE, LONGEST, QUICK, STARTING, Vigil, patience, pause_after, quick_failures
from tests.support.clock import ManualClock

STEP = 0.05
HANG_AFTER = 0.9


class Watched:
    """A process that beats or does not, and who watches it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.vigil = Vigil()
        self.beats = 7  # what the one before it had shown
        self.in_line = 100.0
        self.vigil.begin(1, self.beats, self.clock.monotonic())

    def silent(self) -> float:
        now = self.clock.monotonic()
        self.vigil.look(now)
        return self.vigil.silence(1, self.beats, now, lambda: self.in_line)

    def pass_time(self, seconds: float, *, beating: bool) -> float:
        """The longest silence seen meanwhile."""
        worst = 0.0
        for _ in range(round(seconds / STEP)):
            self.clock.advance(STEP)
            self.beats += beating
            worst = max(worst, self.silent())
        return worst


def test_who_beats_is_never_silent() -> None:
    assert Watched().pass_time(60, beating=True) < STEP * 2


def test_silence_is_measured_from_the_last_beat() -> None:
    watched = Watched()
    watched.pass_time(5, beating=True)
    assert watched.pass_time(0.85, beating=False) == pytest.approx(0.85)
    assert watched.pass_time(0.1, beating=False) == pytest.approx(0.95)
    assert watched.pass_time(STEP, beating=True) == 0


def test_a_supervisor_that_was_late_gives_fresh_grace() -> None:
    watched = Watched()
    watched.pass_time(1, beating=True)
    watched.pass_time(0.8, beating=False)
    watched.clock.advance(30)  # the machine stood still, for all of us
    assert watched.silent() == 0
    assert watched.pass_time(0.85, beating=False) == pytest.approx(0.85)


def test_time_in_line_for_a_processor_is_no_silence() -> None:
    watched = Watched()
    watched.pass_time(1, beating=True)
    watched.pass_time(0.5, beating=False)
    for _ in range(100):
        watched.clock.advance(STEP)
        watched.in_line += STEP * 0.96
        silence = watched.silent()
    assert silence == pytest.approx(0.7)
    watched.pass_time(STEP, beating=True)
    assert watched.pass_time(0.95, beating=False) > HANG_AFTER


def test_a_little_late_is_not_late() -> None:
    watched = Watched()
    for _ in range(4):
        watched.clock.advance(LATE * 0.9)
        silence = watched.silent()
    assert silence > HANG_AFTER


def test_another_process_begins_with_fresh_grace() -> None:
    watched = Watched()
    watched.pass_time(2, beating=False)
    watched.vigil.end(1)
    watched.vigil.begin(1, watched.beats, watched.clock.monotonic())
    assert watched.silent() == 0


def test_patience_is_long_before_the_first_work_and_longer_with_the_courier() -> None:
    assert patience(HANG_AFTER, is_courier=False, is_ready=True) == HANG_AFTER
    assert patience(HANG_AFTER, is_courier=True, is_ready=True) > HANG_AFTER * 5
    assert patience(HANG_AFTER, is_courier=False, is_ready=False) == STARTING
    assert patience(HANG_AFTER, is_courier=True, is_ready=False) == STARTING


def test_pauses_grow_with_quick_failures_in_a_row_and_end() -> None:
    quick, pauses = 0, []
    for _ in range(12):
        quick = quick_failures(quick, QUICK / 2)
        pauses.append(pause_after(quick))
    assert pauses[:5] == [0, 0, 0.5, 1, 2]
    assert pauses[-1] == LONGEST
    assert quick_failures(quick, QUICK) == 0
    assert pause_after(0) == 0
