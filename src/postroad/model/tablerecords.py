"""Records about files that are looked into while we run: aliases and users. Everybody imports them from `records`.

What a line holds is never repeated where it could be a secret.
"""

from postroad.model.record import Record


class TableLoaded(Record, frozen=True, tag="TableLoaded"):
    """A file of aliases, users or rules is in force with `entries`, read anew or first; `doubts` are odd lines."""

    table: str
    entries: int
    doubts: int = 0


class TableRefused(Record, frozen=True, tag="TableRefused"):
    """A file of aliases, users or rules is broken, the old one stays: the first of `problems`, at `line`."""

    table: str
    line: int
    reason: str
    problems: int


class UserLineIgnored(Record, frozen=True, tag="UserLineIgnored"):
    """A line of the users file cannot be used, the others are: `line` counts from 1."""

    table: str
    line: int
    reason: str
