"""The comparison of a connection's certificates with the TLSA records that its target demands, for delivery.

`net.danematch` does it and needs a large library. `load_matcher` loads that in a thread once DNS has proved that it
validates, so that nobody pays for it who has no use for DANE, and no message waits for it (RFC 7672 3.1).
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from postroad.model.late import Late
from postroad.model.security import Security
from postroad.net.clock import Clock
from postroad.net.tls.danewords import MatchRecords, Mismatch

MATCH: Final = Late[MatchRecords]("postroad.net.tls.danematch", "match_records")


async def load_matcher() -> None:
    """Load what comparing needs."""
    await asyncio.to_thread(MATCH.load)


class TlsaCheck:
    """Says why a chain of certificates does not match the records of a demand."""

    __slots__ = ("_clock",)

    def __init__(self, clock: Clock) -> None:
        """Dates of certificates are compared with `clock`."""
        self._clock = clock

    def __call__(self, demand: Security, chain: Sequence[bytes]) -> Mismatch | None:
        """Why `chain` (in DER, the server's own first) does not match the records of `demand`; None: it does."""
        found = MATCH.load()(demand.tlsa, chain, demand.names, self._clock.now() / 1_000_000)
        return found if isinstance(found, Mismatch) else None
