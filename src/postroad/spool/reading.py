"""Reading accepted mail back: the envelope for a lease, the content for a delivery. On threads.

Every octet is checked against its CRC on the way; what does not fit is an `Unreadable` with its reason, a value,
because one damaged message must never stop the others of its batch.
"""

import errno
import os
from collections.abc import Iterable
from itertools import groupby
from typing import Final

import msgspec
from msgspec import Struct

from postroad.model.work import Place
from postroad.spool.disk import Disk
from postroad.spool.frames import HEADER_LENGTH, Arrival, decode_arrival, read_header
from postroad.spool.layout import Layout
from postroad.spool.segments import Frame, read_frame

_FIRST: Final = 2048  # octets read at once: header and head of nearly every frame
GONE: Final = "the journal's segment is gone"
_PASSING: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR})


class Unreadable(Struct, frozen=True, gc=False):
    """A message that cannot be read, and why; `passing`: the machine lacked something, the octets may be good."""

    reason: str
    passing: bool = False


class Reader:
    """Reads frames of the spool at `layout`; may be used by several threads at once."""

    def __init__(self, layout: Layout, disk: Disk, mark: bytes) -> None:
        """Open nothing yet."""
        self.layout = layout
        self.disk = disk
        self._mark = mark

    def arrivals(self, wanted: Iterable[tuple[str, Place]]) -> dict[str, Arrival | Unreadable]:
        """The heads of the frames of messages, by queue id."""
        found: dict[str, Arrival | Unreadable] = {}
        ordered = sorted(wanted, key=lambda item: (item[1].journal, item[1].segment, item[1].offset))
        for (journal, segment), group in groupby(ordered, key=lambda item: (item[1].journal, item[1].segment)):
            try:
                fd = self.disk.open(self.layout.segment(journal, segment), os.O_RDONLY)
            except OSError as error:
                found.update((queue_id, _unopened(error)) for queue_id, _ in group)
                continue
            try:
                for queue_id, place in group:
                    if queue_id not in found:
                        found[queue_id] = self._arrival(fd, queue_id, place)
            finally:
                self.disk.close(fd)
        return found

    def _arrival(self, fd: int, queue_id: str, place: Place) -> Arrival | Unreadable:
        try:
            octets = self.disk.pread(fd, min(place.length, _FIRST), place.offset)
            header = read_header(octets, 0, self._mark)
            if header is None or header.id != queue_id or header.length != place.length:
                return Unreadable("there is no frame of it where it should be")
            end = HEADER_LENGTH + header.head_length
            if end > len(octets):
                octets = self.disk.pread(fd, end, place.offset)
            head = octets[HEADER_LENGTH:end]
            if not header.fits_head(head):
                return Unreadable("the frame's head is damaged")
            return decode_arrival(head)
        except OSError as error:
            return failed(error, "the disk cannot read it")
        except msgspec.MsgspecError as error:
            return Unreadable(f"the frame's head makes no sense: {error}")

    def frame(self, place: Place) -> Frame | Unreadable:
        """The whole frame at `place`, its parts checked; `Frame.damage` tells of one that does not fit."""
        try:
            fd = self.disk.open(self.layout.segment(place.journal, place.segment), os.O_RDONLY)
        except OSError as error:
            return _unopened(error)
        try:
            frame = read_frame(self.disk, fd, place.offset, place.length, self._mark)
        except OSError as error:
            return failed(error, "the disk cannot read it")
        finally:
            self.disk.close(fd)
        return Unreadable("there is no frame of it where it should be") if frame is None else frame


def _unopened(error: OSError) -> Unreadable:
    if isinstance(error, FileNotFoundError):
        return Unreadable(GONE)
    return failed(error, "the journal's segment cannot be opened")


def failed(error: OSError, words: str) -> Unreadable:
    """What `error` tells of a message that was to be read."""
    return Unreadable(f"{words}: {error.strerror or error}", error.errno in _PASSING)
