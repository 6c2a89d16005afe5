"""What certificates of a chain say of each other and of a server: signatures, dates, purposes and names.

The rules of RFC 5280 6.1 as far as they concern mail servers behind an authority of their own, and the names of
RFC 7672 3.2.3 and RFC 9525 6.3. A certificate with a critical extension that is not known here is refused, as
are signatures with digests that can be forged. Imported late (`model.late`), by `net.danematch`.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

E = TypeVar("E", bound=x509.ExtensionType)
PublicKey = PublicKeyTypes
UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)

_FORGEABLE: Final = frozenset({"md5", "sha1"})
_KNOWN: Final = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.CRL_DISTRIBUTION_POINTS,
        ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
    }
)


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """True when `issuer` has the name of the one who issued `certificate`, and signed it."""
    try:
        if certificate.issuer != issuer.subject or _is_forgeable(certificate):
            return False
        certificate.verify_directly_issued_by(issuer)
    except (*UNREADABLE, InvalidSignature):
        return False
    return True


def is_signed_by(certificate: x509.Certificate, key: PublicKey) -> bool:
    """True when `key` signed `certificate`."""
    try:
        signature, signed = certificate.signature, certificate.tbs_certificate_bytes
        how, digest = certificate.signature_algorithm_parameters, certificate.signature_hash_algorithm
        if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            key.verify(signature, signed)
            return True
        if digest is None or _is_forgeable(certificate):
            return False
        if isinstance(key, rsa.RSAPublicKey) and isinstance(how, padding.PKCS1v15 | padding.PSS):
            key.verify(signature, signed, how, digest)
        elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(how, ec.ECDSA):
            key.verify(signature, signed, how)
        else:
            return False
    except (*UNREADABLE, InvalidSignature):
        return False
    return True


def why_refused(certificate: x509.Certificate, depth: int, own: x509.Certificate, now: datetime) -> str:
    """Why `certificate` cannot stand at `depth` of the chain of `own` at the time `now`, "" when it can."""
    who = "its certificate" if depth == 0 else f"the authority {_short(certificate)}"
    try:
        if now > certificate.not_valid_after_utc:
            return f"{who} has expired"
        if now < certificate.not_valid_before_utc:
            return f"{who} is not valid yet"
        extensions = certificate.extensions
        strange = [one.oid.dotted_string for one in extensions if one.critical and one.oid not in _KNOWN]
        if strange:
            return f"{who} has a critical extension that is not known here ({strange[0]})"
        return f"{who} {why}" if depth and (why := _why_no_authority(extensions, depth, own)) else ""
    except UNREADABLE as error:
        return f"{who} cannot be read: {str(error)[:100]}"


def _why_no_authority(extensions: x509.Extensions, depth: int, own: x509.Certificate) -> str:
    basic = _value(extensions, x509.BasicConstraints)
    if basic is None or not basic.ca:
        return "is none: it may not issue certificates"
    if basic.path_length is not None and basic.path_length < depth - 1:
        return "has more authorities below it than it may"
    usage = _value(extensions, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        return "may not sign certificates"
    constraints = _value(extensions, x509.NameConstraints)
    if constraints is not None and not all(_is_permitted(name, constraints) for name in names_of(own)):
        return "may not issue certificates for such names"
    return ""


def _is_permitted(name: str, constraints: x509.NameConstraints) -> bool:
    """RFC 5280 4.2.1.10 for names of hosts; a wildcard is within what its domain is within."""
    permitted = list(_domains(constraints.permitted_subtrees))
    excluded = list(_domains(constraints.excluded_subtrees))
    bare = name.removeprefix("*.")
    if any(_is_within(bare, domain) or (bare != name and _is_within(domain, bare)) for domain in excluded):
        return False
    return not permitted or any(_is_within(bare, domain) for domain in permitted)


def _domains(names: list[x509.GeneralName] | None) -> Iterator[str]:
    return (name.value.lower().removeprefix(".") for name in names or () if isinstance(name, x509.DNSName))


def _is_within(name: str, domain: str) -> bool:
    return not domain or name == domain or name.endswith(f".{domain}")


def is_for_server(certificate: x509.Certificate) -> bool:
    """False when `certificate` says that it is for other purposes than that of a TLS server (RFC 5280 4.2.1.12)."""
    try:
        purposes = _value(certificate.extensions, x509.ExtendedKeyUsage)
    except UNREADABLE:
        return False
    allowed = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    return purposes is None or bool(allowed & set(purposes))


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The host names that it is for, its common name where it lists none (RFC 7672 3.2.3)."""
    try:
        listed = _value(certificate.extensions, x509.SubjectAlternativeName)
        names = [] if listed is None else listed.get_values_for_type(x509.DNSName)
        if not names:
            found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            names = [text for one in found if isinstance(text := one.value, str)]
    except UNREADABLE:
        return ()
    return tuple(dict.fromkeys(name.lower().removesuffix(".") for name in names))


def covers(pattern: str, name: str) -> bool:
    """True when a certificate for `pattern` is for `name`; "*" stands for the whole first label (RFC 9525 6.3)."""
    if not pattern.startswith("*."):
        return pattern == name and bool(name)
    rest = name.partition(".")[2]
    return "." in rest and "*" not in name and pattern[2:] == rest


def _value(extensions: x509.Extensions, kind: type[E]) -> E | None:
    for extension in extensions:
        if isinstance(extension.value, kind):
            return extension.value
    return None


def _is_forgeable(certificate: x509.Certificate) -> bool:
    try:
        digest = certificate.signature_hash_algorithm
    except UNREADABLE:
        return True
    return digest is not None and digest.name in _FORGEABLE


def _short(certificate: x509.Certificate) -> str:
    try:
        found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except UNREADABLE:
        found = []
    return next((repr(one.value[:60]) for one in found if isinstance(one.value, str)), "without a name")
