"""What became of one attempt for one recipient: delivered, deferred, failed, or held because a route says so.

Only a proven end is final; everything else is deferred and tried again. `scope` says how far an
outcome applies, so that a dead host is not blamed on a recipient. RFC 5321 4.5.4, 6.1.
"""

from enum import Enum

from msgspec import Struct

from postroad.model.reply import Reply
from postroad.model.route import Target
from postroad.model.security import Secured


class Scope(Enum):
    """How far an outcome applies."""

    RECIPIENT = "recipient"
    MESSAGE = "message"
    HOST = "host"  # this target; another one of the route may do better
    NEXT_HOP = "next hop"  # the whole lane: back off


class Delivered(Struct, frozen=True, gc=False):
    """The next hop took responsibility; `dsn_passed`: reporting success is its part (RFC 3461 5.2.2).

    `source` is the egress source it was sent from, "" for the system's choice, here and in the others. `secured` says
    what TLS was demanded and whether it was verified; None in plain text where nothing else was asked for.
    """

    reply: Reply
    target: Target | None = None
    dsn_passed: bool = False
    tls: str = ""
    source: str = ""
    secured: Secured | None = None


class Deferred(Struct, frozen=True, gc=False):
    """Not now: `reply` is the peer's when `command` names what it answers, else our own words.

    `original` is what the peer said where a rule gave it another meaning; `pause`, in seconds, is when such a rule
    wants the next try.
    """

    reply: Reply
    scope: Scope = Scope.RECIPIENT
    target: Target | None = None
    command: str = ""
    source: str = ""
    original: str = ""
    pause: float = 0.0


class Failed(Struct, frozen=True, gc=False):
    """Never: the recipient is final. Fields as in `Deferred`."""

    reply: Reply
    scope: Scope = Scope.RECIPIENT
    target: Target | None = None
    command: str = ""
    source: str = ""
    original: str = ""


Outcome = Delivered | Deferred | Failed


class Held(Struct, frozen=True, gc=False):
    """No attempt before somebody releases the recipient, because its route says so; `reason` in words for people."""

    reason: str


Decided = Outcome | Held  # what may become of a recipient whose turn it is
