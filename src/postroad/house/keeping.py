"""Keeps something on disk that may be somewhat old there: every minute, and at the end.

Never on the way of a message. What came since the last time is lost when the process is killed; a disk that refuses is
told of once.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from postroad.model.errors import SpoolError
from postroad.model.records import Emit, SpoolFaulted
from postroad.net.clock import Clock

EVERY: Final = 60.0  # seconds
Row = TypeVar("Row")


class Keeper(ABC, Generic[Row]):
    """What is kept is a list of rows, which whoever derives from this finds."""

    def __init__(self, clock: Clock, emit: Emit, save: Callable[[Sequence[Row]], None]) -> None:
        """`save` raises SpoolError, and may take its time on a thread."""
        self._clock = clock
        self._emit = emit
        self._save = save
        self._kept: list[Row] = []
        self._told = ""
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    async def find(self) -> list[Row] | None:
        """What is to be kept now; None when nothing is to be written."""

    def start(self) -> None:
        """Begin to keep."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Keep what there is in the end; nothing may be added any more."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.keep()

    async def keep(self) -> None:
        """Write what there is now, when that is something else than last time."""
        found = await self.find()
        if found is None or found == self._kept:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._save, found)
        except SpoolError as error:
            self.faulted(str(error))
            return
        self._kept, self._told = found, ""

    def faulted(self, reason: str) -> None:
        """Tell of what went wrong, once."""
        if reason != self._told:
            self._told = reason
            self._emit(SpoolFaulted(at=self._clock.now(), reason=reason))

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(EVERY)
            await self.keep()
