"""Hashes of passwords by argon2id; imported once there are identity sources.

Invariant: a password that is wrong, or a hash that is damaged, is False and nothing else.
"""

from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from postroad.auth.hashing import Hashing
from postroad.smtp.saslprep import prepare

MEMORY: Final = 19 << 10  # KiB: 19 MiB, with two passes and one lane, is what OWASP asks for
PASSES: Final = 2
LANES: Final = 1


class Argon2:
    """The hashes of argon2id; slow by intent, and others run meanwhile."""

    def __init__(self) -> None:
        """With the cost for new hashes; old ones say theirs themselves."""
        self._hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY, parallelism=LANES)

    def hash(self, secret: str) -> str:
        """A new hash of `secret`."""
        return self._hasher.hash(prepare(secret))

    def verify(self, hashed: str, secret: str) -> bool:
        """Whether `hashed` is a hash of `secret`."""
        try:
            return self._hasher.verify(hashed, prepare(secret))
        except (VerificationError, InvalidHashError):
            return False


ARGON2: Final[Hashing] = Argon2()
