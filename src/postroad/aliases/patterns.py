"""Tables of regular expressions, as text (pure): lines "/pattern/  address, address", the first that matches counts.

Compiled by RE2 alone, whose time is linear in the address however the pattern looks; sizes and numbers are bounded.
Case is ignored, or with "/pattern/i" regarded, as in Postfix's regexp_table(5). $1, ${1} and $(1) stand for groups, $$
for a dollar sign. The right side is parted into addresses before groups are filled in, so that no sender can add
addresses by writing commas into one.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import re2
from msgspec import Struct

from postroad.aliases.text import Flaw, logical_lines, parse_targets, split_addresses
from postroad.model.errors import AddressError

PATTERN_LIMIT: Final = 4096  # characters of one pattern
PATTERNS_LIMIT: Final = 1000  # in one file; each costs about a microsecond a look-up
MEMORY_LIMIT: Final = 1 << 20  # octets of one compiled pattern
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_CLOSING: Final = (("{", "}"), ("(", ")"))

Template = tuple[str | int, ...]


class Match(Protocol):
    """A match, as `re` has it."""

    def group(self, number: int, /) -> str:
        """The text of a group; 0 is all of it."""

    def groups(self, default: str, /) -> tuple[str, ...]:
        """The texts of all groups, `default` for those that took no part."""


class Regexp(Protocol):
    """A compiled expression, as `re` has it."""

    @property
    def groups(self) -> int:
        """How many groups it has."""

    def search(self, text: str, /) -> Match | None:
        """The first match in `text`."""


class Pattern(Struct, frozen=True):
    """One line: the compiled pattern, and its addresses as literal text and numbers of groups in turn."""

    line: int
    regexp: Regexp
    targets: tuple[Template, ...]

    def apply(self, address: str) -> tuple[str, ...] | None:
        """The addresses for `address`; None when it does not match."""
        match = self.regexp.search(address)
        if match is None:
            return None
        groups = (match.group(0), *match.groups(""))
        return tuple(
            "".join(part if isinstance(part, str) else groups[part] for part in template) for template in self.targets
        )


class Patterns(Struct):
    """A table of patterns, in order; it may be used when it has no flaws."""

    patterns: list[Pattern]
    flaws: list[Flaw]

    def find(self, address: str) -> tuple[str, ...] | None:
        """What the first pattern that matches makes of `address`."""
        for pattern in self.patterns:
            found = pattern.apply(address)
            if found is not None:
                return found
        return None


def parse_patterns(text: str) -> Patterns:
    """The patterns in `text`, with every flaw."""
    table = Patterns([], [])
    for line, words in logical_lines(text, table.flaws):
        try:
            table.patterns.append(_parse_line(line, words))
        except (AddressError, re2.error) as error:
            table.flaws.append(Flaw(line, _words(error)))
        if len(table.patterns) > PATTERNS_LIMIT:
            table.flaws.append(Flaw(line, f"more than {PATTERNS_LIMIT} patterns"))
            break
    return table


def _words(error: Exception) -> str:
    said = error.args[0] if error.args else str(error)
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return text if isinstance(error, AddressError) else f"the pattern cannot be compiled: {text}"


def _parse_line(line: int, words: str) -> Pattern:
    if words[0] != "/":
        raise AddressError('a line is "/pattern/  address, address"')
    end = 1
    while end < len(words) and words[end] != "/":
        end += 2 if words[end] == "\\" else 1
    if end >= len(words):
        raise AddressError("the pattern has no closing slash")
    pattern, rest = words[1:end], words[end + 1 :]
    flags = rest[: len(rest) - len(rest.lstrip(_LETTERS))]
    right = rest[len(flags) :].strip()
    if not pattern or len(pattern) > PATTERN_LIMIT:
        raise AddressError(f"a pattern has 1 to {PATTERN_LIMIT} characters")
    if flags not in ("", "i"):
        raise AddressError(f'"{flags}": the only flag is i, which makes case count')
    if not right:
        raise AddressError("no addresses are given")
    regexp = _compile(pattern, is_exact=flags == "i")
    return Pattern(line, regexp, _parse_templates(split_addresses(right), regexp.groups))


def _compile(pattern: str, *, is_exact: bool) -> Regexp:
    options = re2.Options()
    options.case_sensitive = is_exact
    options.max_mem = MEMORY_LIMIT
    options.log_errors = False
    compiled: Regexp = re2.compile(pattern, options)
    return compiled


def _parse_templates(parts: Sequence[str], groups: int) -> tuple[Template, ...]:
    templates = tuple(_parse_template(part, groups) for part in parts)
    plain = [part for part, template in zip(parts, templates, strict=True) if _is_plain(template)]
    if plain or not parts:
        parse_targets(part.replace("$$", "$") for part in plain)
    return templates


def _is_plain(template: Template) -> bool:
    return all(isinstance(part, str) for part in template)


def _parse_template(text: str, groups: int) -> Template:
    literal, *rest = text.split("$")
    out: list[str | int] = [literal]
    while rest:
        piece = rest.pop(0)
        if not piece and rest:  # "$$"
            out.append("$" + rest.pop(0))
            continue
        opening = next((pair for pair in _CLOSING if piece.startswith(pair[0])), None)
        inner, _, after = piece[1:].partition(opening[1]) if opening else ("", "", "")
        number = inner if opening else piece[: len(piece) - len(piece.lstrip("0123456789"))]
        if not number.isdigit():
            raise AddressError(f'"{text}": after $ comes the number of a group, or another $')
        if not 0 <= int(number) <= groups:
            raise AddressError(f'"{text}": there is no group {number} in the pattern')
        out += [int(number), after if opening else piece[len(number) :]]
    return tuple(out)
