"""A SCRAM client of our own, from RFC 5802 alone: it shares no code with the server's side."""

import hashlib
import hmac
from base64 import b64decode, b64encode
from typing import Final

NONCE: Final = "clientnonce"


class ScramClient:
    """One exchange; `binding` "" is without channel binding."""

    def __init__(self, login: str, password: str, hash_name: str, *, binding: str = "", data: bytes = b"") -> None:
        self._hash = hash_name
        self._password = password
        self._header = f"p={binding},," if binding else "n,,"
        self._data = data
        self._bare = f"n={login.replace('=', '=3D').replace(',', '=2C')},r={NONCE}"
        self._proof = b""

    def first(self) -> bytes:
        """The client's first message."""
        return f"{self._header}{self._bare}".encode()

    def final(self, challenge: bytes) -> bytes:
        """The client's final message after the server's first."""
        nonce, salt, rounds = challenge.decode().split(",")
        channel = b64encode(self._header.encode() + self._data).decode()
        bare = f"c={channel},{nonce}"
        salted = hashlib.pbkdf2_hmac(self._hash, self._password.encode(), b64decode(salt[2:]), int(rounds[2:]))
        client_key = hmac.digest(salted, b"Client Key", self._hash)
        stored_key = hashlib.new(self._hash, client_key).digest()
        auth = f"{self._bare},{challenge.decode()},{bare}".encode()
        signature = hmac.digest(stored_key, auth, self._hash)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self._proof = hmac.digest(hmac.digest(salted, b"Server Key", self._hash), auth, self._hash)
        return f"{bare},p={b64encode(proof).decode()}".encode()

    def is_server_proved(self, message: bytes) -> bool:
        """Whether the server's final message proves that it knows the keys."""
        return message == b"v=" + b64encode(self._proof)
