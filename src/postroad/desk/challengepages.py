"""The pages by which a CA sees that a name is ours (http-01), and behind them those of the desk, if there are any.

There is a page only for a token of an order that is under way. RFC 8555 8.3.
"""

from collections.abc import Callable
from typing import Final

from postroad.desk.http import Page, Pages

WELL_KNOWN: Final = "/.well-known/acme-challenge/"
_TYPE: Final = "application/octet-stream"


class ChallengePages:
    """Answers by path."""

    def __init__(self, answer: Callable[[str], str], others: Pages | None = None) -> None:
        """`answer` gives what stands at a token, "" when nothing does."""
        self._answer = answer
        self._others = others

    async def __call__(self, path: str) -> Page | None:
        """The page of `path`; None when there is none."""
        if path.startswith(WELL_KNOWN):
            found = self._answer(path.removeprefix(WELL_KNOWN))
            return Page(200, found.encode(), _TYPE) if found else None
        return None if self._others is None else await self._others(path)
