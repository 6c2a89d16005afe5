"""When a process counts as hanging, and how long to wait before another is begun. Pure.

A process shows a number that grows while its event loop runs. One that stood still for longer than its patience hangs,
unless we were not looking ourselves: a machine that stood still, or a supervisor that did, proves nothing against the
others. Nor does the time count that it stood in line for a processor: who is starved does not hang.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

LATE: Final = 0.4  # seconds between two looks, after which everybody gets fresh grace
NOTED: Final = 0.3  # seconds of silence after which it is noted for how long a process has stood in line
STARTING: Final = 60.0  # seconds that a process may be silent before it works: it reads tables, and replays
COURIER: Final = 10.0  # times the patience with edges: nobody waits for it, and to begin it anew is dear
QUICK: Final = 2.0  # seconds that a life must last not to count as a quick failure
FREE: Final = 2  # quick failures in a row before there is a pause
LONGEST: Final = 10.0  # seconds of pause


class Pulse(Struct):
    """What was seen of one process: its number, since when it has been that, and the time in line that is noted."""

    beats: int
    since: float
    in_line: float | None = None


class Vigil:
    """The pulses of all processes."""

    def __init__(self) -> None:
        """Nobody is watched yet."""
        self._pulses: dict[int, Pulse] = {}
        self._looked = float("-inf")

    def begin(self, place: int, beats: int, now: float) -> None:
        """Watch the process at `place` from now on."""
        self._pulses[place] = Pulse(beats, now)

    def end(self, place: int) -> None:
        """It is gone."""
        self._pulses.pop(place, None)

    def look(self, now: float) -> None:
        """To be called before the pulses are felt, every time."""
        if now - self._looked > LATE:
            for pulse in self._pulses.values():
                pulse.since, pulse.in_line = now, None
        self._looked = now

    def silence(self, place: int, beats: int, now: float, in_line: Callable[[], float]) -> float:
        """For how long the process at `place` has been silent, which shows `beats`.

        `in_line` tells the seconds that it has stood in line for a processor in its life; asked only when need be.
        """
        pulse = self._pulses[place]
        if pulse.beats != beats:
            pulse.beats, pulse.since, pulse.in_line = beats, now, None
        silence = now - pulse.since
        if silence < NOTED:
            return silence
        waited = in_line()
        if pulse.in_line is None:
            pulse.in_line = waited
        return silence - (waited - pulse.in_line)


def patience(hang_after: float, *, is_courier: bool, is_ready: bool) -> float:
    """How long a process may be silent."""
    if not is_ready:
        return STARTING
    return hang_after * COURIER if is_courier else hang_after


def quick_failures(before: int, life: float) -> int:
    """How many quick failures in a row there are, after a process has lived for `life` seconds from its first work."""
    return before + 1 if life < QUICK else 0


def pause_after(quick: int) -> float:
    """Seconds to wait before the next process is begun."""
    return 0.0 if quick <= FREE else min(0.5 * 2.0 ** (quick - FREE - 1), LONGEST)
