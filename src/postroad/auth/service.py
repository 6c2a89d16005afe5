"""The identity sources of a running server: read at start, looked after, let go at the end.

The composition root holds one; without sources it does nothing at all.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from postroad.auth.gate import Gate
from postroad.auth.logins import Logins
from postroad.auth.users import UsersFile
from postroad.model.records import Emit, Record

Close = Callable[[], Awaitable[None]]
Start = Callable[[Emit], None]


class AuthService:
    """Built when the sources are sound; `logins` is None when there are none."""

    def __init__(
        self,
        logins: Logins | None = None,
        *,
        gate: Gate | None = None,
        users: UsersFile | None = None,
        told: Sequence[Record] = (),
        starting: Sequence[Start] = (),
        closing: Sequence[Close] = (),
    ) -> None:
        """Take all over: `told` are records of what was read; `starting` and `closing` are those of other sources."""
        self.logins = logins
        self._gate = gate
        self._users = users
        self._told = told
        self._starting = starting
        self._closing = closing
        self._watching: asyncio.Task[None] | None = None

    def start(self, emit: Emit) -> None:
        """Tell what was read, and look after the users file from now on."""
        for record in self._told:
            emit(record)
        for start in self._starting:
            start(emit)
        if self._users is not None and self.logins is not None:
            self._users.changed = self.logins.remembered.forget
            self._watching = asyncio.create_task(self._users.watch(emit))

    async def close(self) -> None:
        """Look after nothing any more, and let everything go."""
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        for close in self._closing:
            await close()
        if self._gate is not None:
            self._gate.close()
