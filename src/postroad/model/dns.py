"""DNS answers as values, and the look-up that others take as a parameter.

A temporary fault (SERVFAIL, time-out) is never the same as a proven absence (NXDOMAIN, no data):
one is a deferral, the other may be a failure (RFC 5321 5.1). `authentic` is the resolver's AD bit.
"""

from enum import Enum
from typing import Protocol

from msgspec import Struct


class DnsStatus(Enum):
    """What became of a question."""

    FOUND = "found"
    NO_DATA = "no data"  # the name exists, without this type (RFC 2308 2.2)
    NO_NAME = "NXDOMAIN"  # RFC 2308 2.1
    FAILED = "SERVFAIL"  # any error of the server
    TIMED_OUT = "timed out"
    UNREACHABLE = "no name server can be reached"

    @property
    def is_temporary(self) -> bool:
        """True when nothing is proven and the question should be asked again later."""
        return self in (DnsStatus.FAILED, DnsStatus.TIMED_OUT, DnsStatus.UNREACHABLE)


class MxRecord(Struct, frozen=True, gc=False):
    """One MX record; `exchange` is lower-case without trailing dot, "" for the null MX (RFC 7505 3)."""

    preference: int
    exchange: str


class SrvRecord(Struct, frozen=True, gc=False):
    """One SRV record (RFC 2782); `target` is as in `MxRecord`, "" where the service is not to be had at all."""

    priority: int
    weight: int
    port: int
    target: str


class TlsaRecord(Struct, frozen=True, gc=False):
    """One TLSA record (RFC 6698 2.1): `usage`, `selector` and `matching` as numbers, `data` in octets."""

    usage: int
    selector: int
    matching: int
    data: bytes


class Answer(Struct, frozen=True, gc=False):
    """The records of one question: `MxRecord` for MX, `SrvRecord` for SRV, `TlsaRecord` for TLSA, text for all else."""

    status: DnsStatus
    records: tuple[str | MxRecord | SrvRecord | TlsaRecord, ...] = ()
    ttl: int = 0
    authentic: bool = False
    canonical: str = ""  # the name after CNAMEs

    @property
    def is_temporary(self) -> bool:
        """True when nothing is proven and the question should be asked again later."""
        return self.status.is_temporary


class Lookup(Protocol):
    """Ask for the records of type `kind` ("MX", "A", ...) of `name`; never raises, always within its time-out."""

    async def __call__(self, name: str, kind: str) -> Answer:
        """The answer, from cache or network."""
