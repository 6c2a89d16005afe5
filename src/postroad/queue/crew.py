"""The tasks that deliver: one for each slot in use, and some parked ones that wait for the next slot.

Most lanes have one message at a time, and beginning a task for each costs more than waking one that waits
(measured). Parked tasks hold no slot and no work; beyond `PARKED_LIMIT` a task ends when its work does.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from postroad.queue.lane import Lane

PARKED_LIMIT: Final = 64


class Crew:
    """Runs `work` for lanes, each call in a task of its own at a time."""

    def __init__(self, work: Callable[[Lane], Awaitable[None]]) -> None:
        """`work` serves one slot of a lane, which is held already, until the lane has no more for it."""
        self._work = work
        self._tasks: set[asyncio.Task[None]] = set()
        self._parked: list[asyncio.Future[Lane | None]] = []
        self._is_dismissed = False

    def start(self, lane: Lane) -> None:
        """Let a task work for `lane`."""
        while self._parked:
            waiter = self._parked.pop()
            if not waiter.done():
                waiter.set_result(lane)
                return
        task = asyncio.create_task(self._serve(lane))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def dismiss(self) -> None:
        """Let every task end with the work it has: parked ones now."""
        self._is_dismissed = True
        for waiter in self._parked:
            if not waiter.done():
                waiter.set_result(None)
        self._parked.clear()

    def cancel(self) -> None:
        """Stop every task where it is."""
        for task in self._tasks:
            task.cancel()

    @property
    def running(self) -> list[asyncio.Task[None]]:
        """The tasks that have not ended."""
        return [task for task in self._tasks if not task.done()]

    async def _serve(self, lane: Lane) -> None:
        serving: Lane | None = lane
        while serving is not None:
            await self._work(serving)
            if self._is_dismissed or len(self._parked) >= PARKED_LIMIT:
                return
            waiter: asyncio.Future[Lane | None] = asyncio.get_running_loop().create_future()
            self._parked.append(waiter)
            serving = await waiter
