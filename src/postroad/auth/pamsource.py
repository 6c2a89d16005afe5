"""How PAM's source is made, without what its module needs: ctypes and the C library are for those who use it.

That module is imported when the configuration has such a source (decision 17).
"""

from typing import Protocol

from postroad.auth.httpsource import ClosableSource
from postroad.auth.pamsettings import PamSettings


class MakePam(Protocol):
    """Makes the source."""

    def __call__(self, settings: PamSettings) -> ClosableSource:
        """ConfigError: there is no PAM here."""
