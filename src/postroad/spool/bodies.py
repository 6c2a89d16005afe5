"""The content of accepted mail, read back for a delivery or a report.

What compaction has moved meanwhile is found where it lies now. What is damaged is set aside, told, and a
`DamagedError`, once and for all; what the machine could not read for want of something is a `SpoolError`: ask again.
"""

from postroad.model.content import Content
from postroad.model.errors import SpoolError
from postroad.model.records import Emit
from postroad.model.work import Place, Stored
from postroad.spool.catalog import Catalog
from postroad.spool.clock import Clock
from postroad.spool.damage import Damage
from postroad.spool.draft import StoredFile, check_file, lost
from postroad.spool.frames import decode_arrival
from postroad.spool.leases import place_of
from postroad.spool.reading import GONE, Reader, Unreadable, failed
from postroad.spool.worker import Worker


class Bodies:
    """Reads content on the thread of `reading`."""

    def __init__(self, reader: Reader, reading: Worker, catalog: Catalog, clock: Clock, emit: Emit) -> None:
        """`catalog` knows where a message lies now."""
        self._reader = reader
        self._reading = reading
        self._catalog = catalog
        self._clock = clock
        self._emit = emit

    async def read(self, stored: Stored) -> Content:
        """See `Spool.body`."""
        found = await self._reading.call(lambda: self._read(stored.place, stored.id))
        if isinstance(found, Unreadable) and found.reason == GONE:
            place = await self._catalog.worker.call(lambda: place_of(self._catalog.index, stored.id))
            stored.place = place or stored.place
            found = await self._reading.call(lambda: self._read(stored.place, stored.id))
        if not isinstance(found, Unreadable):
            return found
        if not found.passing:
            await self._set_aside(stored, found.reason)
            raise lost(stored.place, found.reason)
        raise SpoolError(found.reason)

    async def _set_aside(self, stored: Stored, reason: str) -> None:
        layout, place = self._reader.layout, stored.place
        damage = Damage(layout, self._reader.disk, self._clock.now())
        is_file = layout.file(stored.id).exists()
        record = await self._reading.call(
            lambda: (
                damage.file(stored.id, reason)
                if is_file
                else damage.octets(place.journal, place.segment, place.offset, place.length, reason)
            )
        )
        self._emit(record)

    def _read(self, place: Place, queue_id: str) -> Content | Unreadable:
        """On the thread."""
        frame = self._reader.frame(place)
        if isinstance(frame, Unreadable):
            return frame
        if frame.damage:
            return Unreadable(f"the frame's {frame.damage} is damaged")
        if frame.body:
            return frame.body
        ref = decode_arrival(frame.head).file
        if ref is None:
            return b""
        disk, path = self._reader.disk, self._reader.layout.file(queue_id)
        try:
            wrong = check_file(disk, path, ref)
        except OSError as error:
            return failed(error, "the disk cannot read the content file")
        return Unreadable(wrong) if wrong else StoredFile(disk, self._reading, path, ref.size)
