"""A header section taken apart into its fields, for signatures that name them (RFC 6376 5.4, RFC 8617 4.1).

Fields stay the octets that they are. A line that ends in a bare LF is a line here too, for readers of mail take it
for one: what stands behind it must not hide from a signature. Each field's relaxed form is made once, for all
signatures over it. Time and memory grow with the section's length alone, whatever it holds.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from postroad.mailauth.dkim_tags import SPACES

_FIELD_END: Final = re.compile(rb"\r\n(?![ \t])")
_LINE_END: Final = re.compile(rb"\r?\n")
_WHITE: Final = re.compile(rb"[ \t]+")
_B_TAG: Final = re.compile(rb"(?:\A|;)[ \t\r\n]*b[ \t\r\n]*=")


class Fields:
    """The fields of a header section, from the top down."""

    __slots__ = ("_has_oddities", "_places", "_relaxed", "names", "raw")

    def __init__(self, section: bytes) -> None:
        """`section` is the header section without the blank line behind it."""
        ends = section.count(b"\r\n")
        if section.count(b"\n") != ends:
            section = _LINE_END.sub(b"\r\n", section)
            ends = section.count(b"\r\n")
        # Of these bytes.split() would make white space, and they are none (RFC 6376 2.8).
        self._has_oddities = section.count(b"\r") != ends or b"\v" in section or b"\f" in section
        self.raw = _FIELD_END.split(section.removesuffix(b"\r\n")) if section else []
        self.names = [_name(field) for field in self.raw]
        self._places: dict[bytes, list[int]] | None = None
        self._relaxed: dict[int, bytes] = {}

    def places(self, name: bytes) -> Sequence[int]:
        """Where the fields called `name`, in lower case, are: from the top down."""
        if self._places is None:
            places: dict[bytes, list[int]] = {}
            for at, known in enumerate(self.names):
                if known:
                    places.setdefault(known, []).append(at)
            self._places = places
        return self._places.get(name, ())

    def value(self, at: int) -> bytes:
        """What stands behind the colon of field `at`."""
        return self.raw[at].partition(b":")[2]

    def chosen(self, names: Iterable[bytes]) -> list[int]:
        """The fields that `names` mean: each time a name comes the next one up, or none (RFC 6376 5.4.2)."""
        used: dict[bytes, int] = {}
        found = []
        for name in names:
            places = self.places(name)
            count = used.get(name, 0) + 1
            used[name] = count
            if count <= len(places):
                found.append(places[-count])
        return found

    def canonical(self, at: int, *, is_relaxed: bool) -> bytes:
        """Field `at` as a signature sees it, with its CRLF (RFC 6376 3.4.1, RFC 6376 3.4.2)."""
        if not is_relaxed:
            return self.raw[at] + b"\r\n"
        known = self._relaxed.get(at)
        if known is None:
            known = self.names[at] + b":" + self._relax(self.value(at)) + b"\r\n"
            self._relaxed[at] = known
        return known

    def unsigned(self, at: int, *, is_relaxed: bool) -> bytes:
        """The signature field `at` without its CRLF and the value of its tag b= (RFC 6376 3.7)."""
        name, _, value = self.raw[at].partition(b":")
        value = without_signature(value)
        return self.names[at] + b":" + self._relax(value) if is_relaxed else name + b":" + value

    def _relax(self, value: bytes) -> bytes:
        if not self._has_oddities:
            return b" ".join(value.split())
        return _WHITE.sub(b" ", value.replace(b"\r\n", b"")).strip(b" \t")


def without_signature(value: bytes) -> bytes:
    """A signature field's value, that of its tag b= taken out with the white space around it."""
    found = _B_TAG.search(value)
    if found is None:
        return value
    start = found.end()
    end = value.find(b";", start)
    return value[:start] if end < 0 else value[:start] + value[end:]


def relaxed_line(line: bytes) -> bytes:
    """A field of our own making, without its CRLF, in relaxed form (RFC 6376 3.4.2)."""
    name, _, value = line.partition(b":")
    return name.lower() + b":" + b" ".join(value.split())


def names_of(text: bytes) -> tuple[bytes, ...]:
    """The names that a tag h= has, in lower case."""
    return tuple(name.strip(SPACES) for name in text.lower().split(b":"))


def _name(field: bytes) -> bytes:
    """In lower case; nothing for a line that is no field."""
    name, colon, _ = field.partition(b":")
    return name.rstrip(b" \t").lower() if colon else b""
