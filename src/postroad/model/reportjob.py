"""A daily report that is due to somebody, as a value: about TLS (RFC 8460) or DMARC (RFC 7489 7.2).

Days are numbers of days since 1970 in UTC.
"""

from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

DAY: Final = 86_400_000_000  # microseconds
_SECONDS: Final = 86_400


def day_text(day: int) -> str:
    """The day, as in "2026-03-02"."""
    return datetime.fromtimestamp(day * _SECONDS, UTC).strftime("%Y-%m-%d")


class ReportJob(Struct, frozen=True):
    """A report that is due `at`: of `day` about `domain` to `uri`, or, while that is "", to whom the domain says."""

    day: int
    domain: str
    uri: str
    at: int
    tries: int = 0
