"""Records of DNS: whether what it calls authentic was validated.

Everybody imports them from `records`. RFC 7672 2.1.1.
"""

from postroad.model.record import Record


class ValidationProved(Record, frozen=True, tag="ValidationProved"):
    """The resolver was asked and does validate: TLSA records count (DANE). Told at first, and when it is so again."""

    reason: str


class ValidationRefuted(Record, frozen=True, tag="ValidationRefuted"):
    """The resolver calls answers authentic and does not validate: TLSA records are not asked for (DANE), and why."""

    reason: str
