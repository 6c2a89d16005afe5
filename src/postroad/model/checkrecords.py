"""Records of checks on strangers that could not be made.

A check that cannot be made decides nothing, so nobody would miss it without these. Everybody imports them from
`records`.
"""

from postroad.model.record import Record


class CheckFaulted(Record, frozen=True, tag="CheckFaulted"):
    """A check could not be made as it should be, such as a block list that refuses to answer; it weighs nothing.

    Told at most once an hour for each `check` and `reason`.
    """

    check: str
    reason: str
    policy: str
