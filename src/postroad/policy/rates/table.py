"""Accounts in one stretch of memory, which several processes may share: check and take in one step (pure).

A slot holds one account: what was counted in each step of its period, and its name in full. Every word is written at
once and in such an order that a process which dies between two of them leaves a sound slot behind. The slots of a name
lie together in a set; when all of a set are taken the account that matters least makes room: one that is
empty, else the one that is the least full.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from postroad.model.counts import STEPS, Cap, Judged, Kept, Over, Take

WAYS: Final = 16  # slots of a set
CELLS: Final = STEPS + 1
NAME_OCTETS: Final = 208
_MARK, _HEAD, _PERIOD, _COUNT, _LENGTH, _TOLD, _RING = range(7)
_NAME: Final = _RING + CELLS
SLOT: Final = _NAME + NAME_OCTETS // 8  # words of eight octets
SET_OCTETS: Final = WAYS * SLOT * 8
_OVER: Final = -2  # instead of the place of a slot
_HINTS: Final = 8192
_HOUR: Final = 3_600_000_000
_UTC_DAY: Final = 86_400_000_000
_EPOCH: Final = 719_163  # the number of the first day of 1970


class Guard(Protocol):
    """Keeps other processes out of some sets."""

    def lock(self, sets: Sequence[int]) -> None:
        """Nobody else changes these; as long as a process cannot be waited for, they are changed all the same."""

    def unlock(self) -> None:
        """Others may."""


class Table:
    """The accounts in `memory`, whose octets are a multiple of SET_OCTETS and all zero at first."""

    def __init__(self, memory: memoryview, guard: Guard | None = None) -> None:
        """`guard` is needed when others share the memory."""
        self._octets = memory
        self._words = memory.cast("Q")
        self.sets = len(memory) // SET_OCTETS
        self._guard = guard
        self._hints: dict[int, int] = {}

    # -- one question ----------------------------------------------------------------------------

    def take(self, takes: Sequence[Take], now: int) -> Judged:
        """See `Counts`."""
        marks = [_mark(take.account) for take in takes]
        guard = self._guard
        if guard is None:
            return self._take(takes, marks, now)
        guard.lock([(mark >> 1) % self.sets for mark in marks])
        try:
            return self._take(takes, marks, now)
        finally:
            guard.unlock()

    def _take(self, takes: Sequence[Take], marks: Sequence[int], now: int) -> Judged:
        words = self._words
        found: list[int] = []
        over: list[Over] = []
        refused = False
        for take, mark in zip(takes, marks, strict=True):
            at = self._find(mark)
            used = 0
            if at >= 0:
                self._advance(at, take.cap, now)
                used = sum(words[at + _RING : at + _NAME])
            if used + take.amount > take.cap.count:
                over.append(self._over(take, at, used, now))
                refused = refused or not take.is_soft
                at = _OVER
            found.append(at)
        if refused:
            return tuple(over)
        for number, take in enumerate(takes):
            at = found[number]
            if at == _OVER or take.is_look:
                continue
            if at < 0:
                at = found[number] = self._begin(take, marks[number], found, now)
            words[at + _COUNT] = take.cap.count
            words[_cell(at, words[at + _HEAD], take.cap.period)] += take.amount
        return tuple(over)

    def _over(self, take: Take, at: int, used: int, now: int) -> Over:
        words, cap = self._words, take.cap
        opens = 0
        missing = used + take.amount - cap.count
        if at >= 0 and take.amount <= cap.count:
            head = words[at + _HEAD]
            for bucket in range(head - STEPS, head + 1) if cap.period else (head,):
                missing -= words[_cell(at, bucket, cap.period)]
                if missing <= 0:
                    opens = cap.ends(bucket)
                    break
        is_news = at < 0 or now >= words[at + _TOLD]
        if at >= 0 and is_news:
            words[at + _TOLD] = opens or now + _HOUR
        return Over(take, used, opens, is_news)

    def give_back(self, takes: Sequence[Take], at: int, now: int) -> None:
        """See `Counts`."""
        words = self._words
        for take in takes:
            mark = _mark(take.account)
            if self._guard is not None:
                self._guard.lock(((mark >> 1) % self.sets,))
            try:
                slot = self._find(mark)
                if slot < 0:
                    continue
                self._advance(slot, take.cap, now)
                head, bucket = words[slot + _HEAD], take.cap.bucket(at)
                if head - STEPS * bool(take.cap.period) <= bucket <= head:
                    cell = _cell(slot, bucket, take.cap.period)
                    words[cell] = max(words[cell] - take.amount, 0)
            finally:
                if self._guard is not None:
                    self._guard.unlock()

    def count(self, takes: Sequence[Take], now: int) -> None:
        """See `Counts`."""
        self.take(takes, now)

    # -- slots -----------------------------------------------------------------------------------

    def _find(self, mark: int) -> int:
        """Where the slot of `mark` is; -1 when there is none."""
        words = self._words
        hint = self._hints.get(mark, -1)
        if hint >= 0 and words[hint] == mark:
            return hint
        begin = (mark >> 1) % self.sets * WAYS * SLOT
        for at in range(begin, begin + WAYS * SLOT, SLOT):
            if words[at] == mark:
                self._hint(mark, at)
                return at
        return -1

    def _hint(self, mark: int, at: int) -> None:
        if len(self._hints) >= _HINTS:
            self._hints.clear()
        self._hints[mark] = at

    def _begin(self, take: Take, mark: int, keep: Sequence[int], now: int) -> int:
        """A slot for an account that has none; those at `keep` stay."""
        begin = (mark >> 1) % self.sets * WAYS * SLOT
        places = [at for at in range(begin, begin + WAYS * SLOT, SLOT) if at not in keep]
        at = min(places, key=lambda place: self._worth(place, now))
        self._fill(at, mark, take.account, take.cap.period, take.cap.count, take.cap.bucket(now))
        self._hint(mark, at)
        return at

    def _fill(self, at: int, mark: int, account: str, period: int, count: int, head: int) -> None:
        words, name = self._words, account.encode()[:NAME_OCTETS]
        words[at + _MARK] = 0  # nobody's until it is whole
        for place in range(at + _RING, at + _NAME):
            words[place] = 0
        words[at + _HEAD], words[at + _PERIOD], words[at + _COUNT], words[at + _TOLD] = head, period, count, 0
        words[at + _LENGTH] = len(name)
        first = (at + _NAME) * 8
        self._octets[first : first + len(name)] = name
        words[at + _MARK] = mark

    def _worth(self, at: int, now: int) -> float:
        """How much is lost with the account at `at`: less than 0 for nothing."""
        words = self._words
        if not words[at + _MARK]:
            return -2.0
        if self._is_past(at, now):
            return -1.0
        return sum(words[at + _RING : at + _NAME]) / max(words[at + _COUNT], 1)

    def _is_past(self, at: int, now: int) -> bool:
        """True when nothing of it can count any more."""
        head, period = self._words[at + _HEAD], self._words[at + _PERIOD]
        if period:
            return now // -(-period // STEPS) - head > STEPS
        return now // _UTC_DAY + _EPOCH - head > 1  # by any time zone

    def _advance(self, at: int, cap: Cap, now: int) -> None:
        """Forget what counts no more; a clock that was set back may free it later, never earlier."""
        words, bucket = self._words, cap.bucket(now)
        head = words[at + _HEAD]
        if bucket == head:
            return
        if bucket < head:
            if head - bucket > CELLS:  # by so much that it would count for too long
                used = sum(words[at + _RING : at + _NAME])
                for place in range(at + _RING, at + _NAME):
                    words[place] = 0
                words[_cell(at, bucket, cap.period)] = used
                words[at + _HEAD] = bucket
            return
        if not cap.period:
            words[at + _RING] = 0
        else:
            for passed in range(max(head + 1, bucket - STEPS), bucket + 1):
                words[at + _RING + passed % CELLS] = 0
        words[at + _HEAD] = bucket

    # -- all accounts ----------------------------------------------------------------------------

    def kept(self, number: int, now: int) -> Iterator[Kept]:
        """The accounts of a set in which something counts."""
        words, begin = self._words, number * WAYS * SLOT
        for at in range(begin, begin + WAYS * SLOT, SLOT):
            if not words[at] or self._is_past(at, now):
                continue
            first = (at + _NAME) * 8
            name = bytes(self._octets[first : first + words[at + _LENGTH]]).decode("utf-8", "replace")
            head, period = words[at + _HEAD], words[at + _PERIOD]
            cells = tuple(words[at + _RING : at + _NAME])
            if period:  # what has left the window since it was last used
                bucket = now // -(-period // STEPS)
                past = range(head - STEPS, bucket - STEPS)
                gone = {step % CELLS for step in past}
                cells = tuple(0 if place in gone else cell for place, cell in enumerate(cells))
            if any(cells):
                yield Kept(name, period, words[at + _COUNT], head, cells)

    def restore(self, one: Kept, now: int) -> None:
        """Count again what was kept; an account that is there already is left alone."""
        mark = _mark(one.account)
        if self._find(mark) >= 0 or len(one.cells) != CELLS:
            return
        begin = (mark >> 1) % self.sets * WAYS * SLOT
        at = min(range(begin, begin + WAYS * SLOT, SLOT), key=lambda place: self._worth(place, now))
        if self._worth(at, now) >= one.used / max(one.count, 1):
            return
        self._fill(at, mark, one.account, one.period, one.count, one.head)
        for place, cell in enumerate(one.cells):
            self._words[at + _RING + place] = cell

    def forget(self, number: int, wanted: Callable[[str], bool]) -> int:
        """Free the accounts of a set that are wanted by name; how many those were."""
        words, begin, found = self._words, number * WAYS * SLOT, 0
        if self._guard is not None:
            self._guard.lock((number,))
        try:
            for at in range(begin, begin + WAYS * SLOT, SLOT):
                first = (at + _NAME) * 8
                name = bytes(self._octets[first : first + words[at + _LENGTH]]).decode("utf-8", "replace")
                if words[at] and wanted(name):
                    words[at] = 0
                    found += 1
        finally:
            if self._guard is not None:
                self._guard.unlock()
        return found


def _cell(at: int, bucket: int, period: int) -> int:
    return at + _RING + (bucket % CELLS if period else 0)


def _mark(account: str) -> int:
    """A number for the account, never 0.

    It is the hash of the interpreter, keyed at random, so nobody can choose names that meet; processes that share
    memory are copies of one, and have its key.
    """
    return hash(account) & 0x7FFF_FFFF_FFFF_FFFF | 1
