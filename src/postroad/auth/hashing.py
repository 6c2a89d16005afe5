"""How hashes of passwords are had: by a library that is imported only when somebody logs in or is given a password.

The other end is auth/passwords.py.
"""

from typing import Final, Protocol

from postroad.model.late import Late


class Hashing(Protocol):
    """Makes and verifies hashes of passwords; both are slow by intent, and belong into a thread."""

    def hash(self, secret: str) -> str:
        """A new hash of `secret`."""

    def verify(self, hashed: str, secret: str) -> bool:
        """Whether `hashed` is a hash of `secret`; a damaged hash is of nothing."""


HASHING: Final = Late[Hashing]("postroad.auth.passwords", "ARGON2")
