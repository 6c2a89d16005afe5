"""The envelope: who a message is from and for, and what was said about it (RFC 5321 2.3.1).

Frozen and encoded once as JSON into the message's journal frame. What changes later (status,
attempts, due time) is not here but in the spool's rows. `prefix` holds the header lines we add,
apart from the content, which stays the octets that arrived.
"""

from typing import Final

from msgspec import Struct

from postroad.model.address import Mailbox

# RFC 3461 4.1: NOTIFY as a set of bits; 0 means that the parameter was not given.
NOTIFY_NEVER: Final = 1
NOTIFY_SUCCESS: Final = 2
NOTIFY_FAILURE: Final = 4
NOTIFY_DELAY: Final = 8

BODY_7BIT: Final = "7BIT"
BODY_8BITMIME: Final = "8BITMIME"
BODY_BINARYMIME: Final = "BINARYMIME"


class Recipient(Struct, frozen=True, gc=False, omit_defaults=True):
    """One forward-path: `notify` is a set of NOTIFY bits, `orcpt` the ORCPT value as given ("rfc822;..."), in xtext."""

    address: Mailbox
    notify: int = 0
    orcpt: str = ""

    def wants_failure(self) -> bool:
        """True when a failure is to be reported; the default when NOTIFY is absent (RFC 3461 4.1)."""
        return self.notify == 0 or bool(self.notify & NOTIFY_FAILURE)

    def wants_delay(self) -> bool:
        """True when a delay may be reported; left to us when NOTIFY is absent (RFC 3461 4.1)."""
        return self.notify == 0 or bool(self.notify & NOTIFY_DELAY)

    def wants_success(self) -> bool:
        """True only when asked for (RFC 3461 4.1)."""
        return bool(self.notify & NOTIFY_SUCCESS)


class Origin(Struct, frozen=True, gc=False, omit_defaults=True):
    """How a message came in: peer, HELO name, protocol word (RFC 3848), listener, session, login."""

    ip: str = ""
    port: int = 0
    helo: str = ""
    protocol: str = ""
    listener: str = ""
    session: str = ""
    login: str = ""


class Envelope(Struct, frozen=True, gc=False, omit_defaults=True):
    """One accepted message: times in microseconds since 1970, `size` in octets of content without prefix.

    `ret` is "FULL", "HDRS" or ""; `envid` is in xtext as given (RFC 3461 4.3, 4.4). `eight_bit` tells
    that the content has octets above 127. `message_id` is the header field's value, for the log. Policies have decided
    `tags`, why its recipients are `held` ("": they are not), the name of the `route` they take ("": the first that
    matches), and what every hop must at least do about `tls` ("required"; the sender may ask for "requiretls" or
    "optional", see model/route.py). `cuts` are the octets of the content, from and up to, that do not leave: ascending,
    and none touches the next (decision 32).
    """

    id: str
    sender: Mailbox
    recipients: tuple[Recipient, ...]
    arrived: int
    size: int
    origin: Origin = Origin()
    prefix: str = ""
    body: str = BODY_7BIT
    eight_bit: bool = False
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""
    message_id: str = ""
    tags: tuple[str, ...] = ()
    held: str = ""
    route: str = ""
    tls: str = ""
    cuts: tuple[tuple[int, int], ...] = ()
