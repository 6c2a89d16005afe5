"""Tables as text, in Postfix's virtual(5) form, and the forms of keys and addresses in them (pure).

A line is "address  address, address"; one that begins with white space goes on with the line before; blank lines and
those whose first sign is "#" are skipped. On the left: an address, "@domain" for every other address there, or a
domain alone, which only names it. On the right: addresses, or "@domain" for the same name there. Looked up without
regard to case. Every flaw is found, with its line.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct

from postroad.model.address import Mailbox, parse_domain, parse_mailbox
from postroad.model.errors import AddressError

_FOREIGN: Final = ("|", "/", ":include:")  # what aliases(5) allows and an address of the envelope cannot be


class Flaw(Struct, frozen=True):
    """What is wrong in a table, at its line from 1, or 0 for all of it."""

    line: int
    text: str


class Content(Struct):
    """What a table holds: addresses by key, the domains it names, what makes it unusable, and what is only odd."""

    entries: dict[str, str]
    domains: frozenset[str]
    flaws: list[Flaw]
    doubts: list[Flaw]


def key_of(address: Mailbox) -> str:
    """What `address` is looked up by: the local part without quotes in lower case, and the domain's look-up form."""
    return f"{address.local.lower()}@{address.domain}"


def parse_table(text: str) -> Content:
    """The table in `text`; it may be used when it has no flaws."""
    entries: dict[str, str] = {}
    domains: set[str] = set()
    lines: dict[str, int] = {}
    flaws: list[Flaw] = []
    doubts: list[Flaw] = []
    for line, words in logical_lines(text, flaws):
        left, right = split_key(words)
        try:
            if not right:
                raise AddressError(f'"{left}" has nothing to its right')
            key = _parse_key(left)
            if "@" not in key:
                domains.add(key)
                continue
            value = join_addresses(parse_targets(split_addresses(right)))
        except AddressError as error:
            flaws.append(Flaw(line, str(error)))
            continue
        if key in lines:
            if entries[key] != value:
                doubts.append(Flaw(line, f'"{left}" stands in line {lines[key]} already, which counts'))
            continue
        lines[key] = line
        entries[key] = value
    return Content(entries, frozenset(domains), flaws, doubts)


def parse_entries(entries: Mapping[str, Iterable[str]]) -> Content:
    """The table written in the configuration as `entries`; its flaws begin with the key and have no line."""
    found = Content({}, frozenset(), [], [])
    for left, right in entries.items():
        try:
            key = _parse_key(left)
            if "@" not in key:
                raise AddressError('is no address; write "user@example.com" or "@example.com"')
            if key in found.entries:
                raise AddressError("stands here twice, in other letters")
            found.entries[key] = join_addresses(parse_targets(right))
        except AddressError as error:
            found.flaws.append(Flaw(0, f'"{left}": {error}'))
    return found


def logical_lines(text: str, flaws: list[Flaw]) -> Iterator[tuple[int, str]]:
    """(line number, text) of each logical line; one that goes on with nothing is added to `flaws`."""
    first = 0
    parts: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        bare = line.strip()
        if not bare or bare[0] == "#":
            continue
        if line[0] not in " \t":
            if parts:
                yield first, " ".join(parts)
            first, parts = number, [bare]
        elif parts:
            parts.append(bare)
        else:
            flaws.append(Flaw(number, "begins with white space, and there is no line before it to go on with"))
    if parts:
        yield first, " ".join(parts)


def split_addresses(text: str) -> tuple[str, ...]:
    """The parts of `text` between commas; a comma in a quoted local part parts nothing."""
    if '"' not in text:
        return tuple(part for piece in text.split(",") if (part := piece.strip()))
    parts: list[str] = []
    begin = at = 0
    quoted = False
    while at < len(text):
        sign = text[at]
        if sign == "\\" and quoted:
            at += 1
        elif sign == '"':
            quoted = not quoted
        elif sign == "," and not quoted:
            parts.append(text[begin:at])
            begin = at + 1
        at += 1
    parts.append(text[begin:])
    return tuple(part for piece in parts if (part := piece.strip()))


def join_addresses(parts: Iterable[str]) -> str:
    """One text of `parts` that `split_addresses` parts again."""
    return ",".join(parts)


def parse_targets(parts: Iterable[str]) -> tuple[str, ...]:
    """Each of `parts` without angle brackets, each once; AddressError when there are none or one is no address."""
    found: dict[str, None] = {}
    for part in parts:
        bare = part[1:-1] if part.startswith("<") and part.endswith(">") else part
        if bare.startswith("@"):
            parse_domain(bare[1:])
        elif bare.startswith(_FOREIGN):
            raise AddressError(f'"{part}": only addresses can stand here; files, commands and includes cannot')
        else:
            _parse_target(part, bare)
        found[bare] = None
    if not found:
        raise AddressError("no addresses are given")
    return tuple(found)


def _parse_target(part: str, bare: str) -> None:
    try:
        domain = parse_mailbox(bare).domain
    except AddressError as error:
        hint = "; several addresses are parted by commas" if " " in bare or "\t" in bare else ""
        raise AddressError(f'"{part}": {error}{hint}') from None
    if not domain:
        raise AddressError(f'"{part}": an address needs a domain here')


def split_key(words: str) -> tuple[str, str]:
    """The left and the right side of a line; a quoted local part may hold white space."""
    if words[0] == '"':
        end = 1
        while end < len(words) and words[end] != '"':
            end += 2 if words[end] == "\\" else 1
        head, rest = words[: end + 1], words[end + 1 :]
        more, *right = rest.split(None, 1) if rest and rest[0] not in " \t" else ("", rest)
        return head + more, "".join(right).strip()
    left, *right = words.split(None, 1)
    return left, "".join(right)


def _parse_key(left: str) -> str:
    """The key for `left`: "user@domain", "@domain", or a domain alone."""
    if left.endswith(":"):
        raise AddressError(f'"{left}" is the form of aliases(5); here it is "address  address", without the colon')
    try:
        if left.startswith("@"):
            return "@" + parse_domain(left[1:])
        if "@" in left:
            return key_of(parse_mailbox(left))
        if "." in left:
            return parse_domain(left)
    except AddressError as error:
        raise AddressError(f'"{left}": {error}') from None
    raise AddressError(f'"{left}": a name alone could be anywhere; write "{left}@example.com"')
