"""What is told of tables that recipients are looked up in, and of next hops that are asked about them.

Part of `records`, which is what everybody imports.
"""

from postroad.model.record import Record


class RecipientAsked(Record, frozen=True, tag="RecipientAsked"):
    """The next hop `target` was asked whether it takes mail for `recipient`, and `answer` is what it means.

    `reply` is what was said, or why nothing was. `answer` is "known", "unknown" or "unclear".
    """

    recipient: str
    target: str
    answer: str
    reply: str
    seconds: float


class CatchAllFound(Record, frozen=True, tag="CatchAllFound"):
    """The next hop `target` takes mail for every name in `domain`, an invented one too: asking it tells nothing."""

    domain: str
    target: str


class TableLoaded(Record, frozen=True, tag="TableLoaded"):
    """A file of aliases or recipients is in force, at start and after it changed; `doubts` are odd lines."""

    table: str
    entries: int
    doubts: int = 0


class TableRefused(Record, frozen=True, tag="TableRefused"):
    """A changed file of aliases or recipients cannot be used, the old stays: the first of `problems`, at `line`."""

    table: str
    line: int
    reason: str
    problems: int
