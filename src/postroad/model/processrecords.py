"""Records about the processes of one server. Everybody imports them from `records`.

`name` is courier, or that of an edge, which its journal has too. Workers have none.
"""

from postroad.model.record import Record


class ProcessStarted(Record, frozen=True, tag="ProcessStarted"):
    """A process of the server works, `seconds` after it was begun."""

    name: str
    pid: int
    seconds: float


class ProcessLost(Record, frozen=True, tag="ProcessLost"):
    """A process of the server died, or hung and was killed, after `seconds`; another takes its place after `pause`."""

    name: str
    pid: int
    reason: str
    seconds: float
    pause: float = 0.0


class ProcessEnded(Record, frozen=True, tag="ProcessEnded"):
    """A process of the server that was no longer wanted has ended after `seconds`: `reason` is how."""

    name: str
    pid: int
    reason: str
    seconds: float


class WorkFailed(Record, frozen=True, tag="WorkFailed"):
    """A `job` of the worker processes has no result: `cause` is overload, timeout, lost, raised or cancelled."""

    job: str
    cause: str
    reason: str
    seconds: float
