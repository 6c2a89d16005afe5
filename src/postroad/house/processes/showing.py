"""The metrics of one process of several: shown to the courier in shared memory, and going on where the last life ended.

A sum over processes must never sink, or Prometheus takes it for a new beginning and counts everything again. So a
process begins with what the one before it at its place had shown, of counters and histograms. What one counted since it
last showed anything is lost with it.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from postroad.house.processes.board import Board
from postroad.observe.metrics.meter import families
from postroad.observe.metrics.series import Series, merge

EVERY: Final = 10  # ticks
_decode: Final = msgspec.json.Decoder(list[Series]).decode


def growing(series: Iterable[Series]) -> list[Series]:
    """Those of `series` that stay when their process is gone."""
    kinds = {family.name: family.kind for family in families()}
    return [one for one in series if kinds.get(one.name) in {"counter", "histogram"}]


def shown_at(board: Board, place: int) -> list[Series]:
    """What the process at `place` shows, or showed before it died."""
    for _ in range(5):  # it may be changing right now
        found = board.shown(place)
        if found is not None:
            return _decode(found[1]) if found[1] else []
    return []


class Showing:
    """What this process shows."""

    def __init__(self, board: Board, place: int) -> None:
        """Begin where the last life ended."""
        self._board = board
        self._place = place
        self._asked = board.asked
        self._ticks = 0
        self._before = growing(shown_at(board, place))

    def is_due(self) -> bool:
        """Ten times a second: True when it is time to show."""
        self._ticks += 1
        asked = self._board.asked
        if asked == self._asked and self._ticks % EVERY:
            return False
        self._asked = asked
        return True

    def whole(self, own: list[Series]) -> list[Series]:
        """`own` with what earlier lives had."""
        return merge(families(), (self._before, own))

    def show(self, own: list[Series]) -> None:
        """Show it."""
        self._board.show(self._place, msgspec.json.encode(self.whole(own)))


def of_others(board: Board, place: int) -> list[list[Series]]:
    """What all others show: of those that are gone only what stays."""
    parts = []
    for other in range(board.places):
        if other != place:
            series = shown_at(board, other)
            parts.append(series if board.is_ready(other) else growing(series))
    return parts
