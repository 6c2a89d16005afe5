"""Samples of the records about certificates by ACME; see tests/support/records.py."""

from postroad.model.records import CertificateNotObtained, CertificateObtained, Record

AT = 1_700_000_000_123_456  # 2023-11-14 22:13:20.123456 UTC

ACME: tuple[Record, ...] = (
    CertificateObtained(
        at=AT,
        directory="https://ca.example.com/directory",
        names=("relay.example.com",),
        expires=AT + 90 * 86_400_000_000,
        seconds=4.2,
    ),
    CertificateNotObtained(
        at=AT,
        directory="https://ca.example.com/directory",
        names=("relay.example.com", "mx.example.com"),
        reason="mx.example.com: not proven: connection refused (connection)",
        failures=2,
        next=AT + 1_200_000_000,
        days=12,
    ),
)
