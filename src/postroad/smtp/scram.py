"""SCRAM, the server's side: keys from passwords, and the exchange that proves one without sending it. Pure.

RFC 5802 (SCRAM-SHA-1 and its messages), RFC 7677 (SCRAM-SHA-256), RFC 5929 and RFC 9266 (channel bindings). A client
whose messages are not of the form, or do not fit together, raises `SaslError`; a proof that matches no key is only
wrong. Invariant: keys are compared in constant time, and the look at one of many does not tell which it was.
"""

import hmac
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Mapping, Sequence
from hashlib import new, pbkdf2_hmac
from typing import Final

from msgspec import Struct

from postroad.model.errors import SaslError
from postroad.smtp.saslprep import prepare

NONCE_LIMIT: Final = 512  # characters of a client's nonce
SHA1: Final = "sha1"
SHA256: Final = "sha256"


class KeyPair(Struct, frozen=True, gc=False):
    """StoredKey and ServerKey of one password (RFC 5802 3); good for proving it, not for logging in with it."""

    stored_key: bytes
    server_key: bytes

    def __repr__(self) -> str:
        """Nothing of what they are."""
        return "KeyPair(hidden)"


class Stored(Struct, frozen=True, gc=False):
    """What is kept of a login's passwords: their keys share `salt` and `iterations`."""

    salt: bytes
    iterations: int
    keys: tuple[KeyPair, ...]


class ClientFirst(Struct, frozen=True, gc=False):
    """The client's first message: `binding` is the type of its channel binding, or "y" or "n" (RFC 5802 7)."""

    binding: str
    header: bytes
    authorization: str
    login: str
    nonce: str
    bare: bytes


def salted_password(password: str, salt: bytes, iterations: int, hash_name: str = SHA256) -> bytes:
    """SaltedPassword (RFC 5802 3): slow by intent, and it lets other threads run."""
    return pbkdf2_hmac(hash_name, prepare(password).encode(), salt, iterations)


def key_pair(salted: bytes, hash_name: str = SHA256) -> KeyPair:
    """The keys of a password from `salted_password` (RFC 5802 3)."""
    client_key = hmac.digest(salted, b"Client Key", hash_name)
    return KeyPair(new(hash_name, client_key).digest(), hmac.digest(salted, b"Server Key", hash_name))


def parse_first(message: bytes) -> ClientFirst:
    """The client's first message."""
    binding, comma, rest = message.partition(b",")
    authorization, second, bare = rest.partition(b",")
    if not (comma and second):
        raise SaslError("the first message has no GS2 header")
    flag = binding.decode("ascii", "replace")
    if flag.startswith("p="):
        flag = flag[2:]
        if len(flag) < 2:
            raise SaslError("the channel binding has no type")
    elif flag not in ("y", "n"):
        raise SaslError("the GS2 header has no flag of channel binding")
    if authorization and not authorization.startswith(b"a="):
        raise SaslError("the GS2 header has something else than an authorization identity")
    fields = bare.split(b",")
    if len(fields) < 2 or not fields[0].startswith(b"n=") or not fields[1].startswith(b"r="):
        # Mandatory extensions ("m=") come first, and we know none (RFC 5802 5.1).
        raise SaslError("the first message has no name and nonce")
    nonce = _text(fields[1][2:])
    if not 0 < len(nonce) <= NONCE_LIMIT or not nonce.isascii() or not nonce.isprintable():
        raise SaslError("the client's nonce is empty, too long or not printable")
    header = message[: len(message) - len(bare)]
    return ClientFirst(flag, header, _name(authorization[2:]), _name(fields[0][2:]), nonce, bare)


def server_first(first: ClientFirst, nonce: str, stored: Stored) -> bytes:
    """The server's first message, with our part of the nonce behind the client's."""
    return f"r={first.nonce}{nonce},s={b64encode(stored.salt).decode()},i={stored.iterations}".encode()


class Verifier:
    """Judges the client's final message."""

    def __init__(self, hash_name: str, first: ClientFirst, challenge: bytes, bindings: Mapping[str, bytes]) -> None:
        """After `challenge` was sent; `bindings` are the connection's channel bindings by type."""
        self._hash = hash_name
        self._first = first
        self._challenge = challenge
        self._binding = bindings.get(first.binding, b"")

    def judge(self, message: bytes, keys: Sequence[KeyPair]) -> tuple[int, bytes]:
        """Which of `keys` the final message proves, and the server's final message; (-1, b"") for none."""
        bare, mark, proof = message.rpartition(b",p=")
        fields = bare.split(b",")
        if not mark or len(fields) < 2 or not fields[0].startswith(b"c=") or not fields[1].startswith(b"r="):
            raise SaslError("the final message has no channel binding, nonce and proof")
        nonce = self._challenge.partition(b",")[0]
        if not hmac.compare_digest(fields[1], nonce):
            raise SaslError("the final message has another nonce")
        if not hmac.compare_digest(_decode(fields[0][2:]), self._first.header + self._binding):
            raise SaslError("the channel binding is another one: somebody may be in between")
        auth = b",".join((self._first.bare, self._challenge, bare))
        octets = _decode(proof)
        found, answer = -1, b""
        for place, pair in enumerate(keys):
            signature = hmac.digest(pair.stored_key, auth, self._hash)
            if len(octets) != len(signature):
                raise SaslError("the proof has not the length of one")
            client_key = bytes(a ^ b for a, b in zip(octets, signature, strict=True))
            if hmac.compare_digest(new(self._hash, client_key).digest(), pair.stored_key):
                found = place
                answer = b"v=" + b64encode(hmac.digest(pair.server_key, auth, self._hash))
        return found, answer


def _decode(text: bytes) -> bytes:
    try:
        return b64decode(text, validate=True)
    except Error:
        raise SaslError("a field is not base64") from None


def _text(octets: bytes) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise SaslError("a message is not UTF-8") from None


def _name(octets: bytes) -> str:
    """A saslname: "=2C" is a comma and "=3D" an equals sign, any other "=" is an error (RFC 5802 5.1)."""
    text = _text(octets)
    plain = text.replace("=2C", ",").replace("=3D", "=")
    if plain.count("=") != text.count("=3D") or "\0" in plain:
        raise SaslError("a name is not a saslname")
    return prepare(plain)
