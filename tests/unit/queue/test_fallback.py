"""When recipients leave for their fallback."""

import pytest

from postroad.model.route import Fallback
from postroad.model.work import Status
from postroad.queue.fallback import falls_back, moves_at
from postroad.queue.times import NEVER
from tests.unit.queue.builders import NOW, SECOND, message

LATER = Fallback("smtp://backup:25", 600.0, ("4.4.1", "4.7."))


@pytest.mark.parametrize(
    ("enhanced", "moves"), [("4.4.1", True), ("4.4.17", False), ("4.7.25", True), ("4.2.0", False), ("", False)]
)
def test_errors_that_say_so(enhanced: str, *, moves: bool) -> None:
    (work,) = message()
    assert falls_back(LATER, work, enhanced, NOW) is moves


def test_age_alone_is_enough() -> None:
    (work,) = message()
    assert not falls_back(LATER, work, "", NOW + 599 * SECOND)
    assert falls_back(LATER, work, "", NOW + 600 * SECOND)
    assert moves_at(Fallback("x", float("inf")), work.stored.envelope) == NEVER


def test_nothing_moves_to_where_it_is_or_while_it_is_held() -> None:
    (work,) = message(lane=LATER.lane)
    assert not falls_back(LATER, work, "4.4.1", NOW)
    (held,) = message()
    held.status = Status.HELD
    assert not falls_back(LATER, held, "4.4.1", NOW + 900 * SECOND)
