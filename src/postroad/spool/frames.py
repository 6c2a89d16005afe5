"""The journal's frames: how accepted mail and outcomes look as octets. Pure: no I/O.

A frame is a header of 52 octets, a head (JSON) and a body (content as received). The header carries
the lengths and a CRC-32 of head, body and of itself, so damage costs the frame it hits. `mark`, eight
random octets of this spool, is part of every header: content that holds what looks like a frame, sent
by somebody who wishes us to read it as one after damage, never has it.
"""

import struct
from enum import IntEnum
from typing import Final
from zlib import crc32

import msgspec
from msgspec import Struct

from postroad.model.envelope import Envelope

MAGIC: Final = b"PRf\xf1"  # the last octet is in no UTF-8 text
VERSION: Final = 1
MARK_LENGTH: Final = 8
# magic, mark, version, kind, reserved, queue id, head length, body length, CRC of head, of body | CRC of this header
_FIELDS: Final = struct.Struct("<4s8sBBH13s3xIIII")
_CRC: Final = struct.Struct("<I")
HEADER_LENGTH: Final = _FIELDS.size + _CRC.size
NO_ID: Final = b"0" * 13


class Kind(IntEnum):
    """What a frame holds."""

    SEGMENT = 1  # the first frame of a segment: `SegmentHead`
    ARRIVAL = 2  # an accepted message, or one copied by compaction: `Arrival`
    OUTCOMES = 3  # decisions about recipients: `Outcomes`


class SegmentHead(Struct, frozen=True, gc=False):
    """Begins segment `number`. Of segment `previous` only `trusted` octets count: the rest was never promised."""

    number: int
    previous: int = -1
    trusted: int = 0


class FileRef(Struct, frozen=True, gc=False):
    """Content in a file of its own, named by the queue id: its size and CRC-32."""

    size: int
    crc: int


class State(Struct, frozen=True, gc=False, array_like=True):
    """State of recipient `index`, carried along when a message is copied; `due` and `deadline` as in `Work`.

    `lane` is set when it was moved there for good; else the routes decide.
    """

    index: int
    status: int
    due: int = 0
    deadline: int = 0
    attempts: int = 0
    warned: bool = False
    reply: str = ""
    lane: str = ""
    trail: str = ""


class Arrival(Struct, frozen=True, gc=False, omit_defaults=True):
    """Head of an ARRIVAL frame. `states` is empty when the message just arrived."""

    envelope: Envelope
    file: FileRef | None = None
    states: tuple[State, ...] = ()


class Row(Struct, frozen=True, gc=False, array_like=True):
    """One decision in an OUTCOMES frame; the fields are absolute, so applying it twice is harmless."""

    id: str
    index: int
    status: int
    due: int = 0
    deadline: int = 0
    attempts: int = 0
    warned: bool = False
    reply: str = ""
    lane: str = ""
    trail: str = ""

    @property
    def state(self) -> State:
        """What it makes of its recipient."""
        return State(
            self.index,
            self.status,
            self.due,
            self.deadline,
            self.attempts,
            self.warned,
            self.reply,
            self.lane,
            self.trail,
        )


class Outcomes(Struct, frozen=True, gc=False, omit_defaults=True):
    """Head of an OUTCOMES frame. It counts only when the arrivals of all `reports` (DSNs) were found before it."""

    rows: tuple[Row, ...]
    reports: tuple[str, ...] = ()


class Header(Struct, frozen=True, gc=False):
    """A frame's header, read."""

    kind: int
    id: str
    head_length: int
    body_length: int
    head_crc: int
    body_crc: int

    @property
    def length(self) -> int:
        """Octets of the whole frame."""
        return HEADER_LENGTH + self.head_length + self.body_length

    def fits_head(self, head: bytes) -> bool:
        """True when `head` is what was written."""
        return len(head) == self.head_length and crc32(head) == self.head_crc


_encoder: Final = msgspec.json.Encoder()
encode_json: Final = _encoder.encode
decode_arrival: Final = msgspec.json.Decoder(Arrival).decode
decode_outcomes: Final = msgspec.json.Decoder(Outcomes).decode
decode_segment: Final = msgspec.json.Decoder(SegmentHead).decode


def pack_header(mark: bytes, kind: int, queue_id: bytes, head: bytes, body: bytes) -> bytes:
    """The header for `head` and `body`; `queue_id` are 13 ASCII octets."""
    fields = _FIELDS.pack(
        MAGIC, mark, VERSION, kind, 0, queue_id, len(head), len(body), crc32(head), crc32(body) if body else 0
    )
    return fields + _CRC.pack(crc32(fields))


def read_header(buffer: bytes | memoryview, offset: int, mark: bytes) -> Header | None:
    """The header at `offset`, or None when there is no valid one of this spool."""
    end = offset + HEADER_LENGTH
    if len(buffer) < end:
        return None
    magic, found, version, kind, _, queue_id, head, body, head_crc, body_crc = _FIELDS.unpack_from(buffer, offset)
    if magic != MAGIC or found != mark or version != VERSION:
        return None
    if _CRC.unpack_from(buffer, end - 4)[0] != crc32(buffer[offset : end - 4]) or not queue_id.isascii():
        return None
    return Header(kind, queue_id.decode("ascii"), head, body, head_crc, body_crc)


def find_mark(start: bytes) -> bytes | None:
    """The mark of the frame that `start` begins with, or None; for a spool whose own note of it is gone."""
    mark = start[len(MAGIC) : len(MAGIC) + MARK_LENGTH]
    return mark if read_header(start, 0, mark) else None


def pack_segment(mark: bytes, head: SegmentHead) -> bytes:
    """The whole first frame of a segment."""
    text = encode_json(head)
    return pack_header(mark, Kind.SEGMENT, NO_ID, text, b"") + text


def final_row(queue_id: str, index: int, status: int) -> str:
    """The short form of a `Row` for a recipient that needs nothing more."""
    return '["%s",%d,%d]' % (queue_id, index, status)  # noqa: UP031  quicker than an f-string for an IntEnum


def outcomes_head(rows: list[str], reports: tuple[str, ...] = ()) -> bytes:
    """Head of an OUTCOMES frame from `rows` that are JSON already."""
    tail = f'],"reports":{encode_json(reports).decode()}}}' if reports else "]}"
    return f'{{"rows":[{",".join(rows)}{tail}'.encode()
