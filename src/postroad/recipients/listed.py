"""Recipients as text: an address on each line, or "@domain" for every name there (pure).

What follows an address on its line is not looked at, so that Postfix's relay_recipient_maps can be used as they are.
Blank lines and those whose first sign is "#" are skipped. Looked up without regard to case. Every flaw is found, with
its line.
"""

from collections.abc import Iterable

from postroad.aliases.text import Content, Flaw, key_of, split_key
from postroad.model.address import parse_domain, parse_mailbox
from postroad.model.errors import AddressError


def parse_list(text: str) -> Content:
    """The recipients in `text`; they may be used when there are no flaws."""
    found = Content({}, frozenset(), [], [])
    for number, line in enumerate(text.split("\n"), 1):
        bare = line.strip()
        if bare and bare[0] != "#":
            _take(found, number, split_key(bare)[0])
    return found


def parse_addresses(addresses: Iterable[str]) -> Content:
    """The recipients written in the configuration; flaws have no line."""
    found = Content({}, frozenset(), [], [])
    for text in addresses:
        _take(found, 0, text)
    return found


def _take(found: Content, line: int, text: str) -> None:
    try:
        found.entries[_key(text)] = ""
    except AddressError as error:
        found.flaws.append(Flaw(line, f'"{text}": {error}'))


def _key(text: str) -> str:
    bare = text[1:-1] if text.startswith("<") and text.endswith(">") else text
    if bare.startswith("@"):
        return "@" + parse_domain(bare[1:])
    address = parse_mailbox(bare)
    if not address.domain:
        raise AddressError('has no domain; write "user@example.com"')
    return key_of(address)
