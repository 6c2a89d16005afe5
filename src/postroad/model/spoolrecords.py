"""What the spool has to tell of itself: what it found at the start, damage, and room on the disk.

Part of `records`, which is what everybody imports. Accepted mail is never lost by any of it, or it says where it lies.
"""

from postroad.model.record import Record


class SpoolRecovered(Record, frozen=True, tag="SpoolRecovered"):
    """The spool is open: what start-up found."""

    messages: int
    replayed: int
    drafts_swept: int
    damaged: int
    seconds: float


class SpoolDamaged(Record, frozen=True, tag="SpoolDamaged"):
    """Octets in the spool could not be read and were set aside at `aside`, never dropped."""

    journal: str
    segment: int
    offset: int
    length: int
    reason: str
    aside: str


class SpoolFull(Record, frozen=True, tag="SpoolFull"):
    """New mail gets 452 4.3.1: the disk is full or under its free-space floor."""

    free: int
    floor: int
    reason: str


class SpoolHasRoom(Record, frozen=True, tag="SpoolHasRoom"):
    """New mail is taken again after `SpoolFull`."""

    free: int


class SpoolFaulted(Record, frozen=True, tag="SpoolFaulted"):
    """Writing to the spool failed (senders got 451), or reading: mail waits. Nothing is lost."""

    reason: str


class SpoolMended(Record, frozen=True, tag="SpoolMended"):
    """Mail that waits is fetched from the spool again, after a `SpoolFaulted`."""
