"""The base of all records, and what takes them.

The types themselves are in `records`, which is what everybody imports.
"""

from collections.abc import Callable

from msgspec import Struct


class Record(Struct, frozen=True, gc=False, omit_defaults=True, tag_field="record", kw_only=True):
    """Base of all records: `at` is when it happened, in microseconds since 1970."""

    at: int


Emit = Callable[[Record], None]
