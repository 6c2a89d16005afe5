"""Reads a certificate chain in PEM: the facts of its first certificate, which is the server's own.

Imported late (`model.late`): the library is large, and only who has a certificate needs it. RFC 5929 4.1 (the digest
of tls-server-end-point: that of the signature, SHA-256 in the place of MD5 and SHA-1). The common name of the subject
counts only when no name is listed.
"""

import hashlib
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from postroad.net.tls.certfacts import CertificateFacts, ReadFacts, ReadKey

_WEAK: Final = frozenset({"md5", "sha1"})
_COMMON: Final = frozenset(hashlib.algorithms_guaranteed)


def _read(pem: bytes) -> CertificateFacts:
    """The facts of the first certificate in `pem`; ValueError when there is none that can be read."""
    if b"-----BEGIN CERTIFICATE-----" not in pem:
        raise ValueError("has no certificate in PEM form")
    try:
        first = x509.load_pem_x509_certificates(pem)[0]
        return CertificateFacts(
            subject=first.subject.rfc4514_string(),
            names=_names(first),
            starts=_micros(first.not_valid_before_utc),
            expires=_micros(first.not_valid_after_utc),
            fingerprint=hashlib.sha256(first.public_bytes(Encoding.DER)).hexdigest(),
            end_point=_end_point(first),
        )
    except (ValueError, TypeError, x509.DuplicateExtension) as error:
        raise ValueError(f"the certificate cannot be read: {str(error).partition('(')[0].strip()}") from None


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        listed = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = listed.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        names = [text for attribute in found if isinstance(text := attribute.value, str)]
    return tuple(dict.fromkeys(name.lower().rstrip(".") for name in names))


def _end_point(certificate: x509.Certificate) -> bytes:
    algorithm = certificate.signature_hash_algorithm
    name = "sha256" if algorithm is None or algorithm.name in _WEAK else algorithm.name
    if name not in _COMMON:
        name = "sha256"
    return hashlib.new(name, certificate.public_bytes(Encoding.DER)).digest()


def _micros(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


def _public_key(der: bytes) -> bytes:
    """The SubjectPublicKeyInfo of the certificate `der`, in DER too; b"" when it cannot be read."""
    try:
        key = x509.load_der_x509_certificate(der).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return b""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


read_facts: Final[ReadFacts] = _read
public_key_of: Final[ReadKey] = _public_key
