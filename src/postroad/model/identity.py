"""Who a peer has proved to be: by a login, and by the encryption of its connection.

Values only: how it was proved stands in `auth` and in `net/tls.py`. Nothing here is a credential.
"""

from msgspec import Struct


class Identity(Struct, frozen=True):
    """A login that was proved: `source` knows it, `addresses` are what it may send as, `scopes` what it may do.

    No addresses and no scopes mean that the source says nothing about them.
    """

    login: str
    source: str
    mechanism: str = ""
    addresses: tuple[str, ...] = ()
    groups: frozenset[str] = frozenset()
    scopes: tuple[str, ...] = ()


class TlsState(Struct, frozen=True):
    """What is known of an encrypted connection; `names` are those of the client's certificate (SAN)."""

    version: str
    cipher: str
    bits: int
    sni: str = ""
    fingerprint: str = ""
    subject: str = ""
    names: tuple[str, ...] = ()
    is_verified: bool = False
