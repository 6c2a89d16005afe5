"""Records of certificates that are had by ACME: that one came, or why none did and when it is tried again.

Everybody imports them from `records`. No key, no token of a challenge and no account's secret is ever in one.
"""

from postroad.model.record import Record


class CertificateObtained(Record, frozen=True, tag="CertificateObtained"):
    """The CA issued a certificate; it is in force as soon as `CertificateLoaded` says so. `expires` as there."""

    directory: str
    names: tuple[str, ...]
    expires: int
    seconds: float


class CertificateNotObtained(Record, frozen=True, tag="CertificateNotObtained"):
    """The CA issued no certificate, for `reason`, the `failures`th time in a row; it is tried again at `next`.

    What was in force stays, for so many `days` more: -1 when there never was one, and clients see a stand-in that
    nobody has signed. `next` is in microseconds since 1970.
    """

    directory: str
    names: tuple[str, ...]
    reason: str
    failures: int
    next: int
    days: int
