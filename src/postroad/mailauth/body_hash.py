"""The hash of a body in one pass over its pieces, for all signatures at once (RFC 6376 3.4.3, RFC 6376 3.4.4).

Each canonicalisation that is wanted is made once, while the pieces come: its SHA-256 runs on, and a copy of its
state is kept at every length that a tag l= asks for. What the next octet decides waits: at most two octets, and the
number of the empty lines so far. So memory stays flat for any body, and every split into pieces gives the same.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from postroad.model.content import Content
from postroad.model.errors import SpoolError

Piece = bytes | bytearray | memoryview

PIECE: Final = 256 * 1024  # octets of large content in memory at a time

_EMPTY_LINES: Final = b"\r\n" * 16_384


class _Canonical:
    """One canonicalisation of a body, and its hashes."""

    __slots__ = ("_at", "_blank", "_hash", "_held", "_is_relaxed", "_lengths", "_size", "_snapshots")

    def __init__(self, *, is_relaxed: bool, lengths: Iterable[int]) -> None:
        self._is_relaxed = is_relaxed
        self._lengths = sorted(lengths)
        self._at = 0  # in `_lengths`: the next one
        self._hash = sha256()
        self._size = 0
        self._held = b""  # a CR that LF may follow, and a space in front of it
        self._blank = 0  # line ends that are nothing when nothing follows them
        self._snapshots: dict[int, bytes] = {}

    def feed(self, piece: bytes) -> None:
        """Take the next octets of the body."""
        data = self._held + piece if self._held else piece
        if self._is_relaxed:
            if b"\t" in data:
                data = data.replace(b"\t", b" ")
            while b"  " in data:
                data = data.replace(b"  ", b" ")
        end = len(data)
        if data.endswith(b"\r"):
            end -= 1
        if self._is_relaxed and data.endswith(b" ", 0, end):
            end -= 1
        self._held = data[end:]
        if self._held:
            data = data[:end]
        if self._is_relaxed and b" \r\n" in data:
            data = data.replace(b" \r\n", b"\r\n")
        self._take(data)

    def finish(self) -> None:
        """The body is over."""
        left = self._held.removesuffix(b" ")
        if left:
            self._take(left)
        if self._size or not self._is_relaxed:
            self._add(b"\r\n")  # an empty body is one line end (RFC 6376 3.4.3), or nothing (RFC 6376 3.4.4)
        self._mark()

    def digest(self, length: int | None) -> bytes | None:
        """The hash of the first `length` octets, or of all (None); None when there are fewer."""
        return self._hash.digest() if length is None else self._snapshots.get(length)

    def _take(self, data: bytes) -> None:
        end = len(data)
        blank = 0
        if data.endswith(b"\r\n"):
            core = len(data.rstrip(b"\r\n"))
            tail = data[core:].replace(b"\r\n", b"\0")  # only CR and LF are in there
            blank = len(tail) - len(tail.rstrip(b"\0"))
            end -= 2 * blank
        if end:
            while self._blank:
                lines = min(self._blank, len(_EMPTY_LINES) // 2)
                self._add(_EMPTY_LINES[: 2 * lines])
                self._blank -= lines
            self._add(data if not blank else data[:end])
        self._blank += blank

    def _add(self, data: bytes) -> None:
        while self._at < len(self._lengths) and self._size + len(data) >= self._lengths[self._at]:
            head = self._lengths[self._at] - self._size
            self._hash.update(data[:head])
            self._size += head
            self._mark()
            data = data[head:]
        self._hash.update(data)
        self._size += len(data)

    def _mark(self) -> None:
        while self._at < len(self._lengths) and self._lengths[self._at] == self._size:
            self._snapshots[self._size] = self._hash.copy().digest()
            self._at += 1


class BodyHashes:
    """The hashes of one body. First all that is wanted is said, then the body comes in pieces, then it is finished."""

    __slots__ = ("_forms", "_wanted")

    def __init__(self) -> None:
        """Nothing is wanted yet."""
        self._wanted: dict[bool, set[int]] = {}
        self._forms: dict[bool, _Canonical] | None = None

    @property
    def is_wanted(self) -> bool:
        """False while nobody needs the body."""
        return bool(self._wanted)

    def want(self, *, is_relaxed: bool, length: int | None = None) -> None:
        """Ask for the hash of one canonicalisation, of its first `length` octets or of all (None)."""
        lengths = self._wanted.setdefault(is_relaxed, set())
        if length is not None:
            lengths.add(length)

    def feed(self, piece: Piece) -> None:
        """Take the next octets of the body, as they were received."""
        if self._forms is None:
            self._forms = self._begin()
        octets = piece if isinstance(piece, bytes) else bytes(piece)
        for form in self._forms.values():
            form.feed(octets)

    def finish(self) -> None:
        """The body is over: now hashes can be had."""
        if self._forms is None:
            self._forms = self._begin()
        for form in self._forms.values():
            form.finish()

    def digest(self, *, is_relaxed: bool, length: int | None = None) -> bytes | None:
        """What was asked for; None when the body has fewer octets than `length`."""
        assert self._forms is not None
        return self._forms[is_relaxed].digest(length)

    def _begin(self) -> dict[bool, _Canonical]:
        return {
            is_relaxed: _Canonical(is_relaxed=is_relaxed, lengths=lengths)
            for is_relaxed, lengths in self._wanted.items()
        }


def feed_body(content: bytes, end: int, body: BodyHashes) -> None:
    """Give `body` all of `content` behind the header section, which ends at `end`, and the blank line."""
    body.feed(content[end + 2 if content.startswith(b"\r\n", end) else end :])
    body.finish()


async def read_body(content: Content, end: int, body: BodyHashes) -> None:
    """The same for content that may be large; SpoolError when it cannot be had."""
    if isinstance(content, bytes):
        feed_body(content, end, body)
        return
    at = end
    while at < content.size:
        piece = await content.read(at, PIECE)
        if not piece:
            raise SpoolError(f"content ends at octet {at} of {content.size}")
        body.feed(piece.removeprefix(b"\r\n") if at == end else piece)
        at += len(piece)
    body.finish()
