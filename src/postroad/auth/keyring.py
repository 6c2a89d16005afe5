"""The keys of one issuer, kept and fetched anew: when they are old, and when a token names one that is not among them.

While the issuer does not answer, keys hold on for `keep_for`; after that, and for a key that might be a new one, the
answer is "cannot tell now". A stranger's invented key ids cause one request in PAUSE seconds, and old keys are fetched
beside the log-ins, which do not wait.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from postroad.auth.jose import Header, Key, matching
from postroad.net.clock import Clock

PAUSE: Final = 30.0  # seconds between two requests

_AGAIN: Final = f"the issuer is asked once in {PAUSE:g} seconds at most"

Fetch = Callable[[], Awaitable[tuple[Key, ...] | str]]  # or why there are none


class KeyRing:
    """The keys; `fetch` gets them."""

    def __init__(self, fetch: Fetch, clock: Clock, *, refresh: float, keep_for: float) -> None:
        """Nothing is fetched before the first token."""
        self._fetch = fetch
        self._clock = clock
        self._refresh = refresh
        self._keep_for = max(keep_for, refresh)
        self._keys: tuple[Key, ...] = ()
        self._fetched = -1.0  # when these were fetched, less than 0: never
        self._asked = -PAUSE  # when the issuer was asked last
        self._fault = ""  # why it did not answer then
        self._fetching: asyncio.Task[None] | None = None

    async def keys_for(self, header: Header) -> list[Key] | str:
        """The keys that may have signed what has `header`, none when there is none; or why that cannot be told now."""
        now = self._clock.monotonic()
        age = now - self._fetched
        if self._fetched < 0 or age >= self._keep_for:
            await self._renew(now)
            if self._fault:
                return self._fault
            return matching(self._keys, header)
        found = matching(self._keys, header)
        if not found:
            is_asked = self._fetching is not None or now - self._asked >= PAUSE
            await self._renew(now)
            found = matching(self._keys, header)
            if not found and (self._fault or not is_asked):
                return self._fault or f"the token names a key that is not known, and may be new; {_AGAIN}"
        elif age >= self._refresh:
            self._begin(now)
        return found

    async def close(self) -> None:
        """Fetch nothing any more."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    async def _renew(self, now: float) -> None:
        """Fetch them, unless that was tried a moment ago."""
        fetching = self._begin(now)
        if fetching is not None:
            await asyncio.shield(fetching)  # whoever gives up waiting takes nothing from the others

    def _begin(self, now: float) -> "asyncio.Task[None] | None":
        if self._fetching is None and now - self._asked >= PAUSE:
            self._asked = now
            self._fetching = asyncio.create_task(self._get())
        return self._fetching

    async def _get(self) -> None:
        try:
            answer = await self._fetch()
        finally:
            self._fetching = None
        if isinstance(answer, str):
            self._fault = answer
        else:
            self._keys, self._fetched, self._fault = answer, self._clock.monotonic(), ""
