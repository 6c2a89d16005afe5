"""What comes of comparing a server's certificates with TLSA records, as values.

`net.danematch` compares; it is imported late, since it needs a large library that relays without DANE do without. The
words of `result` are those of TLS reports (RFC 8460 4.3).
"""

from collections.abc import Sequence
from typing import Final, Protocol

from msgspec import Struct

from postroad.model.dns import TlsaRecord

EXPIRED: Final = "certificate-expired"
OTHER_NAME: Final = "certificate-host-mismatch"
NOT_TRUSTED: Final = "certificate-not-trusted"
INVALID: Final = "validation-failure"


class Matched(Struct, frozen=True, gc=False):
    """`record` vouches for the certificate at `depth` of the chain; 0 is the server's own."""

    record: TlsaRecord
    depth: int


class Mismatch(Struct, frozen=True, gc=False):
    """No record vouches for the server: why, in words for people, and as a TLS report has it."""

    words: str
    result: str = INVALID


class MatchRecords(Protocol):
    """`net.danematch.match`."""

    def __call__(
        self, records: Sequence[TlsaRecord], chain: Sequence[bytes], names: Sequence[str], now: float
    ) -> Matched | Mismatch:
        """What `records`, all usable, say of `chain` (DER, the server's own first); `now` in seconds since 1970.

        `names` are those that a certificate may have which is vouched for by its authority alone.
        """
