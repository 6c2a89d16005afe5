"""What the API's listener does for the rest of the server, so that nobody needs the library behind it to say so.

The listener itself (`api/server.py`) is imported late, when `[api]` is configured (`model/late.py`).
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from postroad.api.exchange import Asked, Told
from postroad.model.records import Emit
from postroad.net.clock import Clock
from postroad.net.process.inherited import Given, Inherited

Answer = Callable[[Asked], Awaitable[Told]]


class Serving(Protocol):
    """The listener; see `api.server.ApiServer`."""

    async def bind(self, inherited: Inherited | None = None) -> list[str]:
        """Bind every address; "address:port" of each."""

    async def start(self) -> None:
        """Begin to answer."""

    async def hand_over(self, seconds: float) -> list[Given]:
        """The listening sockets, once a drain within `seconds` is over."""

    async def drain(self, seconds: float) -> None:
        """Listen no more; requests that run may end within `seconds`."""

    async def close(self) -> None:
        """End every connection."""


class MakeServer(Protocol):
    """Makes the listener; nothing is bound yet."""

    def __call__(
        self,
        bind: Sequence[str],
        answer: Answer,
        *,
        connections: int,
        timeout: Callable[[], float],
        clock: Clock,
        emit: Emit,
    ) -> Serving:
        """See `ApiServer`."""
