"""What policies have found out, for those after them: one value a type, such as an SPF result.

Facts of a connection stay until it ends; those of a transaction are seen together with its connection's and forgotten
with it. Nothing here decides anything.
"""

from collections.abc import Callable
from typing import TypeVar, cast

Fact = TypeVar("Fact")
Ending = Callable[[bool], None]


class Facts:
    """The facts of a connection, or of a transaction on `ground` of its connection's."""

    __slots__ = ("_endings", "_ground", "_known")

    def __init__(self, ground: "Facts | None" = None) -> None:
        """Nothing is known yet but what `ground` knows."""
        self._ground = ground
        self._known: dict[type, object] | None = None
        self._endings: list[Ending] | None = None

    def put(self, fact: object) -> None:
        """Keep `fact`; an earlier one of its type is replaced."""
        if self._known is None:
            self._known = {}
        self._known[type(fact)] = fact

    def get(self, kind: type[Fact]) -> Fact | None:
        """The fact of type `kind`, or None."""
        if self._known is not None and kind in self._known:
            return cast("Fact", self._known[kind])
        return None if self._ground is None else self._ground.get(kind)

    def at_end(self, ending: Ending) -> None:
        """Call `ending` once when the connection, or the transaction, is over.

        With True when the transaction's message was taken, or the connection was its client's to the end; with False
        when nothing came of the transaction, or the connection turned out to be that of another, by XCLIENT.
        """
        if self._endings is None:
            self._endings = []
        self._endings.append(ending)

    def end(self, *, is_taken: bool = False) -> None:
        """It is over; said again, nothing happens."""
        if self._endings is not None:
            endings, self._endings = self._endings, None
            for ending in endings:
                ending(is_taken)
