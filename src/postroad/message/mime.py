"""Content made fit for peers without 8BITMIME or BINARYMIME (RFC 6152 3, RFC 3030 3), *pure*.

`to_quoted_printable` encodes each leaf of the MIME tree that is not plain seven-bit text: text as
quoted-printable, all else as base64 (RFC 2045 6.7, 6.8), and leaves every other octet as it was. None when
that cannot be done or would break something: a signature (DKIM, ARC, multipart/signed, S/MIME), encryption,
octets above 127 in a header section or between parts, or a structure that cannot be followed.
"""

from binascii import b2a_base64
from typing import Final

_DEPTH_LIMIT: Final = 50  # message in message in multipart ...: deeper than this is no mail
_PARTS_LIMIT: Final = 10_000
_LINE_LIMIT: Final = 998  # RFC 5322 2.1.1
_QUOTED_LINE: Final = 76  # characters in a line of quoted-printable, soft break included (RFC 2045 6.7)
_LITERAL: Final = bytes([9, *range(32, 61), *range(62, 127)])  # what stands for itself (RFC 2045 6.7)
_ESCAPE: Final = b"=%02X"
_ESCAPED: Final = tuple(bytes([octet]) if octet in _LITERAL else _ESCAPE % octet for octet in range(256))
_BASE64_LINE: Final = 57  # octets that make one line of 76 characters (RFC 2045 6.8)
_SIGNED_FIELDS: Final = (b"dkim-signature:", b"domainkey-signature:", b"arc-message-signature:", b"arc-seal:")
_UNTOUCHABLE: Final = frozenset(
    (
        b"multipart/signed",
        b"multipart/encrypted",
        b"application/pkcs7-mime",
        b"application/x-pkcs7-mime",
        b"message/partial",
    )
)


def to_quoted_printable(content: bytes) -> bytes | None:
    """`content` (a whole RFC 5322 message) in seven-bit lines, or None when it must not or cannot be converted."""
    if _is_plain(content) and not _has_long_line(content):
        return content
    section, _, _ = _split(content)
    lower = b"\r\n" + section.lower()
    if any(b"\r\n" + field in lower for field in _SIGNED_FIELDS):
        return None
    return _convert_message(content, 0)


def is_line_text(content: bytes) -> bool:
    """True when `content` can go by DATA as it is: every CR and LF in a pair, no NUL (RFC 5321 2.3.8)."""
    return not _has_bare(content)


def _convert_message(content: bytes, depth: int) -> bytes | None:
    section, gap, body = _split(content)
    if not section.isascii() or b"\0" in section:
        return None
    # A message that is not MIME becomes MIME; what charset it was written in, nobody said (RFC 1428 3).
    if not _is_plain(body) and not _field(section, b"mime-version"):
        section = _ended(section) + b"MIME-Version: 1.0\r\n"
        if not _field(section, b"content-type"):
            section += b"Content-Type: text/plain; charset=unknown-8bit\r\n"
    return _convert_entity(section, gap, body, depth)


def _convert_entity(section: bytes, gap: bytes, body: bytes, depth: int) -> bytes | None:
    """One entity: header `section`, the empty line `gap`, `body`; whole again, or None."""
    encoding = _field(section, b"content-transfer-encoding").strip().lower()
    if _is_plain(body) and not (encoding == b"binary" and _has_long_line(body)):
        return section + gap + body
    content_type = _field(section, b"content-type")
    kind = content_type.partition(b";")[0].strip().lower() or b"text/plain"
    if depth > _DEPTH_LIMIT or kind in _UNTOUCHABLE or encoding not in (b"", b"7bit", b"8bit", b"binary"):
        return None
    if kind.startswith(b"multipart/"):
        converted = _convert_parts(body, _boundary(content_type), depth, digest=kind == b"multipart/digest")
        encoding = b"7bit"
    elif kind == b"message/rfc822":
        converted = _convert_message(body, depth + 1)
        encoding = b"7bit"
    elif kind.startswith(b"message/"):
        return None  # RFC 2045 6.4: no message type takes an encoding that changes octets
    elif kind.startswith(b"text/"):
        converted = encode_quoted_printable(body)
        encoding = b"quoted-printable"
    else:
        converted = encode_base64(body)
        encoding = b"base64"
    if converted is None:
        return None
    return _with_encoding(section, encoding) + (gap or b"\r\n") + converted


def _convert_parts(body: bytes, boundary: bytes, depth: int, *, digest: bool) -> bytes | None:
    if not boundary:
        return None
    mark = b"--" + boundary
    # A delimiter belongs to the CRLF before it (RFC 2046 5.1.1); the first may open the body.
    pieces = (b"\r\n" + body).split(b"\r\n" + mark)
    if not 1 < len(pieces) <= _PARTS_LIMIT or not _is_plain(pieces[0]):
        return None
    out = [pieces[0]]
    ended = False
    for piece in pieces[1:]:
        line_end = piece.find(b"\r\n")
        rest = piece[:line_end] if line_end >= 0 else piece
        if ended or rest.startswith(b"--"):  # the closing delimiter and the epilogue
            ended = True
            if not _is_plain(piece):
                return None
            out.append(piece)
            continue
        if rest.strip(b" \t") or line_end < 0:
            return None  # a longer boundary, or not a delimiter at all
        part = _convert_part(piece[line_end + 2 :], depth, digest=digest)
        if part is None:
            return None
        out.append(piece[: line_end + 2] + part)
    return (b"\r\n" + mark).join(out)[2:]


