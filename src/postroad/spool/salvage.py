"""What compaction copies: the messages of a segment with their state, damaged ones as far as they can be read.

A damaged message must not pin its segment for ever. Its octets are set aside, and what is left of it goes on:
held, with the reason, its content (in a file) still failing its CRC, so nobody takes it for whole.
"""

import os
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from postroad.model.address import Mailbox, parse_path
from postroad.model.envelope import Envelope, Recipient
from postroad.model.errors import AddressError
from postroad.model.records import SpoolDamaged
from postroad.model.work import Place, Status
from postroad.spool.damage import Damage
from postroad.spool.disk import write_all
from postroad.spool.frames import Arrival, FileRef, State, decode_arrival
from postroad.spool.index import Index, select
from postroad.spool.leases import LeasedRow, set_aside
from postroad.spool.reading import Reader, Unreadable

PORTION_MESSAGES: Final = 256
PORTION_OCTETS: Final = 4 << 20
_MESSAGES: Final = """SELECT num, id, offset, length, sender, size, arrived FROM message INDEXED BY message_place
    WHERE journal = ? AND segment = ? AND offset > ? ORDER BY offset LIMIT ?"""
_ADDRESSES: Final = "SELECT address FROM recipient WHERE num = ? ORDER BY idx"
_STATES: Final = """SELECT r.idx, r.status, r.due, coalesce(r.deadline, 0), r.attempts, r.warned, r.reply,
    CASE WHEN r.moved THEN l.name ELSE '' END, coalesce(t.trail, '')
    FROM recipient AS r JOIN lane AS l ON l.id = r.lane LEFT JOIN trail AS t ON t.num = r.num AND t.idx = r.idx
    WHERE r.num = ? ORDER BY r.idx"""


class _Row(NamedTuple):
    num: int
    id: str
    offset: int
    length: int
    sender: str
    size: int
    arrived: int


class Copy(Struct):
    """A message to be copied: where it lies, its head and body, the index's state of its recipients."""

    num: int
    id: str
    place: Place
    arrival: Arrival
    body: bytes
    states: list[State]


def copies_of(
    index: Index, reader: Reader, damage: Damage, start: tuple[str, int, int]
) -> tuple[list[Copy], list[SpoolDamaged]]:
    """Some of the live messages behind `start`, which is (journal, segment, offset); none: that was all."""
    journal, segment, after = start
    copies: list[Copy] = []
    records: list[SpoolDamaged] = []
    octets = 0
    for row in select(index.db, _Row, _MESSAGES, (journal, segment, after, PORTION_MESSAGES)):
        num, queue_id, offset, length, sender, size, arrived = row
        place = Place(journal, segment, offset, length)
        addresses = [one[0] for one in select(index.db, tuple[str], _ADDRESSES, (num,))]
        states = select(index.db, State, _STATES, (num,))
        frame = reader.frame(place)
        if isinstance(frame, Unreadable) or frame.damage == "head":
            reason = frame.reason if isinstance(frame, Unreadable) else "the frame's head is damaged"
            envelope = _envelope(queue_id, sender, addresses, size, arrived)
            copy = Copy(num, queue_id, place, Arrival(envelope, FileRef(size, 0)), b"", states)
        else:
            reason = "the content is damaged" if frame.damage else ""
            copy = Copy(num, queue_id, place, decode_arrival(frame.head), frame.body, states)
            if frame.damage:
                _keep_apart(reader, copy, frame.header.body_crc)
        if reason:
            records.append(damage.octets(journal, segment, offset, length, reason))
            set_aside(index, num, reason)
            copy.states = [_held(state, reason) for state in states]
        copies.append(copy)
        octets += length
        if octets >= PORTION_OCTETS:
            break
    return copies, records


def envelope_of(index: Index, row: LeasedRow) -> Envelope:
    """What the index knows of the envelope of a message whose frame cannot be read."""
    addresses = [one[0] for one in select(index.db, tuple[str], _ADDRESSES, (row.num,))]
    query = "SELECT sender, size, arrived FROM message WHERE num = ?"
    sender, size, arrived = select(index.db, tuple[str, int, int], query, (row.num,))[0]
    return _envelope(row.id, sender, addresses, size, arrived)


def _keep_apart(reader: Reader, copy: Copy, crc: int) -> None:
    """Damaged content goes into a file that still claims the CRC it should have."""
    disk, path = reader.disk, reader.layout.file(copy.id)
    fd = disk.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        write_all(disk, fd, [copy.body], 0)
        disk.fdatasync(fd)
    finally:
        disk.close(fd)
    disk.sync_folder(reader.layout.content)
    copy.arrival = Arrival(copy.arrival.envelope, FileRef(len(copy.body), crc))
    copy.body = b""


def _held(state: State, reason: str) -> State:
    if state.status >= Status.DELIVERED:
        return state
    return msgspec.structs.replace(state, status=int(Status.HELD), reply=reason)


def _envelope(queue_id: str, sender: str, recipients: list[str], size: int, arrived: int) -> Envelope:
    """What the index knows of an envelope that cannot be read."""
    return Envelope(queue_id, _mailbox(sender), tuple(Recipient(_mailbox(text)) for text in recipients), arrived, size)


def _mailbox(text: str) -> Mailbox:
    try:
        return parse_path(text.encode(), utf8=True)
    except AddressError:
        return Mailbox(text, text, "")
