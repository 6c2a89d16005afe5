"""When a recipient leaves its lane for the fallback next hop: for an error that says so, or once it is old enough.

What is moved stays moved; a fallback may have a fallback of its own. Pure; times are microseconds since 1970.
"""

from postroad.model.envelope import Envelope
from postroad.model.route import Fallback
from postroad.model.work import Status, Work
from postroad.queue.times import NEVER, microseconds


def moves_at(fallback: Fallback, envelope: Envelope) -> int:
    """When a recipient of `envelope` is old enough to go on at `fallback`."""
    return min(envelope.arrived + microseconds(fallback.after), NEVER)


def falls_back(fallback: Fallback, work: Work, enhanced: str, now: int) -> bool:
    """True when `work`, put off with the code `enhanced` ("" for none), goes on at `fallback`."""
    if work.status is not Status.PENDING or fallback.lane == work.lane:
        return False
    return now >= moves_at(fallback, work.stored.envelope) or (
        enhanced != "" and any(_begins(enhanced, code) for code in fallback.on)
    )


def _begins(enhanced: str, code: str) -> bool:
    """True when `enhanced` is `code` or stands below it: "4.4.1" below "4.4.", but "4.4.17" not below "4.4.1"."""
    return (enhanced + ".").startswith(code if code.endswith(".") else code + ".")
