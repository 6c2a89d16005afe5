"""What sinks of records have to tell of themselves: losses, faults, and that they work again.

Part of `records`, which is what everybody imports. No sink gets its own faults, or they could go round for ever.
"""

from postroad.model.record import Record


class RecordsDropped(Record, frozen=True, tag="RecordsDropped"):
    """A sink of records could not keep up; `count` records were left out, of the sink `sink`, or of the log itself."""

    count: int
    sink: str = ""


class SinkFaulted(Record, frozen=True, tag="SinkFaulted"):
    """The sink of records `sink` does not work, and why; its records wait, and are lost when too many wait."""

    sink: str
    reason: str


class SinkRecovered(Record, frozen=True, tag="SinkRecovered"):
    """The sink of records `sink` works again after `seconds`."""

    sink: str
    seconds: float
