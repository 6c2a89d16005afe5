"""What a sink writes to: a file, a socket, the spool of a webhook.

Called by one thread alone, the sink's own, so that it may block. Invariant: an outlet never raises for
what a disk or a peer does; it says what is wrong in `fault` and how far it came.
"""

from collections.abc import Sequence
from typing import Protocol

from postroad.model.records import Record


class Outlet(Protocol):
    """One destination of records."""

    @property
    def fault(self) -> str:
        """Why it does not work at present; "" while it does."""

    @property
    def lost(self) -> int:
        """How many records were lost after they had been taken."""

    def write(self, records: Sequence[Record]) -> int:
        """Take `records` from the first on; how many were taken. Fewer than all: try the rest again later."""

    def idle(self) -> None:
        """Called first of all, and whenever a second went by without records."""

    def close(self) -> None:
        """No more records come; returns within a few seconds."""
