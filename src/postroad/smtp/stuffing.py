"""Transparency of outgoing content (RFC 5321 4.5.2): a dot at the beginning of a line is doubled.

Content without such a line, nearly all of it, is sent as it is, without a copy. Only CRLF begins a
line: a dot behind a bare LF or bare CR is left alone, as the receiving side of RFC 5321 2.3.8 does.
What a receiver un-stuffs is octet for octet what went in; a CRLF is added only where the last one lacks.
"""

from typing import Final

END: Final = b".\r\n"
_LINE_DOT: Final = b"\r\n."


def stuff(content: bytes) -> bytes:
    """`content` whole, ready to be sent after 354, its end (CRLF dot CRLF) included."""
    if content[:1] == b"." or _LINE_DOT in content:
        content = _doubled(content)
    if content[-2:] == b"\r\n" or not content:
        return content + b".\r\n"
    return content + b"\r\n.\r\n"


class Stuffer:
    """Stuffs content that comes in blocks; a CRLF may be cut in two between them."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        """Begin at the beginning of a line."""
        self._tail = b"\r\n"

    def feed(self, block: bytes) -> bytes:
        """`block` ready to be sent."""
        if not block:
            return block
        tail = self._tail
        self._tail = (tail + block[-2:])[-2:]
        if tail == b"\r\n" and block[:1] == b".":
            block = b"." + block
        elif tail[-1:] == b"\r" and block[:2] == b"\n.":
            block = b"\n." + block[1:]
        return block.replace(_LINE_DOT, b"\r\n..") if _LINE_DOT in block else block

    def end(self) -> bytes:
        """What ends the content: the dot on a line of its own, after the CRLF that the last line may lack."""
        return END if self._tail == b"\r\n" else b"\r\n" + END


def _doubled(content: bytes) -> bytes:
    if content[:1] == b".":
        content = b"." + content
    return content.replace(_LINE_DOT, b"\r\n..")
