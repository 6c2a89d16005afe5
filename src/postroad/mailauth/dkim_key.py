"""Public keys as domains publish them: the record at `selector._domainkey.domain`, and what is wrong with one.

Reading a key costs more than using it, so keys that were read are remembered by their text, a bounded number of
them; texts longer than any key are not read at all. RFC 6376 3.6.1 (records), RFC 8301 3.2 (sizes), RFC 8463 4.2
(Ed25519), RFC 6376 3.6.2.2 (one record a name).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from msgspec import Struct

from postroad.mailauth.dkim_result import PERMERROR, POLICY, TEMPERROR
from postroad.mailauth.dkim_tags import SPACES, Tags, decode_base64, parse_tags, shown
from postroad.model.dns import Answer

TEXT_LIMIT: Final = 4096  # characters of a record; one with 4096 bits has some 750
LEAST_BITS: Final = 1024  # RFC 8301 3.2: shorter ones are not valid
MOST_BITS: Final = 4096  # RFC 8301 3.2 asks for no more, and time grows with the square
_KEYS_REMEMBERED: Final = 1024
_EXPONENT_BITS: Final = 33  # the usual one has 17; a large one makes a check as dear as a signature
_PADDING: Final = PKCS1v15()
_HASHED: Final = Prehashed(SHA256())


class DkimKey(Struct, frozen=True):
    """A key that can be used: of type `kind` ("rsa" or "ed25519")."""

    kind: str
    public: RSAPublicKey | Ed25519PublicKey
    bits: int
    is_testing: bool = False  # t=y
    is_strict: bool = False  # t=s: i= must have the very domain of d=

    def fits(self, signature: bytes, digest: bytes) -> bool:
        """True when `signature` was made with this key over what has the SHA-256 `digest`."""
        try:
            if isinstance(self.public, Ed25519PublicKey):
                self.public.verify(signature, digest)  # RFC 8463 3: the hash is what is signed
            else:
                self.public.verify(signature, digest, _PADDING, _HASHED)
        except InvalidSignature:
            return False
        return True


class KeyProblem(Struct, frozen=True):
    """Why there is no key: `result` is a word of RFC 8601 2.7.1."""

    result: str
    reason: str


def key_in(answer: Answer | None, kind: str, name: str) -> DkimKey | KeyProblem:
    """The key of type `kind` that DNS gives at `name`."""
    if answer is None or answer.is_temporary:
        return KeyProblem(TEMPERROR, f"the key {name} could not be had: {_why(answer)}")
    texts = [record for record in answer.records if isinstance(record, str)]
    if not texts:
        return KeyProblem(PERMERROR, f"there is no key {name}: {answer.status.value}")
    if len(texts) == 1:
        return _of_kind(read_key(texts[0]) if len(texts[0]) <= TEXT_LIMIT else _TOO_LONG, kind, name)
    # Undefined by RFC 6376 3.6.2.2. Others may publish texts beside a key, so the one that is a key is taken.
    found = [read_key(text) for text in texts[:8] if len(text) <= TEXT_LIMIT]
    keys = [key for key in found if isinstance(key, DkimKey) and key.kind == kind]
    if len(keys) == 1:
        return keys[0]
    return KeyProblem(PERMERROR, f"{name} has {len(texts)} records, of which {len(keys)} can be the key")


def _of_kind(found: DkimKey | KeyProblem, kind: str, name: str) -> DkimKey | KeyProblem:
    if isinstance(found, KeyProblem):
        return KeyProblem(found.result, f"the key {name} cannot be used: {found.reason}")
    if found.kind != kind:
        return KeyProblem(PERMERROR, f"the key {name} is for {found.kind}, and the signature is of {kind}")
    return found


def _why(answer: Answer | None) -> str:
    return "it was not asked for" if answer is None else answer.status.value


_TOO_LONG: Final = KeyProblem(PERMERROR, f"it has more than {TEXT_LIMIT} characters")


@lru_cache(maxsize=_KEYS_REMEMBERED)  # a pure function of its argument, which has at most TEXT_LIMIT characters
def read_key(text: str) -> DkimKey | KeyProblem:
    """The key of a record's `text`, one character an octet (RFC 6376 3.6.1)."""
    tags = parse_tags(text.encode("latin-1", "replace"))
    if isinstance(tags, str):
        return KeyProblem(PERMERROR, tags)
    fault = _fault(tags)
    if fault:
        return KeyProblem(PERMERROR, fault)
    material = decode_base64(tags[b"p"])
    if not material:
        return KeyProblem(PERMERROR, "it was revoked" if material == b"" else "its p= is no base64")
    flags = {flag.strip(SPACES) for flag in tags.get(b"t", b"").split(b":")}
    kind = tags.get(b"k", b"rsa").lower()
    public = _ed25519(material) if kind == b"ed25519" else _rsa(material)
    if isinstance(public, KeyProblem):
        return public
    bits = 256 if isinstance(public, Ed25519PublicKey) else public.key_size
    return DkimKey(kind.decode(), public, bits, b"y" in flags, b"s" in flags)


def _fault(tags: Tags) -> str:
    """What makes a record no key for mail, or nothing."""
    version = tags.get(b"v")
    if version is not None and (version != b"DKIM1" or next(iter(tags)) != b"v"):
        return f"its version is {shown(version)}" if version != b"DKIM1" else "its v= is not the first tag"
    kind = tags.get(b"k", b"rsa").lower()
    if kind not in (b"rsa", b"ed25519"):
        return f"keys of type {shown(kind)} are not known"
    if b"h" in tags and b"sha256" not in _words(tags[b"h"].lower()):
        return f"it is only for the hashes {shown(tags[b'h'])}"
    if b"s" in tags and not _words(tags[b"s"].lower()) & {b"*", b"email"}:
        return f"it is only for the services {shown(tags[b's'])}"
    return "" if b"p" in tags else "it has no p="


def _words(text: bytes) -> set[bytes]:
    return {word.strip(SPACES) for word in text.split(b":")}


def _ed25519(material: bytes) -> Ed25519PublicKey | KeyProblem:
    if len(material) != 32:  # RFC 8463 4.2: the bare key
        return KeyProblem(PERMERROR, f"an Ed25519 key has 32 octets, this one {len(material)}")
    try:
        return Ed25519PublicKey.from_public_bytes(material)
    except ValueError:
        return KeyProblem(PERMERROR, "its p= is no Ed25519 key")


def _rsa(material: bytes) -> RSAPublicKey | KeyProblem:
    try:
        public = load_der_public_key(material)
    except (ValueError, UnsupportedAlgorithm):
        return KeyProblem(PERMERROR, "its p= is no RSA key")
    if not isinstance(public, RSAPublicKey):
        return KeyProblem(PERMERROR, "its p= is no RSA key")
    bits = public.key_size
    if bits < LEAST_BITS:
        return KeyProblem(POLICY, f"its {bits} bits are too few, {LEAST_BITS} the least (RFC 8301 3.2)")
    if bits > MOST_BITS:
        return KeyProblem(POLICY, f"its {bits} bits are too many, {MOST_BITS} the most")
    if public.public_numbers().e.bit_length() > _EXPONENT_BITS:
        return KeyProblem(POLICY, "its exponent is too large")
    return public


def why_unusable(answer: Answer, kind: str, name: str) -> str:
    """Why nobody can check signatures of `kind` by what DNS has at `name`; "" when they can."""
    found = key_in(answer, kind, name)
    return found.reason if isinstance(found, KeyProblem) else ""


WHY_UNUSABLE: Final[Callable[[Answer, str, str], str]] = why_unusable
