"""JSON Web Keys and signatures: which keys a set has, and whether one of them signed a token (RFC 7515, RFC 7517).

Invariant: only a public key of the kind that an algorithm is for ever meets that algorithm, so no token can choose to
have its signature checked as something else (RFC 8725 3.1). Keys that a token brings along are not looked at, nor are
extensions that it calls critical. Imported when asked for: joserfc belongs to the extra `oauth`.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import ECKey, OKPKey, RSAKey

KEYS_LIMIT: Final = 100  # of one issuer
LEAST_BITS: Final = 2048  # RFC 8725 3.5, RFC 7518 3.3
MOST_BITS: Final = 8192
_HEADER_LIMIT: Final = 8192
_FAULTS: Final = (JoseError, ValueError, TypeError, KeyError, RecursionError)
_SAME: Final = MappingProxyType({"Ed25519": "EdDSA"})  # RFC 9864 2.2 gave it another name
_EXACT: Final = MappingProxyType({"EdDSA": "Ed25519"})

T = TypeVar("T")
Claims = dict[str, object]
PublicKey = RSAKey | ECKey | OKPKey


class Header(msgspec.Struct, frozen=True):
    """What a token says of its signature."""

    alg: str
    kid: str = ""
    crit: object = None
    b64: object = None


class Key(msgspec.Struct, frozen=True):
    """One public key of an issuer, and the algorithms that it is for."""

    kid: str
    algorithms: frozenset[str]
    key: PublicKey


class _Registry(jws.JWSRegistry):
    """One algorithm, under either of its names; sizes are bounded by whoever took the token in."""

    max_header_length = _HEADER_LIMIT
    max_payload_length = 1 << 20
    max_signature_length = 4096

    def get_alg(self, name: str) -> JWSAlgModel:
        """The algorithm that a token names."""
        return super().get_alg(_EXACT.get(name, name))


def read_header(token: str) -> Header | None:
    """The header of `token`; None when it is no JWT in compact form."""
    parts = token.split(".")
    if len(parts) != 3 or len(parts[0]) > _HEADER_LIMIT or not all(parts):
        return None
    return _decode(parts[0], Header)


def peek(token: str) -> Claims:
    """What the JWT `token` says, whoever wrote it; empty when it says nothing."""
    return _decode(token.split(".")[1], Claims) or {}


def read_keys(document: bytes) -> tuple[Key, ...]:
    """The keys of a JWKS that can be used, ValueError when it is none; odd ones are passed over (RFC 7517 5)."""
    try:
        found = msgspec.json.decode(document, type=dict[str, object])
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"the keys are no JWKS: {error}") from None
    given = found.get("keys")
    if not isinstance(given, list):
        raise ValueError('the keys are no JWKS: there is no "keys"')  # noqa: TRY004  as all that is wrong with it
    keys = (_key(one) for one in given[:KEYS_LIMIT] if isinstance(one, dict))
    return tuple(key for key in keys if key is not None)


def matching(keys: Iterable[Key], header: Header) -> list[Key]:
    """The keys that may have signed what has this header: the one it names, or all when it names none."""
    alg = _SAME.get(header.alg, header.alg)
    return [key for key in keys if alg in key.algorithms and header.kid in ("", key.kid)]


def verify(token: str, header: Header, keys: Iterable[Key]) -> Claims | None:
    """What `token` says, when one of `keys` signed it; None when none did."""
    if header.crit is not None or header.b64 is not None:
        return None
    registry = _Registry(algorithms=[_EXACT.get(header.alg, header.alg)], strict_check_header=False)
    for key in keys:
        try:
            signed = jws.deserialize_compact(token, key.key, registry=registry)
            return msgspec.json.decode(signed.payload, type=Claims)
        except (msgspec.DecodeError, *_FAULTS):
            continue
    return None


def _decode(part: str, kind: type[T]) -> T | None:
    try:
        octets = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(octets, type=kind)
    except (binascii.Error, msgspec.DecodeError, ValueError, RecursionError):
        return None


def _key(given: Mapping[str, object]) -> Key | None:
    """A public key for signatures."""
    operations = given.get("key_ops")
    if given.get("use", "sig") != "sig" or "d" in given or (operations is not None and not _verifies(operations)):
        return None
    kid, alg = given.get("kid", ""), given.get("alg", "")
    if not isinstance(kid, str) or not isinstance(alg, str):
        return None
    public = {name: value for name, value in given.items() if name in _PUBLIC and isinstance(value, str)}
    try:
        key, algorithms = _import(public)
    except _FAULTS:
        return None
    if alg:
        algorithms = algorithms & {_SAME.get(alg, alg)}
    return Key(kid, algorithms, key) if algorithms else None


def _verifies(operations: object) -> bool:
    return isinstance(operations, list) and "verify" in operations


def _import(public: dict[str, str]) -> tuple[PublicKey, frozenset[str]]:
    """The key, and what it can be for."""
    match public:
        case {"kty": "RSA", "n": modulus}:
            bits = len(base64.urlsafe_b64decode(modulus + "==").lstrip(b"\0")) * 8
            if not LEAST_BITS <= bits <= MOST_BITS:
                raise ValueError("the key is too short or too long")
            return RSAKey.import_key(dict(public)), _RSA
        case {"kty": "EC", "crv": curve} if curve in _CURVES:
            return ECKey.import_key(dict(public)), frozenset({_CURVES[curve]})
        case {"kty": "OKP", "crv": "Ed25519"}:
            return OKPKey.import_key(dict(public)), frozenset({"EdDSA"})
    raise ValueError("a kind of key that signs nothing here")


_PUBLIC: Final = frozenset({"kty", "crv", "n", "e", "x", "y"})
_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES: Final = MappingProxyType({"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"})
