"""Sites: the name of the provider whose hosts take a route's mail (*pure*).

One provider serves many domains by the same hosts; limits and suspensions belong to it and not to each domain. A
route belongs to a site when all its hosts do, so that a domain with a host elsewhere is left alone.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct


class _Site(Struct, frozen=True):
    name: str
    hosts: frozenset[str]
    parents: tuple[str, ...]  # ".google.com" for "*.google.com"

    def takes(self, host: str) -> bool:
        return host in self.hosts or host.endswith(self.parents)


class Sites:
    """The names of `[sites]` with their patterns of host names, in order."""

    def __init__(self, patterns: Mapping[str, Sequence[str]]) -> None:
        """Compile `patterns`: "mx.example.com" is that host, "*.example.com" any below, at any depth."""
        self._sites = tuple(
            _Site(
                name,
                frozenset(text for text in texts if not text.startswith("*.")),
                tuple(text[1:] for text in texts if text.startswith("*.")),
            )
            for name, texts in patterns.items()
        )

    def site_of(self, hosts: Sequence[str]) -> str:
        """The first site that all of `hosts` belong to, "" for none."""
        if not hosts:
            return ""
        return next((site.name for site in self._sites if all(map(site.takes, hosts))), "")
