"""The end of a turn: one callback of the loop for all, in order, and one that raises stops nobody."""

from collections.abc import Callable
from functools import partial

import pytest

from postroad.net.turn import Turn


class Loop:
    """Keeps what is to be called soon."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.soon.append(callback)

    def run(self) -> None:
        waiting, self.soon = self.soon, []
        for callback in waiting:
            callback()


def test_all_of_a_turn_run_in_order_by_one_callback() -> None:
    loop = Loop()
    turn = Turn(loop.call_soon)
    ran: list[int] = []
    for number in range(3):
        turn.add(partial(ran.append, number))
    assert len(loop.soon) == 1
    assert not ran
    loop.run()
    assert ran == [0, 1, 2]


def test_what_is_added_while_it_runs_runs_in_the_next_turn() -> None:
    loop = Loop()
    turn = Turn(loop.call_soon)
    ran: list[str] = []
    turn.add(lambda: turn.add(lambda: ran.append("later")))
    loop.run()
    assert not ran
    loop.run()
    assert ran == ["later"]


def test_one_that_raises_does_not_stop_the_others() -> None:
    loop = Loop()
    turn = Turn(loop.call_soon)
    ran: list[str] = []

    def bad() -> None:
        raise RuntimeError("bad")

    turn.add(bad)
    turn.add(lambda: ran.append("good"))
    with pytest.raises(RuntimeError):
        loop.run()
    loop.run()
    assert ran == ["good"]
