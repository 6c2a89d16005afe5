"""The life of the process that has the queue: start, serve, reload, stop. Alone it also takes mail.

Start: open the spool (replay), start the queue, accept. SIGHUP reloads, unless it tells that our terminal is gone. Stop
(SIGTERM, SIGINT): accept nothing, let transactions and deliveries finish within a deadline, close the spool; what is
not delivered goes on at the next start. A second signal cuts the deadline short.
"""

import asyncio
import gc
import os
import signal
from collections.abc import Callable
from typing import Final

from postroad import VERSION
from postroad.house.house import House
from postroad.house.reload import Reloader
from postroad.model.records import ServerStarted, ServerStopping
from postroad.net.notify import Notifier

DRAIN_SECONDS: Final = 30.0
COLLECT_AFTER: Final = 50_000  # new objects before the collector looks; messages are freed by counting
_STDERR: Final = 2


class Life:
    """One process from its first bound port to its last closed file."""

    def __init__(self, house: House, reloader: Reloader, notifier: Notifier) -> None:
        """Signals are kept from now on until everything runs."""
        self._house = house
        self._reloader = reloader
        self._notifier = notifier
        self._reload_asked = asyncio.Event()
        self._stopping: asyncio.Queue[str] = asyncio.Queue()
        self._bound: list[str] = []
        self._has_terminal = os.isatty(_STDERR)
        self._listen_for_reloads()

    async def bind(self) -> None:
        """Take the ports, for which one may have to be root."""
        house = self._house
        self._bound = await house.listeners.bind(house.config.listeners)
        if house.monitor is not None:
            self._bound += await house.monitor.bind()

    async def live(self, announce: Callable[[str], None]) -> int:
        """Start everything, serve until a signal, stop everything."""
        house, monitor = self._house, self._house.monitor
        if monitor is not None:
            await monitor.start()
        await self._open()
        await house.drops.resume()
        if monitor is not None:
            monitor.opened()
        control = house.build_control(self._reloader.reload, self._reloader.compare)
        await control.start()
        work = asyncio.create_task(house.dispatcher.run())
        house.front.aliases.start(house.clock, house.emit)
        self._listen_to_signals()
        reloading = asyncio.create_task(self._reload_when_asked())
        await self._accept()
        house.drops.start()
        if monitor is not None:
            monitor.serve()
        self._started(announce)
        settle_down()
        self._ready()
        reason = await _first(self._stopping, work)
        self._stop_begins(reason)
        reloading.cancel()
        await control.stop()
        await house.drops.stop()
        await self._stop(work, reloading)
        return 0

    # -- what differs when others take the mail --------------------------------------------------

    def _listen_for_reloads(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._hang_up)

    async def _open(self) -> None:
        await self._house.spool.open()

    async def _accept(self) -> None:
        await self._house.listeners.start()

    def _started(self, announce: Callable[[str], None]) -> None:
        house, bound = self._house, self._bound
        hostname = house.config.hostname
        house.emit(ServerStarted(at=house.clock.now(), version=VERSION, hostname=hostname, listeners=tuple(bound)))
        for line in bound:
            announce(f"listening: {line}")

    def _ready(self) -> None:
        self._notifier.ready(f"running as {self._house.config.hostname}")

    def _stop_begins(self, reason: str) -> None:
        self._notifier.stopping()
        self._house.emit(ServerStopping(at=self._house.clock.now(), reason=reason))

    # --------------------------------------------------------------------------------------------

    async def _reload_when_asked(self) -> None:
        while True:
            await self._reload_asked.wait()
            self._reload_asked.clear()
            await self._reloader.reload("SIGHUP")

    async def _stop(self, work: "asyncio.Task[None]", reloading: "asyncio.Task[None]") -> None:
        if self._house.monitor is not None:
            self._house.monitor.drain()
        drained = asyncio.create_task(self._drain())
        impatient = asyncio.create_task(self._stopping.get())
        await asyncio.wait((drained, impatient), return_when=asyncio.FIRST_COMPLETED)
        for task in (drained, impatient, work):
            task.cancel()
        await asyncio.gather(drained, impatient, work, reloading, return_exceptions=True)
        await self._house.close()

    async def _drain(self) -> None:
        await self._house.listeners.drain(DRAIN_SECONDS)
        await self._house.dispatcher.drain(DRAIN_SECONDS)

    def _listen_to_signals(self) -> None:
        """Keep the names of the signals that ask us to stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.put_nowait, number.name)

    def _hang_up(self) -> None:
        """SIGHUP: a wish for a reload, or the news that the terminal we run in has gone, and its user with it."""
        if self._has_terminal and not os.isatty(_STDERR):
            self._stopping.put_nowait(signal.SIGHUP.name)
        else:
            self._reload_asked.set()


def settle_down() -> None:
    """What there is now stays: let the garbage collector look at it no more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 100)


async def _first(stopping: "asyncio.Queue[str]", work: "asyncio.Task[None]") -> str:
    """Wait for a signal, or for the queue to break, which it must not."""
    asked = asyncio.create_task(stopping.get())
    await asyncio.wait((asked, work), return_when=asyncio.FIRST_COMPLETED)
    if asked.done():
        return asked.result()
    asked.cancel()
    work.result()  # raises what broke it
    return "the queue ended"
