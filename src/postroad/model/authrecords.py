"""Records about who logged in, and who did not. Everybody imports them from `records`.

Invariant: no credential is in any of them, nor in a reason.
"""

from postroad.model.envelope import Origin
from postroad.model.record import Record


class Authenticated(Record, frozen=True, tag="Authenticated"):
    """A peer proved by `mechanism` that it is `login`, which `source` knows; it took `seconds`."""

    origin: Origin
    login: str
    mechanism: str
    source: str
    seconds: float


class AuthFailed(Record, frozen=True, tag="AuthFailed"):
    """A log-in came to nothing: `reason` is exact, the peer was given `code`; `source` is who said so, if anybody."""

    origin: Origin
    login: str
    mechanism: str
    source: str
    reason: str
    code: int
    seconds: float
