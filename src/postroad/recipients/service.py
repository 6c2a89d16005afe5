"""The recipients of a running server: tables read at start, files looked after, everything let go at the end.

With no sections configured it does nothing at all.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from postroad.aliases.files import watch
from postroad.aliases.load import Fault
from postroad.model.records import Emit, TableLoaded
from postroad.net.clock import Clock
from postroad.recipients.load import Loaded


class RecipientService:
    """Built when the tables are sound."""

    def __init__(self, loaded: Loaded, close_asker: Callable[[], Awaitable[None]] | None = None) -> None:
        """Take `loaded` over; `close_asker` lets go of what next hops are asked with."""
        self._loaded = loaded
        self._close_asker = close_asker
        self._watching: asyncio.Task[None] | None = None
        self.tables = tuple(loaded.tables)

    @property
    def broken(self) -> list[Fault]:
        """Why the tables cannot be used."""
        return [fault for fault in self._loaded.faults if not fault.is_doubt]

    def start(self, clock: Clock, emit: Emit) -> None:
        """Tell what is loaded, and look after files from now on."""
        files = self._loaded.files
        for file in files:
            emit(TableLoaded(at=clock.now(), table=str(file.path), entries=file.count))
        if files:
            self._watching = asyncio.create_task(watch(files, clock, emit))

    async def close(self) -> None:
        """Look after nothing any more, and let go of databases and connections."""
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        await self._loaded.close()
        if self._close_asker is not None:
            await self._close_asker()
