"""Content of a message as others may hold it: small as bytes, large behind a reader.

`bytes` up to the spool's inline limit (256 KiB by default); above that a `ContentFile`, read in
parts so that memory stays flat however large the message is. What is kept stays what was received: octets that are not
to be sent on are left out when it is read (decision 32).
"""

from collections.abc import Sequence
from typing import Protocol

Cuts = Sequence[tuple[int, int]]  # from and up to, ascending, and none touches the next


class ContentFile(Protocol):
    """Large content on disk: `size` octets, read by range without blocking the event loop."""

    @property
    def size(self) -> int:
        """Octets in all."""

    async def read(self, offset: int, length: int) -> bytes:
        """The octets from `offset`, at most `length`, fewer only at the end; SpoolError when they cannot be had."""


Content = bytes | ContentFile


def cut(octets: bytes, cuts: Cuts, start: int = 0) -> bytes:
    """`octets`, which begin at `start` of the content, without `cuts`."""
    kept: list[bytes] = []
    at, end = start, start + len(octets)
    for first, last in cuts:
        if last > start and first < end:
            kept.append(octets[at - start : max(first, start) - start])
            at = min(last, end)
    kept.append(octets[at - start :])
    return b"".join(kept)


class CutContent:
    """Large content without `cuts`."""

    __slots__ = ("_content", "_cuts", "size")

    def __init__(self, content: ContentFile, cuts: Cuts) -> None:
        """`cuts` are within `content`."""
        self._content = content
        self._cuts = cuts
        self.size = content.size - sum(last - first for first, last in cuts)

    async def read(self, offset: int, length: int) -> bytes:
        """As `ContentFile` has it."""
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        start = self._place(offset)
        octets = await self._content.read(start, self._place(offset + length - 1) + 1 - start)
        return cut(octets, self._cuts, start)

    def _place(self, offset: int) -> int:
        """Where in the whole content the octet is that comes at `offset`."""
        for first, last in self._cuts:
            if offset < first:
                break
            offset += last - first
        return offset


def without(content: Content, cuts: Cuts) -> Content:
    """`content` as it leaves."""
    return cut(content, cuts) if isinstance(content, bytes) else CutContent(content, cuts)
