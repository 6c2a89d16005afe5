"""The base of all records (`model/records.py` and the families beside it).

Frozen, without a cycle for the garbage collector to look for; the name of the type is the JSON key `record`.
Default values are left out there.
"""

from collections.abc import Callable

from msgspec import Struct


class Record(Struct, frozen=True, gc=False, omit_defaults=True, tag_field="record", kw_only=True):
    """Base of all records: `at` is when it happened, in microseconds since 1970."""

    at: int


Emit = Callable[[Record], None]
