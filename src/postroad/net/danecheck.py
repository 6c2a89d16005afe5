"""The comparison of a connection's certificates with the TLSA records that its target demands, for delivery.

`net.danematch` does it and needs a large library. That is loaded once DNS has proved that it validates, in a thread, so
that nobody pays for it who has no use for DANE and no message waits for it (RFC 7672 3.1).
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from postroad.model.late import Late
from postroad.model.security import Security
from postroad.net.clock import Clock
from postroad.net.danewords import Matched, MatchRecords, Mismatch

MATCH: Final = Late[MatchRecords]("postroad.net.danematch", "match_records")


class TlsaCheck:
    """Says why a chain of certificates does not match the records of a demand."""

    __slots__ = ("_clock", "_match")

    def __init__(self, clock: Clock) -> None:
        """Dates of certificates are compared with `clock`."""
        self._clock = clock
        self._match: MatchRecords | None = None

    async def prepare(self) -> None:
        """Load what is needed, in a thread."""
        if self._match is None:
            self._match = await asyncio.to_thread(MATCH.load)

    def __call__(self, demand: Security, chain: Sequence[bytes]) -> str:
        """Why `chain` (in DER, the server's own first) does not match the records of `demand`; "": it does."""
        found = self.compare(demand, chain)
        return found.words if isinstance(found, Mismatch) else ""

    def compare(self, demand: Security, chain: Sequence[bytes]) -> Matched | Mismatch:
        """The same as a value."""
        match = self._match
        if match is None:  # a demand that was made by another process or before
            match = self._match = MATCH.load()
        return match(demand.tlsa, chain, demand.names, self._clock.now() / 1_000_000)
