"""Where keys sign that are kept in tokens: in a thread of its own, so that the event loop goes on, with a deadline.

One thread, for a session of a token takes one order at a time. While a token does not answer, what comes beyond a bound
is refused at once, and its client tries again.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from postroad.model.errors import SigningError

SECONDS: Final = 30.0
WAITING_LIMIT: Final = 500  # messages


class Bench:
    """The thread of one signer."""

    def __init__(self, seconds: float = SECONDS) -> None:
        """It is not begun before the first message; `seconds` is how long one may take, its wait included."""
        self._thread = ThreadPoolExecutor(1, "signing")
        self._seconds = seconds
        self._waiting = 0

    async def run(self, lines: Callable[[], bytes]) -> bytes:
        """What `lines` gives; SigningError also when that takes too long, or too many wait."""
        if self._waiting >= WAITING_LIMIT:
            raise SigningError(f"{self._waiting} messages wait for keys that are kept elsewhere")
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._thread, lines)
        future.add_done_callback(self._done)
        try:
            return await asyncio.wait_for(asyncio.shield(future), self._seconds)
        except TimeoutError:
            raise SigningError(f"a key that is kept elsewhere did not sign within {self._seconds:g} s") from None

    def _done(self, future: asyncio.Future[bytes]) -> None:
        self._waiting -= 1
        if not future.cancelled():
            future.exception()  # nobody else may be left who looks at it
