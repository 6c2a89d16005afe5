"""Lanes that nothing is leased from for now: some by name, and all that fit a pattern, however many those are.

Patterns are looked up once for each lane: the numbers of lanes that fit are kept beside the index, in a table of the
connection's own. So a look at what is due costs the same whether an operator has stopped ten lanes or a million.
"""

from collections.abc import Collection, Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Final

import apsw
import msgspec

from postroad.spool.filters import lane_fits

_TABLE: Final = "CREATE TEMP TABLE IF NOT EXISTS shut (lane INTEGER PRIMARY KEY)"
_NEW: Final = "SELECT id, name FROM lane WHERE id > ? ORDER BY id LIMIT ?"
_PORTION: Final = 10_000  # names of lanes looked at at once


class Closed(Collection[str]):
    """Lanes that are closed: `names`, and those that one of `patterns` means."""

    def __init__(self, names: Iterable[str] = (), patterns: tuple[str, ...] = ()) -> None:
        """Patterns are those of next hops, in which "*" stands for any text."""
        self.names: AbstractSet[str] = frozenset(names)
        self.patterns = patterns
        self.is_everything = any(set(pattern) == {"*"} for pattern in patterns)

    def __contains__(self, lane: object) -> bool:
        """True when `lane` is closed."""
        return lane in self.names or any(lane_fits(pattern, str(lane)) for pattern in self.patterns)

    def __iter__(self) -> Iterator[str]:
        """The names that are known."""
        return iter(self.names)

    def __len__(self) -> int:
        """How many names are known."""
        return len(self.names)


def closed_of(lanes: Collection[str]) -> Closed:
    """`lanes` as what is closed."""
    return lanes if isinstance(lanes, Closed) else Closed(lanes)


class ShutLanes:
    """The numbers of the lanes that patterns mean, on one connection to the index."""

    def __init__(self, db: apsw.Connection) -> None:
        """Begin with none."""
        self._db = db
        self._patterns: tuple[str, ...] = ()
        self._upto = 0
        db.execute(_TABLE)

    def set(self, patterns: tuple[str, ...]) -> None:
        """Let the table `shut` have all lanes that one of `patterns` means; those looked at before are not again."""
        if patterns != self._patterns:
            self.forget()
            self._patterns = patterns
        while patterns:
            found = msgspec.convert(self._db.execute(_NEW, (self._upto, _PORTION)).fetchall(), list[tuple[int, str]])
            if not found:
                return
            means = [number for number, name in found if any(lane_fits(pattern, name) for pattern in patterns)]
            self._db.executemany("INSERT INTO shut VALUES (?)", [(number,) for number in means])
            self._upto = found[-1][0]

    def forget(self) -> None:
        """Lanes may have other numbers from now on."""
        self._db.execute("DELETE FROM shut")
        self._upto = 0
