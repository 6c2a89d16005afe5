"""Content of a message as others may hold it: small as bytes, large behind a reader.

`bytes` up to the spool's inline limit (256 KiB by default); above that a `ContentFile`, read in
parts so that memory stays flat however large the message is.
"""

from typing import Protocol


class ContentFile(Protocol):
    """Large content on disk: `size` octets, read by range without blocking the event loop."""

    @property
    def size(self) -> int:
        """Octets in all."""

    async def read(self, offset: int, length: int) -> bytes:
        """The octets from `offset`, at most `length`, fewer only at the end; SpoolError when they cannot be had."""


Content = bytes | ContentFile
