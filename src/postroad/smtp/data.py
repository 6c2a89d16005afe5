"""Content as it comes over the wire: the smuggling file, small on purpose.

The end of DATA is exactly CRLF "." CRLF (RFC 5321 4.1.1.4, 4.5.2); bare CR, bare LF and NUL never end
anything (RFC 5321 2.3.8). They make a defect, or become CRLF (NUL: nothing) when normalising. BDAT
counts octets (RFC 3030 2) and with BINARYMIME takes any octet (RFC 3030 3). Every byte split of the
input gives the same content; tests/fuzz proves it.
"""

from typing import Final

from postroad.smtp import replies
from postroad.smtp.events import DataChunk, MessageEnded

_VERB: Final = 5  # octets: four letters and a space
TERMINATOR: Final = b"\r\n.\r\n"


class ContentCheck:
    """Tallies one message's content and judges it at its end; nothing is kept of content that will be refused."""

    __slots__ = ("_bare", "_binary", "_eight_bit", "_limit", "_normalise", "_size")

    def __init__(self, *, limit: int, normalise: bool, binary: bool) -> None:
        """Take at most `limit` octets; note bare newlines or mend them (`normalise`); `binary` is left alone."""
        self._size = 0
        self._eight_bit = False
        self._bare = False
        self._limit = limit
        self._normalise = normalise
        self._binary = binary

    def take(self, piece: bytes) -> DataChunk | None:
        """Note what is in `piece`, which never ends in CR unless it is the last; the chunk to keep, if any."""
        if not piece:
            return None
        if not (self._eight_bit or piece.isascii()):
            self._eight_bit = True
        if not self._binary:
            lines = piece.replace(b"\r\n", b"")  # cheaper than counting CR, LF and CRLF (measured)
            if b"\n" in lines or b"\r" in lines or b"\0" in lines:
                if self._normalise:
                    piece = mend_newlines(piece)
                else:
                    self._bare = True
        self._size += len(piece)
        return None if self._bare or self._size > self._limit else DataChunk(piece)

    @property
    def is_sound(self) -> bool:
        """True while nothing speaks against the content."""
        return not self._bare and self._size <= self._limit

    def ended(self) -> MessageEnded:
        """The event of the content's end, with the defect that was found."""
        if self._size > self._limit:
            return MessageEnded(self._size, self._eight_bit, replies.MESSAGE_TOO_BIG, f"sent {self._size} octets")
        if self._bare:
            detail = "bare CR, bare LF or NUL in the content"
            return MessageEnded(self._size, self._eight_bit, replies.BARE_NEWLINE_IN_CONTENT, detail)
        return MessageEnded(self._size, self._eight_bit)


def mend_newlines(piece: bytes) -> bytes:
    """`piece` with bare CR and bare LF made CRLF, and NUL dropped."""
    return piece.replace(b"\0", b"").replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


class DotReader:
    """Takes the octets after 354, gives unstuffed content until the terminator."""

    __slots__ = ("_held", "_started", "ended")

    def __init__(self) -> None:
        """Begin as if a CRLF had just been read, so that a dot in the first line is seen as one."""
        self._held = b"\r\n"
        self._started = False
        self.ended = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """(content, rest): content ready so far, and, once `ended`, the octets after the terminator."""
        data = self._held + data
        # Most content has no line that begins with a dot: then the first one is the end, found in one pass.
        first = data.find(b"\r\n.")
        end = first if data[first + 3 : first + 5] == b"\r\n" else data.find(TERMINATOR, first) if first >= 0 else -1
        if end >= 0:
            self.ended = True
            piece, rest = data[: end + 2], data[end + 5 :]
        else:
            keep = _terminator_prefix_at_end(data)
            cut = len(data) - keep
            piece, rest = data[:cut], b""
            self._held = data[cut:]
        if 0 <= first < end or (end < 0 <= first):
            piece = piece.replace(b"\r\n.", b"\r\n")
        if piece and not self._started:
            self._started = True
            piece = piece[2:]
        return piece, rest


def _terminator_prefix_at_end(data: bytes) -> int:
    """How many of the last octets of `data` may be the beginning of the terminator: 0 to 4."""
    if data[-1:] not in b"\r\n.":
        return 0
    for length in (4, 3, 2, 1):
        if data.endswith(TERMINATOR[:length]):
            return length
    return 0


class Input:
    """Octets of the peer that nothing has used yet; command lines, counted octets, or all are cut off its front.

    A command line that is too long is dropped as it comes, but for its verb, and told at its end. `octets` is empty
    when nothing is left; its first ones may have been used already.
    """

    __slots__ = ("_at", "_dropped", "_limit", "octets")

    def __init__(self, limit: int) -> None:
        """Take command lines of at most `limit` octets with their CRLF (RFC 5321 4.5.3.1.4)."""
        self._limit = limit
        self.octets = b""
        self._at = 0  # what is before was used; cutting that off for each line would copy the rest each time
        self._dropped = b""  # the first octets of the line that is being dropped

    def __len__(self) -> int:
        return len(self.octets) - self._at

    def add(self, data: bytes) -> None:
        """More octets came."""
        self.octets = self.octets[self._at :] + data if self.octets else data
        self._at = 0

    def put_back(self, rest: bytes) -> None:
        """All octets were taken, and `rest` of them is left."""
        self.octets, self._at = rest, 0

    def everything(self) -> bytes:
        """All octets."""
        octets, at = self.octets, self._at
        self.octets, self._at = b"", 0
        return octets[at:] if at else octets

    def take(self, count: int) -> bytes:
        """The next `count` octets, fewer when there are no more."""
        at = self._at
        if len(self.octets) - at <= count:
            return self.everything()
        self._at = at + count
        return self.octets[at : at + count]

    def line(self) -> tuple[bytes | None, str]:
        """(line, problem): the next line without CRLF, None while it is incomplete; a problem spoils it.

        Of a line that is too long there are the first octets, a verb.
        """
        octets, at = self.octets, self._at
        end = octets.find(b"\n", at)
        if end < 0:
            if self._dropped or len(octets) - at >= self._limit:
                self._dropped = self._dropped or octets[at : at + _VERB]
                self.octets, self._at = b"", 0
            return None, ""
        if end + 1 == len(octets):
            self.octets, self._at = b"", 0
        else:
            self._at = end + 1
        if self._dropped or end - at >= self._limit:
            verb, self._dropped = self._dropped or octets[at : at + _VERB], b""
            return verb, "too long"
        if end == at or octets[end - 1] != 13:
            return b"", "bare LF"
        line = octets[at : end - 1]
        if b"\r" in line or b"\0" in line:
            return b"", "bare CR or NUL"
        return line, ""


class ChunkReader:
    """Takes the octets after "BDAT size", gives them on; a CR at the end of a read waits for what follows."""

    __slots__ = ("_held", "left", "size")

    def __init__(self, size: int) -> None:
        """Begin with a first chunk of `size` octets."""
        self.size = self.left = size
        self._held = b""

    def begin(self, size: int) -> None:
        """One more chunk of `size` octets follows."""
        self.size = self.left = size

    def feed(self, source: Input, *, last: bool) -> bytes:
        """Content of the open chunk, cut off the front of `source`; `last`: it is the last chunk."""
        piece = source.take(self.left)
        self.left -= len(piece)
        piece = self._held + piece
        if piece[-1:] == b"\r" and not (last and self.left == 0):
            self._held = b"\r"
            return piece[:-1]
        self._held = b""
        return piece
