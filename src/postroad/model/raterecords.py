"""Records of what `[[rates]]` limit. Everybody imports them from `records`.

What was refused has a record of its own, with the exact reason; these tell once what many refusals have in common.
"""

from postroad.model.record import Record


class RateReached(Record, frozen=True, tag="RateReached"):
    """An account of `[[rates]]` is used up; told once until it has room again, at `until` (0: never for so much).

    `limit` is as in the configuration, `account` whose it is, `counted` what is limited, `used` how much of that is
    counted, and `wanted` came on top; `action` is what becomes of it: defer or hold.
    """

    rate: str
    limit: str
    counted: str
    account: str
    action: str
    used: int
    wanted: int
    until: int


class CountsLost(Record, frozen=True, tag="CountsLost"):
    """The server that several nodes count `[[rates]]` in does not answer: this node counts for itself meanwhile."""

    server: str
    reason: str


class CountsFound(Record, frozen=True, tag="CountsFound"):
    """The server that several nodes count `[[rates]]` in answers again, after `seconds`."""

    server: str
    seconds: float
