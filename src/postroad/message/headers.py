"""Header sections as octets: where one ends, and what a field says; nothing is parsed before it is asked for.

The section is never re-serialised, so what is relayed or returned stays what arrived. Field names match
without regard to case, with the obsolete white space before the colon allowed (RFC 5322 4.5), and values come
unfolded (RFC 5322 2.2.3). Lines ended by a bare LF are read too, since normalising is the listener's choice. Pure.
"""

from typing import Final

_NAME: Final = bytes(sign for sign in range(33, 127) if sign != 58)  # RFC 5322 2.2: printable, no colon

_FIELD_LIMIT: Final = 256  # octets of a field's name; the longest real ones have some 50


def header_section(content: bytes) -> bytes:
    """The header section of `content` with its last CRLF, without the blank line.

    Nothing when the content begins with a blank line, or with a line that is no field and no blank line comes;
    all of it when it begins with a field and no blank line comes.
    """
    if content.startswith(b"\r\n"):
        return b""
    end = content.find(b"\r\n\r\n")
    if end >= 0:
        return content[: end + 2]
    return content if begins_with_field(content) else b""


def begins_with_field(content: bytes) -> bool:
    """True when the first line is a header field, as far as can be seen (RFC 5322 2.2)."""
    name = content[:_FIELD_LIMIT].partition(b":")[0].rstrip(b" \t")
    return 0 < len(name) < min(len(content), _FIELD_LIMIT) and name.isascii() and not name.translate(None, _NAME)


def field(section: bytes, name: bytes) -> bytes | None:
    """The unfolded value of the first field called `name`, without the white space around it; None without one."""
    found = _values(section, name, most=1)
    return found[0] if found else None


def fields(section: bytes, name: bytes) -> list[bytes]:
    """The unfolded values of all fields called `name`, from the top down."""
    return _values(section, name, most=0)


def _values(section: bytes, name: bytes, *, most: int) -> list[bytes]:
    lower = section.lower()
    wanted = name.lower()
    found: list[bytes] = []
    start = 0 if lower.startswith(wanted) else lower.find(b"\n" + wanted) + 1
    if start == 0 and not lower.startswith(wanted):
        return found
    while True:
        after = start + len(wanted)
        colon = section.find(b":", after)
        if colon >= 0 and not section[after:colon].strip(b" \t"):
            found.append(_value(section, colon + 1))
            if len(found) == most:
                return found
        newline = lower.find(b"\n" + wanted, after)
        if newline < 0:
            return found
        start = newline + 1


def _value(section: bytes, start: int) -> bytes:
    """The value from `start` to the end of its last continuation line, unfolded (RFC 5322 2.2.3)."""
    end = section.find(b"\n", start)
    while end >= 0 and section[end + 1 : end + 2] in (b" ", b"\t"):
        end = section.find(b"\n", end + 1)
    raw = section[start:] if end < 0 else section[start:end]
    if b"\n" in raw:
        raw = raw.replace(b"\r\n", b"").replace(b"\n", b"")
    return raw.strip(b" \t\r")