def _convert_part(part: bytes, depth: int, *, digest: bool) -> bytes | None:
    section, gap, body = _split(part)
    if not section.isascii() or b"\0" in section:
        return None
    if digest and not _field(section, b"content-type"):
        return part if _is_plain(part) else None
    return _convert_entity(section, gap, body, depth + 1)


def encode_quoted_printable(body: bytes) -> bytes:
    """`body` as quoted-printable: CRLF stays a line's end, a bare CR or LF is encoded (RFC 2045 6.7)."""
    # binascii.b2a_qp guesses the newline from its input and makes lines of 77 characters.
    return b"\r\n".join([_encode_line(line) for line in body.split(b"\r\n")])


def _encode_line(line: bytes) -> bytes:
    if line.translate(None, _LITERAL):
        line = b"".join([_ESCAPED[octet] for octet in line])
    if line[-1:] in (b" ", b"\t"):
        line = line[:-1] + _ESCAPE % line[-1]
    if len(line) <= _QUOTED_LINE:
        return line
    folded = []
    start = 0
    while len(line) - start > _QUOTED_LINE:
        end = start + _QUOTED_LINE - 1
        mark = line.find(b"=", end - 2, end)  # an escape stays whole
        end = mark if mark >= 0 else end
        folded.append(line[start:end] + b"=\r\n")
        start = end
    folded.append(line[start:])
    return b"".join(folded)


def encode_base64(body: bytes) -> bytes:
    """`body` as base64 in lines of 76 characters, each ended by CRLF but the last (RFC 2045 6.8)."""
    lines = [
        b2a_base64(body[start : start + _BASE64_LINE], newline=False) for start in range(0, len(body), _BASE64_LINE)
    ]
    return b"\r\n".join(lines)


def _split(content: bytes) -> tuple[bytes, bytes, bytes]:
    """(header section with the last field's CRLF, the empty line, body)."""
    if content[:2] == b"\r\n":
        return b"", content[:2], content[2:]
    end = content.find(b"\r\n\r\n")
    if end < 0:
        return content, b"", b""
    return content[: end + 2], content[end + 2 : end + 4], content[end + 4 :]


def _field(section: bytes, name: bytes) -> bytes:
    """The value of the first field `name` (lower-case), unfolded; b"" when there is none."""
    start, end = _find_field(section, name)
    return section[start + len(name) + 1 : end].replace(b"\r\n", b"").strip() if end else b""


def _find_field(section: bytes, name: bytes) -> tuple[int, int]:
    """Where the first field `name` begins and ends, its CRLF included; (0, 0) when there is none."""
    lower = b"\r\n" + section.lower()
    start = lower.find(b"\r\n" + name + b":")
    if start < 0:
        return 0, 0
    end = start
    while True:  # folded lines begin with white space (RFC 5322 2.2.3)
        end = section.find(b"\r\n", end)
        if end < 0:
            return start, len(section)
        end += 2
        if section[end : end + 1] not in (b" ", b"\t"):
            return start, end


def _with_encoding(section: bytes, encoding: bytes) -> bytes:
    field = b"Content-Transfer-Encoding: " + encoding + b"\r\n"
    start, end = _find_field(section, b"content-transfer-encoding")
    if end:
        return section[:start] + field + section[end:]
    return _ended(section) + field if encoding != b"7bit" else section


def _ended(section: bytes) -> bytes:
    return section if not section or section.endswith(b"\r\n") else section + b"\r\n"


def _boundary(content_type: bytes) -> bytes:
    """The boundary parameter of a Content-Type value (RFC 2046 5.1.1); b"" when it lacks or is malformed."""
    start = 0
    lower = content_type.lower()
    while True:
        start = lower.find(b"boundary", start)
        if start < 0:
            return b""
        before = lower[:start].rstrip()
        value = content_type[start + 8 :].lstrip()
        start += 8
        if before.endswith(b";") and value.startswith(b"="):
            break
    value = value[1:].lstrip()
    if value.startswith(b'"'):
        quoted, _, _ = value[1:].partition(b'"')
        return b"" if b"\\" in quoted else quoted
    return value.partition(b";")[0].split(b" ")[0].split(b"\t")[0].strip()


def _is_plain(octets: bytes) -> bool:
    return octets.isascii() and not _has_bare(octets)


def _has_bare(octets: bytes) -> bool:
    """True with a NUL, a bare CR or a bare LF."""
    pairs = octets.count(b"\r\n")
    return octets.count(b"\n") != pairs or octets.count(b"\r") != pairs or b"\0" in octets


def _has_long_line(octets: bytes) -> bool:
    return len(octets) > _LINE_LIMIT and max(map(len, octets.split(b"\r\n"))) > _LINE_LIMIT
