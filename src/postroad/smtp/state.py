"""States of a server session and the words it knows but does not obey.

The order of commands is RFC 5321 4.1.4; which verb may come in which state is judged by the verb's
method in smtp/server.py.
"""

from enum import IntEnum
from typing import Final


class State(IntEnum):
    """Where the session is; ordered, so that "already in a transaction" is a comparison."""

    BANNER = 0  # nothing said yet
    GREETED = 1  # banner sent, no EHLO or HELO
    READY = 2  # between transactions
    MAIL = 3  # MAIL taken
    RCPT = 4  # a RCPT was taken
    CHUNKS = 5  # between BDAT commands
    DATA = 6  # content until the terminator
    CHUNK = 7  # content of one BDAT
    AUTH = 8  # a challenge was sent, and its response is awaited
    CLOSED = 9


# What RFC 5321 4.1.1 and its extensions name, but is not done here.
NOT_IMPLEMENTED: Final = frozenset((b"EXPN", b"TURN", b"ETRN", b"SEND", b"SOML", b"SAML", b"ATRN"))
# What may come before TLS where that is required (RFC 3207 4).
BEFORE_TLS: Final = frozenset((b"EHLO", b"HELO", b"NOOP", b"RSET", b"QUIT", b"STARTTLS"))
# Octets of a line of AUTH with its CRLF (RFC 4954 4).
AUTH_LINE: Final = 12288
# Lines obeyed before replies are sent and other sessions get their turn: one peer never keeps the others waiting.
LINES_A_TURN: Final = 100
# First words of HTTP requests: a browser, or a page in it, was made to talk to us.
HTTP: Final = frozenset((b"GET", b"POST", b"PUT", b"HEAD", b"CONNECT", b"OPTIONS", b"USER-AGENT:", b"HOST:"))
