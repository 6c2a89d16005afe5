"""Keys of the API: who somebody is by what they present, at the same cost whether it is right or wrong. Pure.

Invariant: of a key only its SHA-256 is kept. That is enough because keys are long and random; there is nothing to
guess, so nothing to slow down. Every digest is compared, each in constant time.
"""

import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from msgspec import Struct

from postroad.api.settings import KeySettings
from postroad.model.address import Mailbox
from postroad.routing.patterns import Patterns, compile_patterns

MARK: Final = "sha256:"
SHORTEST: Final = 32  # characters of a key
LONGEST: Final = 512  # what is longer is nobody's key, and is not even hashed


class Scope(Struct, frozen=True, kw_only=True):
    """What the owner of the key `name` may do."""

    name: str
    senders: Patterns
    relay: bool
    inject: bool
    read: bool
    listener: str
    requests: int
    request_size: int

    def may_send_as(self, mailbox: Mailbox) -> bool:
        """True when mail may come from `mailbox`."""
        return self.senders.match(mailbox)


def digest_of(secret: str) -> bytes:
    """The digest in the text of a configured key; ValueError, which does not repeat it, when it is none."""
    if secret.startswith(MARK):
        try:
            digest = bytes.fromhex(secret.removeprefix(MARK))
        except ValueError:
            digest = b""
        if len(digest) != sha256().digest_size:
            raise ValueError(f'what follows "{MARK}" is not the 64 hexadecimal digits of a digest')
        return digest
    if not SHORTEST <= len(secret) <= LONGEST or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ValueError(f"a key is {SHORTEST} to {LONGEST} printable ASCII characters without spaces")
    return sha256(secret.encode()).digest()


def scope_of(name: str, settings: KeySettings, request_size: int) -> Scope:
    """The scope that `settings` describe."""
    return Scope(
        name=name,
        senders=compile_patterns(settings.senders),
        relay=settings.relay,
        inject=settings.inject,
        read=settings.read,
        listener=settings.listener,
        requests=settings.requests,
        request_size=min(settings.request_size, request_size),
    )


class KeyRing:
    """All keys of one configuration."""

    def __init__(self, keys: Mapping[bytes, Scope]) -> None:
        """`keys` are scopes by digest."""
        self._keys = tuple(keys.items())

    def owner(self, presented: str) -> Scope | None:
        """Whose key `presented` is; None when it is nobody's."""
        octets = presented.encode("utf-8", "surrogateescape")
        digest = sha256(octets[:LONGEST]).digest()
        found = None
        for known, scope in self._keys:
            if hmac.compare_digest(digest, known):
                found = scope
        return found if len(octets) <= LONGEST else None


def bearer(header: str) -> str:
    """The key in the value of Authorization (RFC 6750 2.1), "" when there is none."""
    scheme, _, key = header.strip().partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""
