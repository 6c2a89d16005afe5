"""TLS contexts for outgoing connections, and what a connection negotiated in words.

Opportunistic TLS takes any certificate: it keeps passive listeners out and nothing more (RFC 7435 3,
RFC 3207 6). Whether a delivery falls back to plain text is delivery's decision, not made here.
"""

import ssl
from types import MappingProxyType
from typing import Final, TypeVar

NOT_TRUSTED: Final = "certificate-not-trusted"
EXPIRED: Final = "certificate-expired"
MISMATCH: Final = "certificate-host-mismatch"
REVOKED: Final = "the certificate is revoked"

# Why OpenSSL does not accept a certificate, by its number (X509_V_ERR_...), and the result type of RFC 8460 4.3.1.
_WHY: Final = MappingProxyType(
    {
        3: ("no revocation list of who signed the certificate is there", NOT_TRUSTED),
        10: ("the certificate has expired", EXPIRED),
        9: ("the certificate is not valid yet", NOT_TRUSTED),
        12: ("the revocation list has expired", NOT_TRUSTED),
        18: ("the certificate is signed by itself and by nobody we trust", NOT_TRUSTED),
        19: ("the certificate leads to an authority that we do not trust", NOT_TRUSTED),
        20: ("the certificate leads to no authority that we trust", NOT_TRUSTED),
        21: ("the certificate leads to no authority that we trust", NOT_TRUSTED),
        23: (REVOKED, NOT_TRUSTED),
        62: ("the certificate is for another name", MISMATCH),
        64: ("the certificate is for another address", MISMATCH),
    }
)


def opportunistic_context() -> ssl.SSLContext:
    """A client context without verification, TLS 1.2 or later (RFC 8996 2)."""
    return without_verification(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


Context = TypeVar("Context", bound=ssl.SSLContext)


def without_verification(context: Context) -> Context:
    """`context`, a new one for clients, which takes any certificate, and TLS 1.2 or later."""
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def describe(connection: ssl.SSLObject | ssl.SSLSocket | None) -> str:
    """What was negotiated, as in `TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)`; "" without TLS."""
    cipher = connection.cipher() if connection is not None else None
    if connection is None or cipher is None:
        return ""
    name, _, bits = cipher
    return f"{connection.version()} with cipher {name} ({bits}/{bits} bits)"


def why_distrusted(code: int, message: str) -> tuple[str, str]:
    """Why a certificate is not accepted, in words for people, and the result type; from OpenSSL's `code` and words."""
    words, result = _WHY.get(code, ("the certificate is not accepted", NOT_TRUSTED))
    says_more = code not in _WHY or result == MISMATCH  # else OpenSSL says the same again, in a few words
    return f"{words} ({message.rstrip('.')})" if says_more else words, result
