"""Tag lists, the language of signatures and key records: `a=b; c=d` (RFC 6376 3.2).

Whoever writes them may be hostile, so a list is read in one pass and has a bound. What is wrong is told in words,
as a value. Values keep their inner white space: only some tags allow it to be ignored.
"""

import binascii
from typing import Final

Tags = dict[bytes, bytes]

TAGS_LIMIT: Final = 64  # a signature has some 15
SPACES: Final = b" \t\r\n"

_NAME: Final = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
_CONTROL: Final = bytes(sign for sign in range(32) if sign not in SPACES) + b"\x7f"
_NUMBER_LIMIT: Final = 76  # digits of l= (RFC 6376 3.5)


def parse_tags(text: bytes) -> Tags | str:
    """The tags of `text` with their values, or what is wrong with it (RFC 6376 3.2)."""
    if len(text.translate(None, _CONTROL)) != len(text):
        return "it has control characters"
    tags: Tags = {}
    specs = text.split(b";", TAGS_LIMIT + 1)
    if len(specs) > TAGS_LIMIT + 1:
        return f"it has more than {TAGS_LIMIT} tags"
    for number, spec in enumerate(specs, start=1):
        name, equals, value = spec.partition(b"=")
        name = name.strip(SPACES)
        if not equals:
            if not name and number == len(specs):
                break  # the last semicolon may stand at the end
            return f"{shown(name)} is no tag with a value" if name else "it has an empty tag"
        if not name[:1].isalpha() or name.translate(None, _NAME):
            return f"{shown(name)} is no name of a tag"
        if name in tags:
            return f"the tag {shown(name)} is there twice"
        tags[name] = value.strip(SPACES)
    return tags


def shown(text: bytes) -> str:
    """`text` as it may stand in a reason: short, printable ASCII."""
    return ascii(text[:40].decode("latin-1"))


def number_of(text: bytes) -> int | None:
    """An unsigned decimal number as tags have them, or None."""
    if not text.isdigit() or len(text) > _NUMBER_LIMIT:
        return None
    return int(text)


def decode_base64(text: bytes) -> bytes | None:
    """The octets that `text` stands for, white space anywhere in it ignored; None when it is no base64."""
    try:
        return binascii.a2b_base64(text.translate(None, SPACES), strict_mode=True)
    except binascii.Error:
        return None


def encode_base64(octets: bytes) -> bytes:
    """`octets` in base64, on one line."""
    return binascii.b2a_base64(octets, newline=False)
