"""What policies have found out, for those after them: one value a type, such as an SPF result.

Facts of a connection stay until it ends; those of a transaction are seen together with its connection's and forgotten
with it. Nothing here decides anything.
"""

from typing import TypeVar, cast

Fact = TypeVar("Fact")


class Facts:
    """The facts of a connection, or of a transaction on `ground` of its connection's."""

    __slots__ = ("_ground", "_known")

    def __init__(self, ground: "Facts | None" = None) -> None:
        """Nothing is known yet but what `ground` knows."""
        self._ground = ground
        self._known: dict[type, object] | None = None

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
