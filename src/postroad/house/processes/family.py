"""The supervisor's children: who there is, how each was begun, and what became of it.

An edge is wanted while it takes mail by the configuration in force; one that is not is leaving, and may still have
sessions. Nothing here waits.
"""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from msgspec import Struct

from postroad.house.processes.board import COURIER, Board, edge_name
from postroad.house.processes.vigil import Vigil, patience
from postroad.net.process.fork import Ended, fork, next_ended
from postroad.net.process.usage import seconds_in_line

NEVER: Final = float("inf")


class Child(Struct, eq=False):
    """One process: `worked` is when it first said that it works, `until` when it is killed if it is still there."""

    place: int
    pid: int
    began: float
    worked: float = NEVER
    is_leaving: bool = False
    killed: str = ""
    until: float = NEVER

    @property
    def name(self) -> str:
        """In records."""
        return "courier" if self.place == COURIER else edge_name(self.place)

    @property
    def works(self) -> bool:
        """True once it has said so."""
        return self.worked < NEVER

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self, reason: str) -> None:
        """End it at once."""
        if not self.killed:
            self.killed = reason
            self.signal(signal.SIGKILL)


class Family:
    """All of them, by place."""

    def __init__(self, board: Board) -> None:
        """Nobody yet."""
        self._board = board
        self._vigil = Vigil()
        self._children: dict[int, Child] = {}

    def __iter__(self) -> Iterator[Child]:
        """Every child, as they are now."""
        return iter(tuple(self._children.values()))

    def at(self, place: int) -> Child | None:
        """The one at `place`."""
        return self._children.get(place)

    def edges(self) -> list[Child]:
        """The edges."""
        return [child for child in self if child.place != COURIER]

    def works(self, place: int) -> bool:
        """True when there is somebody at `place` who works."""
        child = self._children.get(place)
        return child is not None and child.works and not child.killed

    def accepts(self, child: Child) -> bool:
        """True while `child`, an edge, may take another connection."""
        return self.at(child.place) is child and not self._board.has_closed(child.place)

    def begin(self, place: int, now: float, work: Callable[[], int]) -> Child:
        """Begin a process at `place`, which is free."""
        board = self._board
        board.begin(place)
        child = self._children[place] = Child(place, fork(work), now)
        self._vigil.begin(place, board.beats(place), now)
        return child

    def greet(self, now: float) -> Iterator[Child]:
        """Those who say for the first time that they work."""
        for child in self:
            if not child.works and self._board.is_ready(child.place):
                child.worked = now
                yield child

    def feel(self, now: float, hang_after: float) -> None:
        """Kill who hangs, and whose time is up."""
        self._vigil.look(now)
        for child in self:
            in_line = partial(seconds_in_line, child.pid)
            silence = self._vigil.silence(child.place, self._board.beats(child.place), now, in_line)
            if silence > patience(hang_after, is_courier=child.place == COURIER, is_ready=child.works):
                child.kill(f"killed: it had been silent for {silence * 1000:.0f} ms")
            elif now > child.until:
                child.kill("killed: its time to end was up")

    def reap(self) -> Iterator[tuple[Child, Ended]]:
        """Those that have ended."""
        while (ended := next_ended()) is not None:
            for child in self:
                if child.pid == ended.pid:
                    del self._children[child.place]
                    self._vigil.end(child.place)
                    self._board.end(child.place)
                    yield child, ended

    def leave(self, number: signal.Signals, children: Sequence[Child], until: float = NEVER) -> None:
        """Let `children` end."""
        for child in children:
            child.is_leaving = True
            child.until = min(child.until, until)
            child.signal(number)
