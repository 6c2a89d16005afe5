"""The parts of a mail from strangers, one after the other, in time that grows with its octets alone. Pure.

The standard library's parser asks every line for every boundary around it, and reads parameters of a field over and
over: a mail of one mebibyte keeps it busy for minutes. Here octets are split by C, and depth, parts and fields are
bounded; what is deeper or more is left out. RFC 2046 5.1.1 (boundaries), RFC 2045 6 (encodings).
"""

import re
from collections.abc import Iterator
from email.message import Message
from email.parser import BytesHeaderParser
from email.policy import Compat32
from itertools import islice
from typing import Final

PARTS: Final = 100  # of one multipart
_DEPTH: Final = 4  # a report in a message in a message
_HEAD: Final = 64 << 10  # octets of a header section
_FIELD: Final = 1000  # characters of a field
_END: Final = re.compile(rb"\A\r?\n|\r?\n\r?\n")


class _Bounded(Compat32):
    """Fields are cut before anybody looks for parameters in them."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        return name, value[:_FIELD]


def parts_of(content: bytes, depth: int = 0) -> Iterator[Message]:
    """Each part that is no multipart and no message, with its body still encoded; `content` may be one itself."""
    end = _END.search(content)
    head, body = (content, b"") if end is None else (content[: end.start()], content[end.end() :])
    part: Message = BytesHeaderParser(policy=_Bounded()).parsebytes(head[:_HEAD])
    kind = part.get_content_type()
    boundary = part.get_boundary() if kind.startswith("multipart/") else None
    if boundary:
        inner = _between(body, boundary.encode("ascii", "surrogateescape"))
    elif kind == "message/rfc822":
        inner = iter((body,))
    else:
        part.set_payload(body.decode("ascii", "surrogateescape"))
        yield part
        return
    if depth < _DEPTH:
        for one in inner:
            yield from parts_of(one, depth + 1)


def _between(body: bytes, boundary: bytes) -> Iterator[bytes]:
    """What is between delimiters; the last part may lack its end."""
    delimiter = re.compile(rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r?\n|\Z)")
    start = -1
    for found in islice(delimiter.finditer(body), PARTS):
        if start >= 0:
            yield body[start : found.start()]
        start = found.end() + 1 + (body[found.end() : found.end() + 1] == b"\r")
        if found[1]:
            return
    if start >= 0:
        yield body[start:]
