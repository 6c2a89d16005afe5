"""Who a client has proved to be, and what its TLS connection says of it.

Both are found out once for a connection, by AUTH (RFC 4954) and by the handshake (RFC 3207, RFC 8314 3), and never
change after that but by another AUTH or a new EHLO behind STARTTLS. Policies read them; only the listener makes them.
"""

from msgspec import Struct

from postroad.model.address import Mailbox


class Identity(Struct, frozen=True):
    """A login that was proved: `source` names where it is known from, `mechanism` how it was proved (RFC 4954 4).

    `addresses` are those it may send as, "" as local part for all of a domain; `groups` are names or distinguished
    names as the source has them; `scopes` are what an app password or token is limited to, none for everything.
    """

    login: str
    source: str
    mechanism: str = ""
    addresses: tuple[Mailbox, ...] = ()
    groups: frozenset[str] = frozenset()
    scopes: tuple[str, ...] = ()


class TlsState(Struct, frozen=True):
    """What a TLS handshake agreed on: `bits` of the cipher, `sni` the name the client asked for, "" without.

    `fingerprint` is the SHA-256 of the client's certificate in hexadecimal, `subject` and `names` (its subject
    alternative names, as "DNS:..." or "email:...") are of use only when it `is_verified`.
    """

    version: str
    cipher: str
    bits: int
    sni: str = ""
    fingerprint: str = ""
    subject: str = ""
    names: tuple[str, ...] = ()
    is_verified: bool = False
