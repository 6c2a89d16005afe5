"""The format "json": one object a line, for programs.

The record's own fields as they are, `record` with its type, and before them `time`, the instant `at`
in RFC 3339 form (RFC 3339 5.6, UTC). Encoded by msgspec in one pass; only a line with characters that
do not print takes the slow way, which escapes them (RFC 8259 7).
"""

import json
from datetime import UTC, datetime
from typing import Final

import msgspec

from postroad.model.records import Record
from postroad.observe.formats.lines import Encode

_MILLI: Final = tuple(b'.%03dZ",' % number for number in range(1000))


def make_json() -> Encode:
    """The encoder of this format."""
    encode = msgspec.json.Encoder().encode
    milli = _MILLI
    second = -1
    head = b""

    def lines(record: Record) -> bytes:
        nonlocal second, head
        try:
            body = encode(record)
        except UnicodeEncodeError:  # lone surrogates
            body = _escaped(record)
        if not body.isascii():
            if not body.decode().isprintable():
                body = _escaped(record)
        elif 127 in body:  # DEL, which JSON allows
            body = _escaped(record)
        at = record.at
        if at // 1_000_000 != second:  # the part of the time that changes once a second, rendered once a second
            second = at // 1_000_000
            head = f'{{"time":"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}'.encode()
        return head + milli[at // 1000 % 1000] + body[1:] + b"\n"

    return lines


def _escaped(record: Record) -> bytes:
    text = json.dumps(msgspec.to_builtins(record), separators=(",", ":"))
    return text.replace("\x7f", "\\u007f").encode()
