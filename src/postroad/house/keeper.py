"""Keeps what is used up of the long limits of `[[rates]]` on disk: every minute, and at the end.

Only what lasts an hour or longer is worth it; of very many accounts the fullest are kept. No message waits for it.
What was counted since the last time is lost when the whole server is killed; the death of one of its processes loses
nothing.
"""

import asyncio
from collections.abc import Callable, Sequence
from heapq import nlargest
from typing import Final

from postroad.house.counting import walk
from postroad.model.counts import Kept
from postroad.model.errors import SpoolError
from postroad.model.records import Emit, SpoolFaulted
from postroad.net.clock import Clock
from postroad.policy.ratetable import Table

EVERY: Final = 60.0  # seconds
ACCOUNTS: Final = 10_000
_LONG: Final = 3_600_000_000


class AccountKeeper:
    """One server's; `is_wanted` tells whether the configuration in force has rates."""

    def __init__(
        self,
        table: Table,
        clock: Clock,
        emit: Emit,
        is_wanted: Callable[[], bool],
        *,
        load: Callable[[], list[Kept]] | None,
        save: Callable[[Sequence[Kept]], None],
    ) -> None:
        """Count what was kept, unless the table has it still; `load` and `save` raise SpoolError."""
        self._table = table
        self._clock = clock
        self._emit = emit
        self._is_wanted = is_wanted
        self._save = save
        self._kept: list[Kept] = []
        self._told = ""
        self._task: asyncio.Task[None] | None = None
        if load is None or not is_wanted():
            return
        try:
            for one in load():
                table.restore(one, clock.now())
        except SpoolError as error:
            self._faulted(f"{error}; rates are counted anew")

    def start(self) -> None:
        """Begin to keep."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Keep what is used up in the end; nothing may be taken any more."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.keep()

    async def keep(self) -> None:
        """Write what is used up now, when that is something else than last time."""
        if not self._is_wanted():
            return
        found = [
            one
            async for one in walk(self._table, self._clock, self._clock.now())
            if one.period >= _LONG or not one.period
        ]
        if len(found) > ACCOUNTS:
            found = nlargest(ACCOUNTS, found, key=_fullness)
        if found == self._kept:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._save, found)
        except SpoolError as error:
            self._faulted(str(error))
            return
        self._kept, self._told = found, ""

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(EVERY)
            await self.keep()

    def _faulted(self, reason: str) -> None:
        if reason != self._told:
            self._told = reason
            self._emit(SpoolFaulted(at=self._clock.now(), reason=reason))


def _fullness(one: Kept) -> float:
    return one.used / max(one.count, 1)
