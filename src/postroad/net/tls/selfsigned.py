"""Certificates that nobody has signed: a stand-in until the first real one comes, and the proof of tls-alpn-01.

Imported late (`model.late`), as the library is large. RFC 8737 3: the proof holds the digest of the key authorization
in an extension that is critical.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from postroad.net.acme.ordering import MakeStandIn

_IDENTIFIER: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
_OCTET_STRING: Final = b"\x04\x20"  # of 32 octets, in DER
_NAME_LIMIT: Final = 64  # of a common name


def _stand_in(names: Sequence[str], now: int) -> bytes:
    """A key and a certificate for `names` in PEM, good for ten years."""
    return _signed(names, now, timedelta(days=3650), ())


def proof(name: str, authorization: str, now: int) -> bytes:
    """A key and the certificate in PEM that answers for `name`."""
    digest = hashlib.sha256(authorization.encode()).digest()
    return _signed((name,), now, timedelta(days=1), (x509.UnrecognizedExtension(_IDENTIFIER, _OCTET_STRING + digest),))


def _signed(names: Sequence[str], now: int, life: timedelta, extensions: Sequence[x509.UnrecognizedExtension]) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:_NAME_LIMIT])])
    begins = datetime.fromtimestamp(now // 1_000_000, UTC) - timedelta(hours=1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + life)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)


make_stand_in: Final[MakeStandIn] = _stand_in
