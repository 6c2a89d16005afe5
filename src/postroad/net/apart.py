"""One piece of work that blocks, in a thread of its own that nobody waits for at the end of the process.

The threads that the event loop keeps are few and are waited for; a CA that does not answer must hold up neither.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


async def apart(name: str, work: Callable[[], T]) -> T:
    """What `work` returns or raises. Cancelled, it is told nothing and its result is lost."""
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()

    def live() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001  whoever waits for it gets it
            done.set_exception(error)

    Thread(target=live, name=name, daemon=True).start()
    return await asyncio.wrap_future(done)
