"""Calls into libraries that may never come back, in threads that the end of the process does not wait for.

Each call has a thread of its own; a few run at one time, and a bound is set on who waits. A call whose caller has left
keeps its place until it comes back, so that those that hang can never become many.
"""

import asyncio
import contextlib
from collections.abc import Callable
from threading import Thread
from typing import ParamSpec, TypeVar

from postroad.auth.gate import CrowdedError

T = TypeVar("T")
P = ParamSpec("P")


class Hangers:
    """The threads; used on one event loop."""

    def __init__(self, threads: int, waiting: int) -> None:
        """Run `threads` calls; at most `waiting` wait."""
        self._places = asyncio.Semaphore(threads)
        self._room = threads + waiting

    async def run(self, work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """The result of `work`; CrowdedError when too many wait."""
        if self._room <= 0:
            raise CrowdedError("too many log-ins at one time")
        self._room -= 1
        try:
            await self._places.acquire()
        except BaseException:
            self._room += 1
            raise
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def leave(result: T | None, error: Exception | None) -> None:
            self._room += 1
            self._places.release()
            if done.done():  # nobody waits any more
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(result)  # type: ignore[arg-type]  # of `work`, which has not raised

        def live() -> None:
            result, fault = None, None
            try:
                result = work(*args, **named)
            except Exception as error:  # noqa: BLE001  it is raised where the call was made
                fault = error
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(leave, result, fault)

        Thread(target=live, name="pam", daemon=True).start()
        return await done
