"""One table as the expansion sees it (pure): which domains it is for, and where its answers come from.

What a file table holds is swapped whole when the file changes; a look-up sees the old content or the new, never a
mixture. A database answers later: then `find` gives an awaitable.
"""

from collections.abc import Awaitable, Callable, Iterable

from msgspec import Struct

from postroad.aliases.patterns import Patterns
from postroad.aliases.text import Content, split_addresses

Found = tuple[str, ...] | None  # None: no entry
Find = Callable[[str], Found | Awaitable[Found]]


class Domains:
    """Patterns of domains, compiled: "example.com", or "*.example.com" for all below it."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """None given: no domain."""
        given = tuple(patterns)
        self._exact = frozenset(pattern for pattern in given if not pattern.startswith("*."))
        self._parents = frozenset(pattern[2:] for pattern in given if pattern.startswith("*."))

    def __bool__(self) -> bool:
        """True when there are any."""
        return bool(self._exact or self._parents)

    def __contains__(self, domain: str) -> bool:
        """True when a pattern takes `domain`, which is in its look-up form."""
        if domain in self._exact:
            return True
        while self._parents and "." in domain:
            domain = domain.partition(".")[2]
            if domain in self._parents:
                return True
        return False


class Table(Struct, kw_only=True):
    """A table: `name` for people, `is_whole` when it is asked with whole addresses alone, as they were written.

    `named` gives the domains that a file names alone on a line.
    """

    name: str
    find: Find
    domains: Domains
    is_strict: bool = False
    is_whole: bool = False
    delimiter: str = ""
    named: Callable[[], frozenset[str]] = frozenset

    def covers(self, domain: str) -> bool:
        """True when recipients in `domain` are looked up here."""
        return not self.domains or domain in self.domains or domain in self.named()

    def owns(self, domain: str) -> bool:
        """True when names in `domain` that no table has are refused."""
        return self.is_strict and (domain in self.domains or domain in self.named())


class Entries:
    """The current content of a table of text."""

    def __init__(self, content: Content) -> None:
        """Begin with `content`."""
        self.content = content

    def find(self, key: str) -> Found:
        """The addresses of `key`."""
        value = self.content.entries.get(key)
        return None if value is None else split_addresses(value)

    def named(self) -> frozenset[str]:
        """The domains that it names."""
        return self.content.domains


class Expressions:
    """The current content of a table of regular expressions."""

    def __init__(self, patterns: Patterns) -> None:
        """Begin with `patterns`."""
        self.patterns = patterns

    def find(self, address: str) -> Found:
        """The addresses that the first matching pattern makes of `address`."""
        return self.patterns.find(address)
