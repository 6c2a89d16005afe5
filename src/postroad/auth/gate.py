"""Slow computations beside the event loop: a few threads, and a bound on who waits for one.

Hashes of passwords take tens of milliseconds of a core by intent. Whoever finds the line full is told at once, so that
a flood of log-ins costs neither memory nor the time of those who came before.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from postroad.model.errors import PostroadError

T = TypeVar("T")
P = ParamSpec("P")


class CrowdedError(PostroadError):
    """Too many wait for a thread already."""


class Gate:
    """The threads; they are begun when they are needed first."""

    def __init__(self, threads: int, waiting: int) -> None:
        """Run on `threads`; at most `waiting` wait for one."""
        self._pool = ThreadPoolExecutor(threads, "auth")
        self._room = threads + waiting

    async def run(self, work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """The result of `work`; CrowdedError when too many wait."""
        if self._room <= 0:
            raise CrowdedError("too many log-ins at one time")
        self._room -= 1
        try:
            future = self._pool.submit(work, *args, **named)
        except RuntimeError:  # closed: the server ends
            self._room += 1
            raise CrowdedError("the server ends") from None
        # Whoever leaves meanwhile does not make room: the thread is still at it.
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.is_closed() or loop.call_soon_threadsafe(self._left))
        return await asyncio.wrap_future(future)

    def _left(self) -> None:
        self._room += 1

    def close(self) -> None:
        """Begin nothing more; what runs is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)
