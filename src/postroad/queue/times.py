"""Times of the queue: whole microseconds since 1970, and a time that never comes.

Kept below everything else of the queue, so that limits and schedules count alike. Pure.
"""

from typing import Final

NEVER: Final = 1 << 62  # later than any time; fits a signed 64-bit column


def microseconds(seconds: float) -> int:
    """Whole microseconds of `seconds`; `NEVER` for infinity."""
    return NEVER if seconds * 1_000_000 >= NEVER else round(seconds * 1_000_000)
