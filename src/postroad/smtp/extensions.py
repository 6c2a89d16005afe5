"""EHLO keywords we offer, built once for each listener.

SIZE RFC 1870, PIPELINING RFC 2920, 8BITMIME RFC 6152, SMTPUTF8 RFC 6531, CHUNKING and BINARYMIME
RFC 3030, DSN RFC 3461, ENHANCEDSTATUSCODES RFC 2034, LIMITS RFC 9422, HELP RFC 5321 4.1.1.8.
"""

from msgspec import Struct

from postroad.smtp import replies


class Offer(Struct, frozen=True, gc=False):
    """What one listener offers and enforces; sizes in octets, counts per session or transaction."""

    hostname: str
    message_size: int
    recipients: int
    messages: int
    command_line: int
    errors: int
    junk: int
    normalise: bool = False

    def keywords(self) -> tuple[str, ...]:
        """The keywords in the order they are sent."""
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
            "HELP",
        )

    def ehlo(self) -> bytes:
        """The whole answer to EHLO, encoded."""
        return replies.hello(self.hostname, self.keywords()).encode()

    def helo(self) -> bytes:
        """The whole answer to HELO, encoded."""
        return replies.hello(self.hostname, ()).encode()
