"""The life of the process that has the queue: start, serve, reload, stop. Alone it also takes mail.

Start: open the spool (replay), start the queue, accept. SIGHUP reloads, unless it tells that our terminal is gone. Stop
(SIGTERM, SIGINT): accept nothing, let transactions and deliveries finish within a deadline, close the spool; what is
not delivered goes on at the next start. A second signal cuts the deadline short. SIGUSR2 ends the same way, and the
process then becomes the program as it is on disk, with the same listening sockets (`house.upgrade`).
"""

import asyncio
import gc
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Final, TypeVar

from postroad import VERSION
from postroad.desk.control import ControlServer
from postroad.house.house import House
from postroad.house.processes.upgrade import Upgrader
from postroad.house.reload import Reloader
from postroad.model.records import ServerStarted, ServerStopping
from postroad.net.process.handover import Handover, hold_signals
from postroad.net.process.inherited import Inherited
from postroad.net.process.notify import Notifier

T = TypeVar("T")
DRAIN_SECONDS: Final = 30.0
TURN_SECONDS: Final = 0.001  # for the event loop to take the signals that came
UPGRADE: Final = "upgrade"  # beside the names of signals, why the process ends
COLLECT_AFTER: Final = 50_000  # new objects before the collector looks; messages are freed by counting
_STDERR: Final = 2


