"""Records of TLS: what handshakes with clients agreed on or why they failed, our certificates, and policies of others.

Everybody imports them from `records`. No key and nothing that is said under TLS is ever in one.
"""

from postroad.model.record import Record


class ConnectionSecured(Record, frozen=True, tag="ConnectionSecured"):
    """TLS began on a client's connection: `cipher` of `bits`, `sni` is the name that the client asked for.

    `resumed`: by a session that was agreed on earlier. `fingerprint` (SHA-256), `subject` and `names` are those of the
    client's certificate, which is verified; "" and none without one.
    """

    session: str
    listener: str
    ip: str
    port: int
    version: str
    cipher: str
    bits: int
    seconds: float
    sni: str = ""
    resumed: bool = False
    fingerprint: str = ""
    subject: str = ""
    names: tuple[str, ...] = ()


class HandshakeFailed(Record, frozen=True, tag="HandshakeFailed"):
    """TLS could not begin on a client's connection, which was cut, and why."""

    session: str
    listener: str
    ip: str
    port: int
    reason: str
    seconds: float


class CertificateLoaded(Record, frozen=True, tag="CertificateLoaded"):
    """The certificate in a file is in force, at start and after it changed; `expires` is in microseconds since 1970.

    Of a file of client authorities nothing more is told.
    """

    certificate: str
    names: tuple[str, ...] = ()
    expires: int = 0
    fingerprint: str = ""


class CertificateRefused(Record, frozen=True, tag="CertificateRefused"):
    """A file of a certificate, its key or client authorities changed and cannot be used; what was in force stays."""

    certificate: str
    reason: str


class CertificateExpiring(Record, frozen=True, tag="CertificateExpiring"):
    """A certificate in force expires within so many `days`, or has expired (0); told once a day."""

    certificate: str
    names: tuple[str, ...]
    expires: int
    days: int


class TlsPolicyNotFetched(Record, frozen=True, tag="TlsPolicyNotFetched"):
    """DNS says that `domain` has an MTA-STS policy, and it cannot be fetched or read.

    Mail goes as by the one that is kept; where `is_kept` is False, as if there were none (RFC 8461 5.1).
    """

    domain: str
    reason: str
    is_kept: bool = False
