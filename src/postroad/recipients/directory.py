"""A directory as a table of recipients: whether any entry has the address, remembered for a while.

Text of strangers goes into the filter as a value alone (RFC 4515 3). A directory that is down never makes a no, and
while it is, an old yes holds on.
"""

from collections.abc import Awaitable
from typing import Protocol

from postroad.aliases.table import Found
from postroad.model.errors import DirectoryError, TableError
from postroad.net.clock import Clock
from postroad.net.ldap.codec import Entry
from postroad.net.ldap.filters import escape_filter, fill
from postroad.recipients.cache import Remembered
from postroad.recipients.callahead import EXISTS
from postroad.recipients.settings import LdapSettings


class Search(Protocol):
    """How a directory is asked: `net.ldap.Directory.search`."""

    async def __call__(self, base: str, filter_text: str, *, limit: int = 2) -> list[Entry]:
        """At most `limit` entries; DirectoryError: not now."""


class DirectoryTable:
    """A directory; it is asked with addresses, whole and without their detail."""

    def __init__(self, settings: LdapSettings, search: Search, clock: Clock) -> None:
        """Nothing is asked yet."""
        self._settings = settings
        self._search = search
        self._clock = clock
        self._answers = Remembered(settings.cache_size, known_for=settings.known_for, unknown_for=settings.unknown_for)

    def find(self, key: str) -> Found | Awaitable[Found]:
        """Whether the address `key` exists; at once when that is remembered. TableError: not known now."""
        if key.startswith("@"):
            return None
        answer = self._answers.get(key, self._clock.monotonic())
        if answer is None:
            return self._find_later(key)
        return EXISTS if answer else None

    async def _find_later(self, key: str) -> Found:
        asked = fill(self._settings.filter, {"address": key}, escape_filter)
        try:
            entries = await self._search(self._settings.base, asked, limit=1)
        except DirectoryError as error:
            if self._answers.was_known(key):
                return EXISTS
            raise TableError(f"directory {self._settings.directory}: {error}") from None
        self._answers.put(key, self._clock.monotonic(), is_known=bool(entries))
        return EXISTS if entries else None