class Life:
    """One process from its first bound port to its last closed file."""

    def __init__(self, house: House, reloader: Reloader, notifier: Notifier, upgrader: Upgrader | None = None) -> None:
        """Signals are kept from now on until everything runs; without `upgrader` this process cannot be upgraded."""
        self._house = house
        self._reloader = reloader
        self._notifier = notifier
        self._upgrader = upgrader
        self._reload_asked = asyncio.Event()
        self._stopping: asyncio.Queue[str] = asyncio.Queue()
        self._is_ending = False
        self._bound: list[str] = []
        self._has_terminal = os.isatty(_STDERR)
        self._listen_for_wishes()

    async def bind(self, inherited: Inherited) -> None:
        """Take the ports, for which one may have to be root, those of `inherited` first."""
        house = self._house
        self._bound = await house.listeners.bind(house.config.listeners)
        await self._bind_pages(inherited)

    async def _bind_pages(self, inherited: Inherited) -> None:
        house = self._house
        if house.monitor is not None:
            self._bound += await house.monitor.bind(inherited)
        if house.injection is not None:
            self._bound += await house.injection.bind(inherited)
        if house.acme is not None:
            self._bound += await house.acme.bind(inherited)

    async def live(self, announce: Callable[[str], None], inherited: Inherited) -> Handover | None:
        """Start everything, serve until a signal, stop everything; what becomes of the process, if anything does."""
        house, monitor = self._house, self._house.monitor
        if monitor is not None:
            await monitor.start()
        await self._open()
        await house.drops.resume()
        if house.injection is not None:
            await house.injection.resume()
        if monitor is not None:
            monitor.opened()
        control = house.build_control(self._reloader.reload, self._reloader.compare, self._upgrade)
        await control.start(inherited)
        let_go(inherited, announce)
        work = asyncio.create_task(house.dispatcher.run())
        house.front.known.start(house.clock, house.emit)
        self._listen_to_signals()
        wishes = asyncio.gather(self._reload_when_asked(), self._upgrade_when_asked())
        await self._accept()
        house.drops.start()
        if house.injection is not None:
            await house.injection.start()
        house.rates.start()
        house.keeper.start()
        house.guard.start()
        house.reporting.start()
        if house.acme is not None:
            await house.acme.start()
        if monitor is not None:
            monitor.serve()
        self._started(announce)
        settle_down()
        self._ready()
        reason = await _first(self._stopping, work)
        wishes.cancel()
        await asyncio.gather(wishes, return_exceptions=True)
        return await self._leave(reason, control, work)

    # -- what differs when others take the mail --------------------------------------------------

    def _listen_for_wishes(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        if self._upgrader is not None:
            loop.add_signal_handler(signal.SIGUSR2, self._upgrader.ask)

    async def _open(self) -> None:
        await self._house.spool.open()

    async def _accept(self) -> None:
        house = self._house
        house.front.known.certificates.start(house.clock, house.emit)
        await house.listeners.start()

    def _started(self, announce: Callable[[str], None]) -> None:
        house, bound = self._house, self._bound
        hostname = house.config.hostname
        house.emit(ServerStarted(at=house.clock.now(), version=VERSION, hostname=hostname, listeners=tuple(bound)))
        for line in bound:
            announce(f"listening: {line}")

    def _ready(self) -> None:
        self._notifier.ready(f"running as {self._house.config.hostname}")

    def _stop_begins(self, reason: str) -> None:
        if reason == UPGRADE:
            self._notifier.reloading()
        else:
            self._notifier.stopping()
        self._house.emit(ServerStopping(at=self._house.clock.now(), reason=reason))

    # -- the end ---------------------------------------------------------------------------------

    async def _leave(self, reason: str, control: ControlServer, work: "asyncio.Task[None]") -> Handover | None:
        self._is_ending = True
        self._stop_begins(reason)
        if reason == UPGRADE and self._upgrader is not None:
            handover = await self._end(self._upgrader.hand_over(control), work)
            self._notifier.alive()
            hold_signals()
            await self._house.clock.sleep(TURN_SECONDS)
            return handover if self._stopping.empty() else None
        if self._house.monitor is not None:
            self._house.monitor.drain()
        await control.stop()
        await self._end(self._drain(), work)
        return None

    async def _end(self, draining: "Coroutine[None, None, T]", work: "asyncio.Task[None]") -> T | None:
        """Close everything once `draining` is done; its result. A signal cuts it short: then None."""
        await self._house.drops.stop()
        drained = asyncio.create_task(draining)
        impatient = asyncio.create_task(self._stopping.get())
        await asyncio.wait((drained, impatient), return_when=asyncio.FIRST_COMPLETED)
        for task in (drained, impatient, work):
            task.cancel()
        result, _, _ = await asyncio.gather(drained, impatient, work, return_exceptions=True)
        await self._house.close()
        if isinstance(result, Exception):
            raise result
        return None if isinstance(result, BaseException) else result

    async def _drain(self) -> None:
        doors = [self._house.listeners.drain(DRAIN_SECONDS)]
        if self._house.injection is not None:
            doors.append(self._house.injection.drain(DRAIN_SECONDS))
        await asyncio.gather(*doors)
        await self._house.dispatcher.drain(DRAIN_SECONDS)

    # -- signals and orders ----------------------------------------------------------------------

    async def _reload_when_asked(self) -> None:
        while True:
            await self._reload_asked.wait()
            self._reload_asked.clear()
            await self._reloader.reload("SIGHUP")

    async def _upgrade_when_asked(self) -> None:
        if self._upgrader is not None:
            await self._upgrader.watch(self._make_way)

    async def _upgrade(self, by: str) -> tuple[str, ...]:
        if self._upgrader is None:
            return ("several processes (process.edges) cannot be upgraded while they run: restart the server",)
        return await self._upgrader.upgrade(by, self._make_way)

    def _make_way(self) -> None:
        if not self._is_ending:  # a second wish to end would cut the end short
            self._stopping.put_nowait(UPGRADE)

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


def let_go(inherited: Inherited, announce: Callable[[str], None]) -> None:
    """Close the sockets that nobody wanted; of strangers' it is told, of our own the configuration has let go."""
    if not inherited.upgraded_from:
        for left in inherited.left():
            announce(f"warning: no listener has the name or address of a socket that was handed to us: {left}")
    inherited.close()


async def _first(stopping: "asyncio.Queue[str]", work: "asyncio.Task[None]") -> str:
    """Wait for a signal, or for the queue to break, which it must not."""
    asked = asyncio.create_task(stopping.get())
    await asyncio.wait((asked, work), return_when=asyncio.FIRST_COMPLETED)
    if asked.done():
        return asked.result()
    asked.cancel()
    work.result()  # raises what broke it
    return "the queue ended"
