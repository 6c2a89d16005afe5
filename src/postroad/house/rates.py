"""Keeps what is used up of long rates on disk: every minute, and at the end; and counts it again at the start.

Never on the way of a message. What was counted since the last time is lost when the process is killed.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from postroad.model.errors import SpoolError
from postroad.model.records import Emit, SpoolFaulted
from postroad.model.usage import Usage
from postroad.net.clock import Clock
from postroad.queue.shaping import Shaping
from postroad.queue.usage import restore, used

EVERY: Final = 60.0  # seconds
_PORTION: Final = 200  # accounts looked at before other work has its turn


class RateKeeper:
    """One courier's; `shaping` gives the rules in force, None without any."""

    def __init__(
        self,
        shaping: Callable[[], Shaping | None],
        clock: Clock,
        emit: Emit,
        *,
        load: Callable[[], list[Usage]],
        save: Callable[[Sequence[Usage]], None],
    ) -> None:
        """Count what was kept; `load` and `save` raise SpoolError, `save` may take its time on a thread."""
        self._shaping = shaping
        self._clock = clock
        self._emit = emit
        self._save = save
        self._kept: list[Usage] = []
        self._told = ""
        self._task: asyncio.Task[None] | None = None
        rules = shaping()
        if rules is None:
            return
        try:
            restore(rules, load(), clock.now())
        except SpoolError as error:
            self._faulted(f"{error}; rates are counted anew")

    def start(self) -> None:
        """Begin to keep."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Keep what is used up in the end; nothing may be sent any more."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.keep()

    async def keep(self) -> None:
        """Write what is used up now, when that is something else than last time."""
        rules = self._shaping()
        if rules is None:
            return
        found: list[Usage] = []
        for one in used(rules, self._clock.now()):
            found.append(one)
            if len(found) % _PORTION == 0:
                await self._clock.sleep(0)
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
