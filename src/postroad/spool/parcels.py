"""What goes into a journal together: messages that come in, decisions, copies; and how a batch of them looks as octets.

A parcel is written whole or not at all, and its callbacks are called once, after the sync that made it durable
(commit.py). Nothing here waits or writes. Pure.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct

from postroad.model.envelope import Envelope
from postroad.model.errors import SpoolError
from postroad.model.work import Change, Place, Stored, Work
from postroad.spool.disk import Buffer
from postroad.spool.frames import (
    HEADER_LENGTH,
    NO_ID,
    Arrival,
    FileRef,
    Kind,
    encode_json,
    outcomes_head,
    pack_header,
)
from postroad.spool.ledger import Plan


class Arriving(Struct, gc=False):
    """A message that comes in: `head` is its frame's. Exactly one of `done` and `failed` is called."""

    envelope: Envelope
    head: bytes
    content: bytes
    plan: Plan
    done: Callable[[Stored, list[Work]], None]
    failed: Callable[[SpoolError], None]
    file: FileRef | None = None


class Report(Struct, gc=False):
    """A DSN of ours on its way in, with the decisions that it tells of."""

    envelope: Envelope
    head: bytes
    content: bytes
    plan: Plan


class Settling(Struct, gc=False):
    """Decisions, and the reports (DSNs) that they brought about."""

    rows: list[str]
    changes: list[Change]
    reports: Sequence[Report]
    done: Callable[[list[tuple[Stored, list[Work]]]], None] | None


class Copying(Struct, gc=False):
    """Messages copied out of an old segment; `done` gets their new places, None when it failed."""

    arrivals: list[tuple[Arrival, bytes]]
    done: Callable[[list[Place] | None], None]


Parcel = Arriving | Settling | Copying


def arrival_head(envelope: Envelope, file: FileRef | None = None) -> bytes:
    """Head of the frame of a message that just arrived."""
    if file is None:
        return b'{"envelope":%b}' % encode_json(envelope)
    return encode_json(Arrival(envelope, file))


class Encoded(Struct):
    """A batch as octets: where each arrival's frame begins in it, and its length."""

    buffers: list[Buffer]
    arrivals: list[tuple[int, int]]
    length: int = 0

    def arrival(self, mark: bytes, queue_id: str, head: bytes, body: bytes) -> None:
        """Add the frame of a message."""
        buffers = self.buffers
        buffers.append(pack_header(mark, Kind.ARRIVAL, queue_id.encode(), head, body))
        buffers.append(head)
        length = HEADER_LENGTH + len(head) + len(body)
        if body:
            buffers.append(body)
        self.arrivals.append((self.length, length))
        self.length += length

    def outcomes(self, mark: bytes, rows: list[str], reports: tuple[str, ...] = ()) -> None:
        """Add a frame of decisions."""
        head = outcomes_head(rows, reports)
        self.buffers += (pack_header(mark, Kind.OUTCOMES, NO_ID, head, b""), head)
        self.length += HEADER_LENGTH + len(head)


def encode(batch: Sequence[Parcel], mark: bytes) -> Encoded:
    """All of `batch` as frames, in order; decisions without reports share a frame."""
    out = Encoded([], [])
    rows: list[str] = []
    for parcel in batch:
        if type(parcel) is Arriving:
            out.arrival(mark, parcel.envelope.id, parcel.head, parcel.content)
        elif type(parcel) is Settling:
            if not parcel.reports:
                rows += parcel.rows
                continue
            if rows:
                out.outcomes(mark, rows)
                rows = []
            for report in parcel.reports:
                out.arrival(mark, report.envelope.id, report.head, report.content)
            out.outcomes(mark, parcel.rows, tuple(report.envelope.id for report in parcel.reports))
        elif type(parcel) is Copying:
            for arrival, body in parcel.arrivals:
                out.arrival(mark, arrival.envelope.id, encode_json(arrival), body)
    if rows:
        out.outcomes(mark, rows)
    return out


def weight(parcel: Parcel) -> int:
    """About how many octets it brings."""
    return len(parcel.content) if type(parcel) is Arriving else 1000
