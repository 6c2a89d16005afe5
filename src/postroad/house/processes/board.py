"""What the processes of one server show each other: numbers in shared memory, each with one writer.

Place 0 is the courier's, the others are the edges'. A number is eight octets at an address that eight divides, so it
is read whole or as it was before. The memory lives as long as the supervisor, so what a process that died had shown is
still there for the next one. Nothing here waits, and nothing here is more than a hint but for `reach`, which an edge
shows before anybody gets a 250.
"""

import mmap
import os
from collections.abc import Mapping
from contextlib import suppress
from enum import IntEnum
from hashlib import blake2b
from typing import Final

from postroad.house.counting.table import table_of
from postroad.house.guard.board import GuardBoard
from postroad.policy.rates.table import WAYS
from postroad.spool.layout import END, Reach

COURIER: Final = 0
_GLOBALS: Final = 8  # numbers in front of the places
_FIELDS: Final = 8  # numbers of each place
_ENTRIES: Final = 1 << 15  # addresses of clients that one edge can count at a time
_WINDOW: Final = 64  # entries that are looked at for one address
_OFFSET_BITS: Final = 36  # of a reach; the rest is the segment
_SERIES: Final = 1 << 19  # octets of the metrics that one process shows


class _At(IntEnum):
    """Numbers of one place."""

    BEATS = 0  # grows while the event loop runs
    IS_READY = 1
    REACH = 2  # up to where the journal is durable
    SESSIONS = 3
    WANTED_END = 4  # the segment that the courier asks to end
    SHOWN = 5  # grows before and after the metrics change: odd while they do
    LENGTH = 6  # of the metrics, in octets
    HAS_CLOSED = 7  # it accepts no connections any more


_IS_FULL: Final = 0  # the courier takes no new mail
_ASKED: Final = 1  # grows when the courier wants to see metrics
_LACKING: Final = 2  # edges that are wanted and do not work
_UNATTENDED: Final = 3  # sockets of those that have been missing for long, one bit each


