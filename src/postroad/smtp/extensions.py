"""EHLO keywords we offer, built once for each listener.

SIZE RFC 1870, PIPELINING RFC 2920, 8BITMIME RFC 6152, SMTPUTF8 RFC 6531, CHUNKING and BINARYMIME
RFC 3030, DSN RFC 3461, AUTH RFC 4954, STARTTLS RFC 3207 4, REQUIRETLS RFC 8689 2, ENHANCEDSTATUSCODES RFC 2034,
LIMITS RFC 9422, HELP RFC 5321 4.1.1.8.
"""

from functools import lru_cache

from msgspec import Struct
from msgspec.structs import force_setattr, replace

from postroad.smtp import replies
from postroad.smtp.xclient import XCLIENT


class Offer(Struct, frozen=True, gc=False):
    """What one listener offers and enforces; sizes in octets, counts per session or transaction.

    `starttls`: TLS can be started; `needs_tls`: and must be, before anything else; `is_secured`: it has been. `ehlo`
    and `helo` are the whole answers to these commands, encoded once.
    """

    hostname: str
    message_size: int
    recipients: int
    messages: int
    command_line: int
    errors: int
    junk: int
    normalise: bool = False
    xclient: bool = False
    starttls: bool = False
    needs_tls: bool = False
    is_secured: bool = False
    auth: bool = False
    auth_required: bool = False
    ehlo: bytes = b""
    helo: bytes = b""

    def __post_init__(self) -> None:
        force_setattr(self, "ehlo", replies.hello(self.hostname, self.keywords()).encode())
        force_setattr(self, "helo", replies.hello(self.hostname, ()).encode())

    def ehlo_with(self, extras: tuple[str, ...]) -> bytes:
        """The answer to EHLO with keywords that are not for everybody."""
        return _hello(self.hostname, (*self.keywords(), *extras))

    def keywords(self) -> tuple[str, ...]:
        """The keywords in the order they are sent."""
        tls = ("STARTTLS",) if self.starttls else ("REQUIRETLS",) if self.is_secured else ()
        return (
            "PIPELINING",
            f"SIZE {self.message_size}",
            "8BITMIME",
            "SMTPUTF8",
            "CHUNKING",
            "BINARYMIME",
            "DSN",
            "ENHANCEDSTATUSCODES",
            f"LIMITS RCPTMAX={self.recipients} MAILMAX={self.messages}",
            *tls,
            "HELP",
            *((XCLIENT,) if self.xclient else ()),
        )


def under_tls(offer: Offer) -> Offer:
    """What is offered once TLS has begun (RFC 3207 4.2: not STARTTLS again)."""
    return replace(offer, starttls=False, needs_tls=False, is_secured=True)


@lru_cache(256)  # a pure function of its arguments; most clients get the same
def _hello(hostname: str, keywords: tuple[str, ...]) -> bytes:
    return replies.hello(hostname, keywords).encode()
