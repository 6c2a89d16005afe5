"""Spans: the parts of one message's trace, as values with ids that everybody computes alike (pure).

The ids of a trace and of its root come from the queue id, which holds the time of arrival and a number of the node:
so every process, before and after a restart, adds to the same trace without asking another. The id of another span
comes from what it tells, so that one that is sent twice is the same span. Sizes are those of W3C Trace Context; the
part of all traces that is kept is chosen as OpenTelemetry's TraceIdRatioBased does, by the trace id's last octets.
"""

from collections.abc import Mapping
from enum import IntEnum
from hashlib import sha256
from types import MappingProxyType
from typing import Final

from msgspec import Struct

Value = str | int | float | bool
Attributes = Mapping[str, Value]
NOTHING: Final[Attributes] = MappingProxyType({})


class SpanKind(IntEnum):
    """Who asked whom, with the numbers of the protocol."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4


class Place(Struct, frozen=True, gc=False):
    """One span of one trace."""

    trace: bytes
    span: bytes


class Event(Struct, frozen=True):
    """Something that happened at one instant, in microseconds since 1970."""

    at: int
    name: str
    attributes: Attributes = NOTHING


class Span(Struct, frozen=True, kw_only=True):
    """From `start` to `end`, in microseconds since 1970; `parent` is empty for a root, `error` for what went well."""

    place: Place
    parent: bytes = b""
    name: str
    kind: SpanKind
    start: int
    end: int
    attributes: Attributes = NOTHING
    events: tuple[Event, ...] = ()
    links: tuple[Place, ...] = ()
    error: str = ""


def root_of(queue_id: str) -> Place:
    """Where the whole message has its span."""
    digest = sha256(b"postroad trace " + queue_id.encode(errors="replace")).digest()
    return Place(digest[:16], digest[16:24])


def part_of(root: Place, *facts: object) -> Place:
    """Where a part of the message has its span: `facts` tell it from all other parts."""
    text = "\0".join(map(str, facts)).encode(errors="replace")
    return Place(root.trace, sha256(root.trace + text).digest()[:8])


def is_kept(trace: bytes, ratio: float) -> bool:
    """True when the trace is among the part `ratio` of all traces."""
    return int.from_bytes(trace[8:]) < ratio * (1 << 64)
