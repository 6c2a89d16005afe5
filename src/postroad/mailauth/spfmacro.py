"""Macros in SPF records and explanations: read once, expanded for each message (*pure*).

A text is read into the plain pieces and the macros that it is made of, so that what is wrong with it is known before
anything is asked (RFC 7208 4.6). RFC 7208 7.1 (syntax), RFC 7208 7.2 (letters), RFC 7208 7.3 (how they are expanded).
"""

import re
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from msgspec import Struct

from postroad.model.errors import PostroadError

NAME_LIMIT: Final = 253  # octets of a name in DNS
_LETTERS: Final = frozenset("slodiphv")
_LETTERS_OF_EXP: Final = _LETTERS | frozenset("crt")
_MACRO: Final = re.compile(r"%(?:\{([A-Za-z])([0-9]*)([rR]?)([-.+,/_=]*)\}|([%_-]))")
_ESCAPES: Final = MappingProxyType({"%": "%", "_": " ", "-": "%20"})
_TOP_LABEL: Final = re.compile(
    r"\.(?:(?=[A-Za-z0-9-]*[A-Za-z])[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?|[0-9]+-[0-9-]*[0-9])\.?\Z"
)


class SpfSyntaxError(PostroadError):
    """A record that does not follow the grammar, in words: the result is permerror (RFC 7208 2.6.7)."""


class Macro(Struct, frozen=True, gc=False):
    """One `%{...}`: the last `keep` parts (0: all), turned round or not, parted at `delimiters`."""

    letter: str
    keep: int = 0
    is_reversed: bool = False
    delimiters: str = "."
    is_quoted: bool = False


class MacroText(Struct, frozen=True):
    """A text with macros; `plain` is the text itself when there is none in it."""

    pieces: tuple[str | Macro, ...]
    plain: str | None = None

    def letters(self) -> Iterator[str]:
        """The letters of its macros."""
        return (piece.letter for piece in self.pieces if isinstance(piece, Macro))

    def expand_name(self, value_of: Callable[[str], str]) -> str:
        """The text as a name, with what `value_of` gives for each letter; no more is made than a name can hold."""
        if self.plain is not None:
            return shortened(self.plain)
        parts: list[str] = []
        size = 0
        for piece in reversed(self.pieces):  # where a name is too long it loses its left
            parts.append(piece if isinstance(piece, str) else _expanded(piece, value_of(piece.letter)))
            size += len(parts[-1])
            if size > NAME_LIMIT + 1:
                break
        return shortened("".join(reversed(parts)))

    def expand_text(self, value_of: Callable[[str], str], most: int) -> str:
        """The text, `most` characters of it at most."""
        parts: list[str] = []
        size = 0
        for piece in self.pieces:
            parts.append(piece if isinstance(piece, str) else _expanded(piece, value_of(piece.letter)))
            size += len(parts[-1])
            if size >= most:
                break
        return "".join(parts)[:most]


def parse_macros(text: str, *, is_explanation: bool = False) -> MacroText:
    """`text` read; SpfSyntaxError for a macro that is none, or one that stands in explanations alone."""
    if "%" not in text:
        return MacroText((text,), text)
    pieces: list[str | Macro] = []
    at = 0
    while (mark := text.find("%", at)) >= 0:
        if mark > at:
            pieces.append(text[at:mark])
        found = _MACRO.match(text, mark)
        if found is None:
            raise SpfSyntaxError(f'"{text[mark : mark + 12]}" is no macro')
        pieces.append(_macro(found, _LETTERS_OF_EXP if is_explanation else _LETTERS))
        at = found.end()
    if at < len(text):
        pieces.append(text[at:])
    return MacroText(tuple(pieces))


def parse_domain_spec(text: str) -> MacroText:
    """`text` read as a domain (RFC 7208 7.1): it ends in a macro or in a label that may be a top-level domain."""
    if not text or not all("!" <= char <= "~" for char in text):
        raise SpfSyntaxError("a domain is missing, or has characters that it may not have")
    found = parse_macros(text)
    last = found.pieces[-1]
    if text.endswith(("%%", "%_", "%-")) or (isinstance(last, str) and _TOP_LABEL.search(last) is None):
        raise SpfSyntaxError(f'"{text[:60]}" ends in no top-level domain')
    return found


def shortened(name: str) -> str:
    """`name` without trailing dot, and without labels on its left where it is too long (RFC 7208 7.3)."""
    name = name.removesuffix(".")
    if len(name) <= NAME_LIMIT:
        return name
    _, dot, rest = name[-NAME_LIMIT - 1 :].partition(".")
    return rest if dot else name[-NAME_LIMIT:]


def _macro(found: re.Match[str], letters: frozenset[str]) -> str | Macro:
    letter, digits, reverse, delimiters, escape = found.groups()
    if escape:
        return _ESCAPES[escape]
    low = letter.lower()
    if low not in letters:
        raise SpfSyntaxError(f'there is no macro "{letter}" here')
    if digits and not int(digits[:9]):
        raise SpfSyntaxError("a macro keeps at least one part")
    return Macro(low, int(digits[:9] or 0), bool(reverse), delimiters or ".", letter.isupper())


def _expanded(macro: Macro, value: str) -> str:
    if macro.keep or macro.is_reversed or macro.delimiters != ".":
        parts = re.split(f"[{re.escape(macro.delimiters)}]", value)
        if macro.is_reversed:
            parts.reverse()
        value = ".".join(parts[-macro.keep :] if macro.keep else parts)
    return quote(value, safe="-._~") if macro.is_quoted else value
