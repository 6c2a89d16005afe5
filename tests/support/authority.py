"""A certificate authority of a test: certificates of any kind, in files, made in milliseconds.

Keys are of the curve P-256. What it signs is valid from an hour ago on.
"""

import ipaddress
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

HOUR = timedelta(hours=1)
MAIL_NAME: Callable[[str], x509.GeneralName] = vars(x509)[f"RFC{822}Name"]  # no reference to an RFC


class Issued(NamedTuple):
    """The files of a certificate and its key."""

    certificate: Path
    key: Path

    @property
    def options(self) -> str:
        """As the configuration has them."""
        return f'certificate = "{self.certificate}"\nkey = "{self.key}"\n'


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative(text: str) -> x509.GeneralName:
    if "://" in text:
        return x509.UniformResourceIdentifier(text)
    if "@" in text:
        return MAIL_NAME(text)
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


class Authority:
    """Signs certificates into `folder`; its own is `file`."""

    def __init__(self, folder: Path, name: str = "Test Authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self.file = folder / f"{name.lower().replace(' ', '-')}.pem"
        builder = self._builder(self._name, self._key.public_key(), 30 * 24 * HOUR)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        certificate = builder.sign(self._key, hashes.SHA256())
        self.file.write_bytes(certificate.public_bytes(Encoding.PEM))

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, life: timedelta) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now, now + life) - HOUR)
            .not_valid_after(now + life)
        )

    def issue(
        self,
        file: str,
        names: Sequence[str] = (),
        *,
        common_name: str = "",
        life: timedelta = 30 * 24 * HOUR,
        password: bytes = b"",
        hash_with: hashes.SHA256 | hashes.SHA384 | None = None,
    ) -> Issued:
        """A certificate in `file`.pem with its key in `file`.key; over what was there, each in one step."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(_name(common_name or (names[0] if names else file)), key.public_key(), life)
        if names:
            listed = x509.SubjectAlternativeName([_alternative(name) for name in names])
            builder = builder.add_extension(listed, critical=False)
        certificate = builder.sign(self._key, hash_with or hashes.SHA256())
        lock: KeySerializationEncryption = BestAvailableEncryption(password) if password else NoEncryption()
        return _written(self.folder, file, certificate, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))

    def revoke(self, file: str, *revoked: Issued) -> Path:
        """A revocation list in `file` with the certificates of `revoked`."""
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._name)
        builder = builder.last_update(now - HOUR).next_update(now + 24 * HOUR)
        for one in revoked:
            number = x509.load_pem_x509_certificate(one.certificate.read_bytes()).serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now - HOUR).build()
            builder = builder.add_revoked_certificate(entry)
        path = self.folder / file
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        return path


def self_signed(folder: Path, name: str) -> Issued:
    """A certificate for `name` that nobody but its own key has signed."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(_name(name)).issuer_name(_name(name)).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - HOUR)
    builder = builder.not_valid_after(now + 24 * HOUR)
    builder = builder.add_extension(x509.SubjectAlternativeName([_alternative(name)]), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    octets = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return _written(folder, "self-signed", certificate, octets)


def _written(folder: Path, file: str, certificate: x509.Certificate, key: bytes) -> Issued:
    issued = Issued(folder / f"{file}.pem", folder / f"{file}.key")
    issued.key.touch(0o600)
    replace(issued.key, key)
    replace(issued.certificate, certificate.public_bytes(Encoding.PEM))
    return issued


def replace(file: Path, octets: bytes) -> None:
    """Put another file in the place of `file`, as those who renew certificates do."""
    fresh = file.with_name(f"{file.name}.new")
    fresh.write_bytes(octets)
    if file.exists():
        fresh.chmod(file.stat().st_mode)
    fresh.rename(file)
