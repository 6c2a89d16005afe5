"""Compares a server's certificates with the TLSA records of its name (RFC 6698 2.1, RFC 7671 5, RFC 7672 3.1).

Usage 3 vouches for the server's own certificate or key, whatever names and dates it has (RFC 7671 5.1). Usage 2 does
for an authority: it issued the server's certificate, at once or through others that were sent along, and then names,
dates and what each certificate may be used for count (RFC 7671 5.2, RFC 5280 6.1). What was sent is anything at all:
it is bounded, and whatever cannot be read does not match. Imported late (`model.late`), with its library.
"""

import hashlib
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from msgspec import Struct

from postroad.model.dns import TlsaRecord
from postroad.net.tls import chainrules
from postroad.net.tls.chainrules import UNREADABLE, PublicKey
from postroad.net.tls.danewords import EXPIRED, NOT_TRUSTED, OTHER_NAME, Matched, MatchRecords, Mismatch

CHAIN_LIMIT: Final = 10  # certificates that are looked at; servers send 2 to 4
ANCHOR_LIMIT: Final = 10  # whole certificates or keys of authorities in records

_EE: Final = 3
_TA: Final = 2
_KEY: Final = 1
_VERSION: Final = 0xA0
_DIGESTS: Final = MappingProxyType({1: "sha256", 2: "sha512"})


class _Link(Struct, frozen=True, gc=False):
    """One certificate of the chain that was reached from the server's own, over `depth` steps."""

    certificate: x509.Certificate
    depth: int


def _match(
    records: Sequence[TlsaRecord], chain: Sequence[bytes], names: Sequence[str], now: float
) -> Matched | Mismatch:
    """See `danewords.MatchRecords`."""
    if not chain:
        return Mismatch("the server shows no certificate", NOT_TRUSTED)
    sent = [_read(octets) for octets in chain[:CHAIN_LIMIT]]
    for record in records:
        if record.usage == _EE and _is_of(record, chain[0]):
            return Matched(record, 0)
    anchors = [record for record in records if record.usage == _TA]
    own = sent[0]
    if not anchors:
        return Mismatch(f"its certificate matches none of {len(records)} TLSA records")
    if own is None:
        return Mismatch("its certificate cannot be read", NOT_TRUSTED)
    moment = datetime.fromtimestamp(now, UTC)
    found = _search(own, [one for one in sent[1:] if one is not None], anchors, moment)
    if isinstance(found, Mismatch):
        return found
    if not chainrules.is_for_server(own):
        return Mismatch("its certificate is not for servers", NOT_TRUSTED)
    shown = chainrules.names_of(own)
    if not any(chainrules.covers(pattern, name) for pattern in shown for name in names):
        wanted = " or ".join(names)
        words = f"its certificate is for another name ({', '.join(shown[:5]) or 'none'}; wanted {wanted})"
        return Mismatch(words, OTHER_NAME)
    return found


def _search(
    own: x509.Certificate, sent: Sequence[x509.Certificate], anchors: Sequence[TlsaRecord], now: datetime
) -> Matched | Mismatch:
    """The way from `own` to an anchor: breadth first and each certificate once, so that it ends whatever is sent."""
    keys, authorities = _given(anchors)
    pool = [*sent, *authorities]
    used: set[int] = set()
    links = [_Link(own, 0)]
    wrong = Mismatch(f"none of its certificates is what {len(anchors)} TLSA records say of its authority")
    for link in links:  # grows meanwhile
        refusal = chainrules.why_refused(link.certificate, link.depth, own, now)
        if refusal:
            wrong = Mismatch(refusal, EXPIRED if "expired" in refusal else NOT_TRUSTED)
            continue
        if link.depth:
            octets = link.certificate.public_bytes(Encoding.DER)
            for record in anchors:
                if _is_of(record, octets):
                    return Matched(record, link.depth)
        for record, key in keys:
            if chainrules.is_signed_by(link.certificate, key):
                return Matched(record, link.depth + 1)
        for index, issuer in enumerate(pool):
            if index not in used and chainrules.is_issued_by(link.certificate, issuer):
                used.add(index)
                links.append(_Link(issuer, link.depth + 1))
    return wrong


def _given(anchors: Sequence[TlsaRecord]) -> tuple[list[tuple[TlsaRecord, PublicKey]], list[x509.Certificate]]:
    """Keys and certificates of authorities that stand whole in records: servers need not send them (RFC 7671 5.2)."""
    keys: list[tuple[TlsaRecord, PublicKey]] = []
    certificates: list[x509.Certificate] = []
    for record in anchors:
        if record.matching or len(keys) + len(certificates) >= ANCHOR_LIMIT:
            continue
        if record.selector == _KEY:
            try:
                keys.append((record, load_der_public_key(record.data)))
            except UNREADABLE:
                continue
        else:
            certificate = _read(record.data)
            certificates += [certificate] if certificate is not None else []
    return keys, certificates


def _is_of(record: TlsaRecord, octets: bytes) -> bool:
    """True when `record` is about the certificate `octets`, in DER, or about its key."""
    if record.selector == _KEY:
        octets = key_in(octets)
    if not octets:
        return False
    digest = _DIGESTS.get(record.matching)
    return (octets if digest is None else hashlib.new(digest, octets).digest()) == record.data


def key_in(certificate: bytes) -> bytes:
    """SubjectPublicKeyInfo as it stands in `certificate` (DER, RFC 5280 4.1); b"" when there is none to be seen.

    Nothing is made of it: a key of a kind that no library knows can be compared too, octet for octet.
    """
    try:
        at, _ = _element(certificate, _element(certificate, 0)[0])  # into the certificate, and into what is signed
        if certificate[at] == _VERSION:
            at = _element(certificate, at)[1]
        for _ in range(5):  # serial number, algorithm, issuer, validity, subject
            at = _element(certificate, at)[1]
        end = _element(certificate, at)[1]
    except IndexError:
        return b""
    return certificate[at:end] if end <= len(certificate) else b""


def _element(data: bytes, at: int) -> tuple[int, int]:
    """Where the content of the DER element at `at` begins and ends; IndexError when `data` ends first."""
    length = data[at + 1]
    start = at + 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[at + 2 : start], "big")
    if start + length > len(data):
        raise IndexError
    return start, start + length


def _read(octets: bytes) -> x509.Certificate | None:
    try:
        with warnings.catch_warnings(action="ignore"):  # of what a later release of the library refuses to read
            return x509.load_der_x509_certificate(octets)
    except UNREADABLE:
        return None


match_records: Final[MatchRecords] = _match
