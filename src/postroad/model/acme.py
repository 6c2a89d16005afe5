"""What is wanted of a CA that speaks ACME, and by which account, as values. No key and no secret is ever shown.

RFC 8555 7.1.2 (accounts), RFC 8555 7.3.4 (those that the CA knows already).
"""

from msgspec import Struct


class Wanted(Struct, frozen=True):
    """What is wanted, as `[acme]` says; `kid` and `secret` bind the account to one that the CA knows already."""

    directory: str
    names: tuple[str, ...]
    contact: tuple[str, ...] = ()
    challenge: str = "tls-alpn-01"
    key: str = "ecdsa-p256"
    ca: str = ""
    kid: str = ""
    secret: str = ""

    def __repr__(self) -> str:
        """Without secrets."""
        return f"Wanted({self.directory!r}, {self.names!r})"

    __str__ = __repr__

    @property
    def plan(self) -> str:
        """What a failure is about: another one deserves another try."""
        return " ".join((self.directory, self.challenge, self.kid, self.ca, *self.names))


class Account(Struct, frozen=True):
    """Our account with a CA: its key in PEM, and its address, "" as long as the CA has not confirmed it."""

    key: str
    uri: str = ""
    contact: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Without the key."""
        return f"Account({self.uri!r})"

    __str__ = __repr__
