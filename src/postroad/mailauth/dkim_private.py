"""Private keys that sign, and the DNS records of their public halves (RFC 6376 3.6.1, RFC 8301 3.2, RFC 8463 4).

Keys come as PEM text; what a key is never shows in a repr or an error. RSA keys have 1024 to 4096 bits to be read,
and 2048 when they are made here.
"""

from collections.abc import Callable
from typing import Final, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from postroad.mailauth.dkim_facts import KeyFacts, MakeKey
from postroad.mailauth.dkim_key import LEAST_BITS, MOST_BITS
from postroad.mailauth.dkim_tags import encode_base64
from postroad.mailauth.tokenuri import TokenUri
from postroad.model.address import parse_domain
from postroad.model.errors import AddressError, ConfigError

RSA_BITS: Final = 2048  # RFC 8301 3.2: signers should use at least as many
RSA: Final = "rsa"
ED25519: Final = "ed25519"

_EXPONENT: Final = 65_537
_STRING_LIMIT: Final = 255  # octets of one string of a TXT record (RFC 1035 3.3.14)
_PADDING: Final = PKCS1v15()
_HASHED: Final = Prehashed(SHA256())


class Kept(Protocol):
    """A private key that we do not have, but may sign with."""

    public: RSAPublicKey | Ed25519PublicKey

    def sign(self, digest: bytes) -> bytes:
        """The signature over what has the SHA-256 `digest`, after a while; SigningError without one."""


OpenToken = Callable[[TokenUri, str], Kept]  # with its PIN, "" for none; ConfigError


class SigningKey:
    """A private key with its place in DNS: `selector` of `domain`, both in look-up form."""

    __slots__ = ("_private", "_public", "algorithm", "bits", "domain", "kind", "selector", "waits")

    def __init__(self, domain: str, selector: str, private: RSAPrivateKey | Ed25519PrivateKey | Kept) -> None:
        """ConfigError when the names are none, or the key has too few or too many bits.

        `waits` tells that `sign` may take long, and fail.
        """
        try:
            self.domain = parse_domain(domain)
            self.selector = parse_domain(selector)
        except AddressError as error:
            raise ConfigError([f"DKIM key {selector!r} of {domain!r}: {error}"]) from None
        self._private = private
        if isinstance(private, RSAPrivateKey | Ed25519PrivateKey):
            self.waits, public = False, private.public_key()
        else:
            self.waits, public = True, private.public
        self._public: RSAPublicKey | Ed25519PublicKey = public
        self.kind = RSA if isinstance(public, RSAPublicKey) else ED25519
        self.algorithm = f"{self.kind}-sha256"
        self.bits = public.key_size if isinstance(public, RSAPublicKey) else 256
        if self.kind == RSA and not LEAST_BITS <= self.bits <= MOST_BITS:
            raise ConfigError(
                [f"DKIM key {selector!r} of {domain!r} has {self.bits} bits: {LEAST_BITS} to {MOST_BITS} are possible"]
            )

    def __repr__(self) -> str:
        return f"SigningKey({self.name!r}, {self.algorithm!r})"

    @property
    def name(self) -> str:
        """Where the public key is to be found in DNS."""
        return f"{self.selector}._domainkey.{self.domain}"

    def sign(self, digest: bytes) -> bytes:
        """The signature over what has the SHA-256 `digest`."""
        if isinstance(self._private, RSAPrivateKey):
            return self._private.sign(digest, _PADDING, _HASHED)
        return self._private.sign(digest)  # RFC 8463 3

    def record(self, *, is_testing: bool = False) -> str:
        """The text of the TXT record that publishes the key."""
        public = self._public
        if isinstance(public, RSAPublicKey):
            octets = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        else:
            octets = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        flags = "t=y; " if is_testing else ""
        return f"v=DKIM1; k={self.kind}; {flags}p={encode_base64(octets).decode()}"

    def zone_line(self, *, is_testing: bool = False) -> str:
        """The record as a line of a zone file, its text in strings of at most 255 octets."""
        text = self.record(is_testing=is_testing)
        strings = [text[at : at + _STRING_LIMIT] for at in range(0, len(text), _STRING_LIMIT)]
        return f"{self.name}. IN TXT ( " + " ".join(f'"{string}"' for string in strings) + " )"

    def facts(self) -> KeyFacts:
        """What may be shown of it."""
        return KeyFacts(self.kind, self.bits, self.name, self.record(), self.zone_line())

    def pem(self) -> bytes:
        """The private key as a file has it (PKCS #8), for one that we have."""
        assert isinstance(self._private, RSAPrivateKey | Ed25519PrivateKey)
        return self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_signing_key(domain: str, selector: str, pem: bytes) -> SigningKey:
    """The key in `pem`, RSA or Ed25519; ConfigError says what is wrong, without a word of the key."""
    try:
        private = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigError(
            [f"DKIM key {selector!r} of {domain!r} is no private key in PEM without a password"]
        ) from None
    if not isinstance(private, RSAPrivateKey | Ed25519PrivateKey):
        raise ConfigError([f"DKIM key {selector!r} of {domain!r} is neither RSA nor Ed25519"])
    return SigningKey(domain, selector, private)


def make_signing_key(domain: str, selector: str, kind: str = RSA, *, bits: int = RSA_BITS) -> SigningKey:
    """A new key, of `bits` when it is RSA."""
    if kind == ED25519:
        return SigningKey(domain, selector, Ed25519PrivateKey.generate())
    return SigningKey(domain, selector, generate_private_key(_EXPONENT, bits))


def _make(domain: str, selector: str, kind: str, bits: int) -> tuple[bytes, KeyFacts]:
    key = make_signing_key(domain, selector, kind, bits=bits)
    return key.pem(), key.facts()


MAKE: Final[MakeKey] = _make
