"""A server that several nodes count in what `[[rates]]` limit: where it is, and what it is asked.

Whatever goes wrong with it is a CountsError, after its deadline at the latest.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from msgspec import Struct

from postroad.model.counts import Judged, Take


class Server(Struct, frozen=True):
    """Where it is; `timeout` in seconds for each answer."""

    url: str
    username: str
    password: str
    prefix: str
    timeout: float

    def __repr__(self) -> str:
        """Without the password."""
        return f"Server({self.url})"


class Remote(Protocol):
    """What it is asked."""

    async def take(self, takes: Sequence[Take], now: int) -> Judged:
        """As `Counts.take`."""

    async def give_back(self, takes: Sequence[Take], at: int) -> None:
        """Count no more what was taken at the instant `at`."""

    def accounts(self) -> AsyncIterator[tuple[str, dict[int, int]]]:
        """Every account, with what was counted in each step."""

    async def forget(self, wanted: Callable[[str], bool]) -> int:
        """Drop the accounts that are wanted by name; how many those were."""

    async def close(self) -> None:
        """Needed no more."""


MakeRemote = Callable[[Server], Remote]
