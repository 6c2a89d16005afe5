"""What a server showed in its handshake, octet for octet: its chain, and the digests that pin it.

Python 3.11 gives the chain by a method of the object below `ssl.SSLObject` alone; from 3.13 on it has one of its own.
On a resumed session there may be no chain but the server's own certificate.
"""

import hashlib
import ssl
from collections.abc import Sequence
from typing import Final, Protocol, cast

from postroad.model.late import Late
from postroad.net.tls.certfacts import ReadKey

PUBLIC_KEY: Final = Late[ReadKey]("postroad.net.tls.certificate", "public_key_of")
_DER: Final = 2  # ENCODING_DER of the module below ssl, where alone it has a name


class _Certificate(Protocol):
    def public_bytes(self, form: int, /) -> bytes:
        """The certificate in a form."""


class _Below(Protocol):
    def get_unverified_chain(self) -> Sequence[_Certificate] | None:
        """What the server sent."""


def chain_of(connection: ssl.SSLObject) -> list[bytes]:
    """The certificates that the server sent, its own first, in DER."""
    below = cast(_Below, vars(connection)["_sslobj"])
    return [one.public_bytes(_DER) for one in below.get_unverified_chain() or ()]


def digests_of(certificate: bytes) -> tuple[str, str]:
    """SHA-256 of a certificate in DER and of its public key, in hexadecimal digits."""
    key = PUBLIC_KEY.load()(certificate)
    return hashlib.sha256(certificate).hexdigest(), hashlib.sha256(key).hexdigest()
