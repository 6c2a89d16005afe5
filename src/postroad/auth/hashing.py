"""What makes and verifies hashes of passwords, for those who are handed one (pure).

The library is imported late, with auth/passwords.py, once there are passwords to be verified.
"""

from typing import Protocol


class Hashing(Protocol):
    """Makes and verifies hashes of passwords; both are slow by intent, and belong into a thread."""

    def hash(self, secret: str) -> str:
        """A new hash of `secret`."""

    def verify(self, hashed: str, secret: str) -> bool:
        """Whether `hashed` is a hash of `secret`; a damaged hash is of nothing."""
