"""Which records a sink gets: names of their types, or patterns of names (pure).

`Recipient*` stands for every type whose name begins so; nothing given stands for all. What was left out of
a sink (RecordsDropped) is told in it whatever it selects.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final

from postroad.model import records
from postroad.model.records import Record

RECORD_TYPES: Final = MappingProxyType(
    {
        name: kind
        for name, kind in vars(records).items()
        if isinstance(kind, type) and issubclass(kind, Record) and kind is not Record
    }
)


def check_pattern(pattern: str) -> str:
    """`pattern` when it matches a type of record; ValueError names the nearest one."""
    if not any(fnmatchcase(name, pattern) for name in RECORD_TYPES):
        near = get_close_matches(pattern, RECORD_TYPES, 1, 0.5)
        raise ValueError(f"no type of record{f'; did you mean {near[0]}?' if near else ''}")
    return pattern


def select(patterns: Iterable[str]) -> frozenset[type[Record]]:
    """The types of record that match one of `patterns`; all without patterns."""
    wanted = tuple(patterns) or ("*",)
    return frozenset(
        kind for name, kind in RECORD_TYPES.items() if any(fnmatchcase(name, pattern) for pattern in wanted)
    )
