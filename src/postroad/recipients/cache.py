"""What was answered lately, yes and no apart, each with its own life and bound (pure).

They are kept apart so that a stranger who tries names can push out no yes. A yes whose time has run out stays until it
is pushed out: it is better than nothing when nobody answers.
"""

from collections import OrderedDict


class Remembered:
    """Answers by key; what was not asked for longest goes first."""

    def __init__(self, limit: int, *, known_for: float, unknown_for: float) -> None:
        """At most `limit` of either kind, in force for so many seconds."""
        self._limit = limit
        self._lives = {True: known_for, False: unknown_for}
        self._until: dict[bool, OrderedDict[str, float]] = {True: OrderedDict(), False: OrderedDict()}

    def __len__(self) -> int:
        """How many answers are kept."""
        return sum(map(len, self._until.values()))

    def get(self, key: str, now: float) -> bool | None:
        """The answer for `key` that is in force."""
        for answer, kept in self._until.items():
            until = kept.get(key)
            if until is not None and now < until:
                kept.move_to_end(key)
                return answer
        return None

    def was_known(self, key: str) -> bool:
        """True when the last answer for `key` was a yes, be it ever so old."""
        return key in self._until[True]

    def put(self, key: str, now: float, *, is_known: bool) -> None:
        """Keep an answer in place of the one before."""
        self._until[not is_known].pop(key, None)
        kept = self._until[is_known]
        kept[key] = now + self._lives[is_known]
        kept.move_to_end(key)
        if len(kept) > self._limit:
            kept.popitem(last=False)
