"""*pure*: which TLSA records can be acted upon, and which of those should be (RFC 7671 9, RFC 7672 3.1).

Only usages 2 and 3 say anything about mail servers: there is no set of authorities that all senders trust, which is
what usages 0 and 1 rest on (RFC 7672 3.1.3). Of digests of the same thing the strongest alone counts, so that nobody
gains by a weaker one that is still published (digest agility). The order is always the same, as connections are kept by
what their target demands, and DNS turns records round.
"""

from collections.abc import Iterable
from types import MappingProxyType
from typing import Final

from postroad.model.dns import TlsaRecord

LIMIT: Final = 50  # records that are looked at; operators publish 1 to 4
NAMED_LIMIT: Final = 4  # of them in words for people

_USAGES: Final = (2, 3)
_SELECTORS: Final = (0, 1)
_WHOLE: Final = 0
_LENGTHS: Final = MappingProxyType({1: 32, 2: 64})  # of digests, by matching type: SHA-256, SHA-512; higher is stronger
_SEQUENCE: Final = 0x30


def is_usable(record: TlsaRecord) -> bool:
    """True when a certificate could match `record`, and it would mean something."""
    if record.usage not in _USAGES or record.selector not in _SELECTORS:
        return False
    if record.matching == _WHOLE:
        return _is_whole(record.data)
    return len(record.data) == _LENGTHS.get(record.matching)


def usable_of(records: Iterable[object]) -> tuple[TlsaRecord, ...]:
    """Those of `records` that are to be acted upon, in an order of their own; none: nothing can be verified."""
    usable = [one for one in records if isinstance(one, TlsaRecord) and is_usable(one)]
    strongest: dict[tuple[int, int], int] = {}
    for one in usable:
        about = one.usage, one.selector
        strongest[about] = max(one.matching, strongest.get(about, _WHOLE))
    kept = {one for one in usable if one.matching in (_WHOLE, strongest[one.usage, one.selector])}
    return tuple(sorted(kept, key=_order)[:LIMIT])


def text_of(record: TlsaRecord) -> str:
    """`record` as zone files and TLS reports have it (RFC 8460 4.4)."""
    return f"{record.usage} {record.selector} {record.matching} {record.data.hex()}"


def kinds_of(records: Iterable[TlsaRecord]) -> str:
    """What kinds of records there are, in a few words: "3 1 1, 2 0 1"."""
    kinds = list(dict.fromkeys(f"{one.usage} {one.selector} {one.matching}" for one in records))
    return ", ".join(kinds[:NAMED_LIMIT]) + (" and others" if len(kinds) > NAMED_LIMIT else "")


def _order(record: TlsaRecord) -> tuple[int, int, int, bytes]:
    """Those that are compared without more ado come first."""
    return -record.usage, record.selector, record.matching, record.data


def _is_whole(data: bytes) -> bool:
    """True for one DER element that could be a certificate or a key: a sequence, as long as it says."""
    if len(data) < 2 or data[0] != _SEQUENCE:
        return False
    length, start = data[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start], "big")
    return len(data) == start + length
