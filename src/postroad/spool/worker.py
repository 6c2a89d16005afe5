"""A thread that does one job after the other, so that a slow disk never stops the event loop.

Jobs are plain synchronous functions; what they return or raise goes back to the loop. The spool has four:
writer (journal), index (SQLite), drafts (large content coming in) and reader (content going out).
"""

import asyncio
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

T = TypeVar("T")
Job = Callable[[], None]


class Worker:
    """One thread and its jobs, in order."""

    def __init__(self, name: str) -> None:
        """Start the thread; its results go to the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name=f"spool-{name}", daemon=True)
        self._thread.start()
        self.submit = self._jobs.put  # a job must not raise

    def _work(self) -> None:
        get = self._jobs.get
        while (job := get()) is not None:
            job()

    async def call(self, function: Callable[[], T], undo: Callable[[T], None] | None = None) -> T:
        """Run `function` on the thread and give what it returns, or raise what it raises.

        When the caller is cancelled meanwhile, `undo` gets on the event loop what nobody waits for any more.
        """
        loop = self._loop
        future: asyncio.Future[T] = loop.create_future()

        def finish(result: T | None, error: BaseException | None) -> None:
            if future.cancelled():
                if undo is not None and error is None:
                    undo(result)  # type: ignore[arg-type]  # None only when T is
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]  # None only when T is

        def job() -> None:
            try:
                result = function()
            except BaseException as error:  # noqa: BLE001  raised again where the call is awaited
                loop.call_soon_threadsafe(finish, None, error)
            else:
                loop.call_soon_threadsafe(finish, result, None)

        self.submit(job)
        return await future

    def to_loop(self, callback: Callable[[], None]) -> None:
        """From a job: run `callback` on the event loop."""
        self._loop.call_soon_threadsafe(callback)

    def stop(self) -> None:
        """Finish the jobs that wait, then end the thread."""
        self._jobs.put(None)
        self._thread.join()
