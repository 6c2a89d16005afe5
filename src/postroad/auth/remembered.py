"""Log-ins that were right a moment ago, so that a client that logs in for every message costs no hash each time (pure).

Invariant: what is kept of a password or token is a hash of it under a key that never leaves this process; what was
wrong is not kept at all.
"""

import hmac
from typing import Final

from msgspec import Struct

from postroad.auth.source import Attempt
from postroad.model.identity import Identity

KEY_OCTETS: Final = 32


class Proof(Struct, frozen=True, gc=False):
    """Who it was, and until when that is believed."""

    identity: Identity
    until: float


class Remembered:
    """The log-ins; the oldest makes room."""

    def __init__(self, key: bytes, life: float, size: int) -> None:
        """Remember `size` log-ins for `life` seconds; `key` is random."""
        self._key = key
        self._life = life
        self._size = size
        self._proofs: dict[bytes, Proof] = {}

    def handle(self, kind: str, login: str, secret: str, attempt: Attempt) -> bytes:
        """What a log-in is kept under: all that its answer may depend on."""
        parts = (kind, login, attempt.ip, attempt.listener, attempt.mechanism, str(attempt.is_secure), secret)
        text = "\0".join(parts)  # no part but the last can have NUL
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256")

    def get(self, handle: bytes, now: float) -> Identity | None:
        """Who that was, if it is not too long ago."""
        proof = self._proofs.get(handle)
        if proof is None:
            return None
        if now >= proof.until:
            del self._proofs[handle]
            return None
        return proof.identity

    def put(self, handle: bytes, identity: Identity, now: float) -> None:
        """It was right."""
        if not self._life:
            return
        self._proofs.pop(handle, None)
        while len(self._proofs) >= self._size:
            del self._proofs[next(iter(self._proofs))]
        self._proofs[handle] = Proof(identity, now + self._life)

    def forget(self) -> None:
        """Passwords have changed."""
        self._proofs.clear()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._proofs)
