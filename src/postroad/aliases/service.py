"""The aliases of a running server: tables read at start, files looked after, databases let go at the end.

The composition root holds one; with no tables configured it does nothing at all.
"""

import asyncio
import contextlib

from postroad.aliases.door import Aliases
from postroad.aliases.expand import Bounds
from postroad.aliases.files import FileTable, watch
from postroad.aliases.load import Fault, Tables
from postroad.model.records import Emit, TableLoaded
from postroad.net.clock import Clock


class AliasService:
    """Built when the tables are sound; `door` is None when there are none."""

    def __init__(self, tables: Tables, bounds: Bounds) -> None:
        """Take `tables` over."""
        self._tables = tables
        self._watching: asyncio.Task[None] | None = None
        self.door = Aliases(tables.tables, bounds) if tables.tables else None

    @property
    def broken(self) -> list[Fault]:
        """Why the tables cannot be used."""
        return [fault for fault in self._tables.faults if not fault.is_doubt]

    def start(self, clock: Clock, emit: Emit) -> None:
        """Tell what is loaded, and look after files from now on."""
        files = self._tables.files
        for file in files:
            emit(TableLoaded(at=clock.now(), table=str(file.path), entries=file.count, doubts=self._doubts(file)))
        if files:
            self._watching = asyncio.create_task(watch(files, clock, emit))

    def _doubts(self, file: FileTable) -> int:
        return sum(fault.is_doubt for fault in self._tables.faults if fault.file == str(file.path))

    async def close(self) -> None:
        """Look after nothing any more, and let databases go."""
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        self._tables.close()
