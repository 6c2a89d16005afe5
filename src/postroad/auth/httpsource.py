"""What an identity source that is asked by HTTP is made of, without the library that its module needs.

That module is imported when the configuration has such a source (decision 17).
"""

from collections.abc import Awaitable
from typing import Protocol

from postroad.auth.httpsettings import HttpSettings
from postroad.auth.source import Source


class ClosableSource(Source, Protocol):
    """A source that holds connections."""

    def close(self) -> Awaitable[None]:
        """Let them go."""


class MakeHttp(Protocol):
    """Makes one."""

    def __call__(self, name: str, settings: HttpSettings, secret: str) -> ClosableSource:
        """The source of the section `name`; `secret` is the text of its option. ConfigError: no such certificates."""