class Board:
    """The shared memory; made before any other process is begun."""

    def __init__(self, places: int, key: bytes, accounts: int = WAYS) -> None:
        """For so many processes; `key` is random, so that nobody can choose addresses that meet in one entry.

        So many `accounts` of `[[rates]]` have room.
        """
        self._key = key
        self.accounts = table_of(accounts, is_shared=True)
        self.places = places
        self._tables = _GLOBALS + places * _FIELDS
        numbers = self._tables + places * _ENTRIES * 2
        self._texts = numbers * 8
        self._memory = mmap.mmap(-1, self._texts + places * _SERIES)
        self._numbers = memoryview(self._memory).cast("Q")
        self.guard = GuardBoard(places, key)
        self.bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)  # rung by edges, heard by the courier

    def _get(self, place: int, field: _At) -> int:
        return self._numbers[_GLOBALS + place * _FIELDS + field]

    def _set(self, place: int, field: _At, value: int) -> None:
        self._numbers[_GLOBALS + place * _FIELDS + field] = value

    # -- lives -----------------------------------------------------------------------------------

    def begin(self, place: int) -> None:
        """The supervisor begins a process at `place`: what the one before it had open is closed."""
        for field in (_At.IS_READY, _At.SESSIONS, _At.WANTED_END, _At.HAS_CLOSED):
            self._set(place, field, 0)
        start = self._tables + place * _ENTRIES * 2
        self._memory[start * 8 : (start + _ENTRIES * 2) * 8] = bytes(_ENTRIES * 16)

    def end(self, place: int) -> None:
        """The process at `place` is gone."""
        self._set(place, _At.IS_READY, 0)
        self._set(place, _At.SESSIONS, 0)

    def beat(self, place: int) -> None:
        """The event loop at `place` runs."""
        self._set(place, _At.BEATS, self._get(place, _At.BEATS) + 1)

    def beats(self, place: int) -> int:
        """How often it has done so."""
        return self._get(place, _At.BEATS)

    def ready(self, place: int) -> None:
        """The process at `place` works."""
        self._set(place, _At.IS_READY, 1)

    def is_ready(self, place: int) -> bool:
        """True once it has said so."""
        return bool(self._get(place, _At.IS_READY))

    def closed(self, place: int) -> None:
        """The edge at `place` accepts no connections any more; its sessions may go on."""
        self._set(place, _At.HAS_CLOSED, 1)

    def has_closed(self, place: int) -> bool:
        """True once it has said so."""
        return bool(self._get(place, _At.HAS_CLOSED))

    @property
    def lacking(self) -> int:
        """How many edges are wanted and do not work, as the supervisor says."""
        return self._numbers[_LACKING]

    @lacking.setter
    def lacking(self, count: int) -> None:
        self._numbers[_LACKING] = count

    @property
    def unattended(self) -> int:
        """Sockets at which nobody has accepted for long: one bit for each, by its number."""
        return self._numbers[_UNATTENDED]

    @unattended.setter
    def unattended(self, sockets: int) -> None:
        self._numbers[_UNATTENDED] = sockets

    # -- journals --------------------------------------------------------------------------------

    def reached(self, place: int, segment: int, offset: int) -> None:
        """The journal of `place` is durable so far; the courier hears of it."""
        self._set(place, _At.REACH, segment << _OFFSET_BITS | offset)
        os.eventfd_write(self.bell, 1)

    def hush(self) -> None:
        """The courier has heard the bell."""
        with suppress(BlockingIOError):
            os.eventfd_read(self.bell)

    def reaches(self) -> Mapping[str, Reach]:
        """Up to where each journal of an edge is durable; see `spool.follow.Others`."""
        shown = ((place, self._get(place, _At.REACH)) for place in range(1, self.places))
        return {edge_name(place): (reach >> _OFFSET_BITS, reach & END) for place, reach in shown if reach}

    def ask_to_end(self, journal: str, segment: int) -> None:
        """See `spool.follow.Others`."""
        self._set(place_of(journal), _At.WANTED_END, segment)

    def wanted_end(self, place: int) -> int:
        """The segment that this edge is asked to end; 0: none."""
        return self._get(place, _At.WANTED_END)

    @property
    def is_full(self) -> bool:
        """True while the courier takes no new mail."""
        return bool(self._numbers[_IS_FULL])

    @is_full.setter
    def is_full(self, full: bool) -> None:
        self._numbers[_IS_FULL] = int(full)

    # -- sessions --------------------------------------------------------------------------------

    def come(self, place: int, ip: str, network: str = "") -> tuple[int, int, int]:
        """A session from `ip` began at `place`: how many there are in all, from there, and from `network`, with it.

        Without a `network` none is counted.
        """
        self._set(place, _At.SESSIONS, self._get(place, _At.SESSIONS) + 1)
        total = sum(self._get(other, _At.SESSIONS) for other in range(1, self.places))
        return total, self._one_more(place, ip), self._one_more(place, network) if network else 0

    def go(self, place: int, ip: str, network: str = "") -> None:
        """A session from `ip` ended at `place`."""
        self._set(place, _At.SESSIONS, self._get(place, _At.SESSIONS) - 1)
        self._count(place, self._mark(ip), -1)
        if network:
            self._count(place, self._mark(network), -1)

    def _one_more(self, place: int, name: str) -> int:
        mark = self._mark(name)
        own = self._count(place, mark, 1)
        others = (other for other in range(1, self.places) if other != place and self._get(other, _At.SESSIONS))
        return own + sum(self._look(other, mark) for other in others)

    def sessions(self) -> int:
        """How many there are in all."""
        return sum(self._get(place, _At.SESSIONS) for place in range(1, self.places))

    def crowd(self, place: int, name: str, change: int) -> int:
        """So many more, or fewer, called `name` are at `place`: how many there are in all."""
        mark = self._mark(name)
        own = self._count(place, mark, change)
        return own + sum(self._look(other, mark) for other in range(1, self.places) if other != place)

    def _mark(self, ip: str) -> int:
        return int.from_bytes(blake2b(ip.encode(), digest_size=8, key=self._key).digest(), "big") or 1

    def _entries(self, place: int, mark: int) -> range:
        """Where the entry of `mark` may be: numbers in pairs, mark and count, without a turn at the end."""
        first = mark % (_ENTRIES - _WINDOW)
        start = self._tables + (place * _ENTRIES + first) * 2
        return range(start, start + _WINDOW * 2, 2)

    def _look(self, place: int, mark: int) -> int:
        numbers = self._numbers
        for at in self._entries(place, mark):
            found = numbers[at]
            if found == mark:
                return numbers[at + 1]
            if not found:
                break
        return 0

    def _count(self, place: int, mark: int, change: int) -> int:
        """Only the process at `place` changes its entries. One whose count is 0 is free; others may lie behind it."""
        numbers, free = self._numbers, -1
        for at in self._entries(place, mark):
            found = numbers[at]
            if found == mark:
                numbers[at + 1] = count = max(numbers[at + 1] + change, 0)
                return count
            if free < 0 and not numbers[at + 1]:
                free = at
            if not found:
                break
        if free < 0 or change < 0:
            return max(change, 0)  # more addresses at once than there is room for: then each edge counts for itself
        numbers[free + 1] = 0
        numbers[free] = mark
        numbers[free + 1] = change
        return change

    # -- metrics ---------------------------------------------------------------------------------

    @property
    def asked(self) -> int:
        """Grows whenever the courier wants to see the metrics of all."""
        return self._numbers[_ASKED]

    def ask(self) -> None:
        """The courier wants to see them."""
        self._numbers[_ASKED] += 1

    def show(self, place: int, text: bytes) -> None:
        """The metrics of the process at `place`; what is longer than there is room for is left out."""
        if len(text) > _SERIES:
            return
        begun = self._get(place, _At.SHOWN) | 1
        self._set(place, _At.SHOWN, begun)
        start = self._texts + place * _SERIES
        self._memory[start : start + len(text)] = text
        self._set(place, _At.LENGTH, len(text))
        self._set(place, _At.SHOWN, begun + 1)

    def shown(self, place: int) -> tuple[int, bytes] | None:
        """How often metrics were shown at `place`, and the newest; None while they are being changed."""
        before = self._get(place, _At.SHOWN)
        start = self._texts + place * _SERIES
        text = self._memory[start : start + self._get(place, _At.LENGTH)]
        return (before, text) if before == self._get(place, _At.SHOWN) and not before & 1 else None


def edge_name(place: int) -> str:
    """The name of the edge at `place`, and of its journal."""
    return f"edge-{place}"


def place_of(name: str) -> int:
    """The place of an edge by its name."""
    return int(name.rpartition("-")[2])
