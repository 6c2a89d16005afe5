"""The life of the process: start, serve, reload, stop. What it is built of is in `house`.

Start: bind, give up root, open the spool (replay), start the queue, accept. SIGHUP reloads, unless it tells that our
terminal is gone. Stop (SIGTERM, SIGINT):
accept nothing, let transactions and deliveries finish within a deadline, close the spool; what is not
delivered goes on at the next start. A second signal cuts the deadline short.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import uvloop

from postroad import VERSION
from postroad.config.schema import Config
from postroad.house.house import House, Logs, around_of
from postroad.house.reload import Reloader
from postroad.model.errors import ConfigError
from postroad.model.records import ServerStarted, ServerStopping
from postroad.net.clock import SystemClock
from postroad.net.inherited import inherited_sockets
from postroad.net.notify import Notifier
from postroad.net.process import become_user, give_to_user, ids_of, is_root, raise_file_limit
from postroad.observe.fanout import Fanout
from postroad.observe.log import LogSink
from postroad.observe.sinks import Sinks
from postroad.store.drops import DropFolder

DRAIN_SECONDS: Final = 30.0
_STDERR: Final = 2
SWITCH_SECONDS: Final = 0.0005  # the spool's threads must not wait 5 ms for the interpreter (measured)
COLLECT_AFTER: Final = 50_000  # new objects before the collector looks; messages are freed by counting


def run(config: Config, file: Path, *, announce: Callable[[str], None]) -> int:
    """Serve by `config`, read from `file`, until a signal ends it; 0 after a clean drain.

    `announce` gets lines for whoever started us.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    raise_file_limit()
    if is_root() and not config.process.user:
        announce("warning: running as root; set process.user to give up root after binding")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(config, file.absolute(), announce))


async def _serve(config: Config, file: Path, announce: Callable[[str], None]) -> int:
    clock = SystemClock()
    sink = LogSink(config.log.format, hostname=config.hostname)
    emit = Fanout((sink,))
    sinks = Sinks(config.sinks, around_of(config), clock=clock, emit=emit)
    notifier = Notifier(os.environ, clock)
    inherited = inherited_sockets(os.environ)
    try:
        house = House(config, clock, emit, Logs(sink, sinks), inherited)
        life = _Life(house, Reloader(house, file, notifier), notifier)
        await life.prepare()
        for left in inherited.left():
            announce(f"warning: no listener has the name or address of a socket that was handed to us: {left}")
        inherited.close()
        sinks.start()  # root is given up: files belong to who writes them later
        return await life.live(announce)
    finally:
        notifier.close()
        sinks.close()
        sink.close()


class _Life:
    """One process from its first bound port to its last closed file."""

    def __init__(self, house: House, reloader: Reloader, notifier: Notifier) -> None:
        self._house = house
        self._reloader = reloader
        self._notifier = notifier
        self._reload_asked = asyncio.Event()
        self._stopping: asyncio.Queue[str] = asyncio.Queue()
        self._bound: list[str] = []
        self._has_terminal = os.isatty(_STDERR)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._hang_up)  # kept until everything runs

    async def prepare(self) -> None:
        """Take what root alone may take, then be root no more."""
        house, config = self._house, self._house.config
        self._bound = await house.listeners.bind(config.listeners)
        if house.monitor is not None:
            self._bound += await house.monitor.bind()
        if house.injection is not None:
            self._bound += await house.injection.bind()
        if config.process.user:
            give_to_user(config.process.user, config.data_dir, config.drop_folder)
        prepare_drops(config, house.way.drops)
        if config.process.user:
            become_user(config.process.user)

    async def live(self, announce: Callable[[str], None]) -> int:
        """Start everything, serve until a signal, stop everything."""
        house, bound, monitor = self._house, self._bound, self._house.monitor
        if monitor is not None:
            await monitor.start()
        await house.spool.open()
        await house.drops.resume()
        if house.injection is not None:
            await house.injection.resume()
        if monitor is not None:
            monitor.opened()
        control = house.build_control(self._reloader.reload, self._reloader.compare)
        await control.start()
        work = asyncio.create_task(house.dispatcher.run())
        house.front.aliases.start(house.clock, house.emit)
        stopping = self._listen_to_signals()
        reloading = asyncio.create_task(self._reload_when_asked())
        await house.listeners.start()
        house.drops.start()
        if house.injection is not None:
            await house.injection.start()
        house.rates.start()
        if monitor is not None:
            monitor.serve()
        now = house.clock.now()
        hostname = house.config.hostname
        house.emit(ServerStarted(at=now, version=VERSION, hostname=hostname, listeners=tuple(bound)))
        for line in bound:
            announce(f"listening: {line}")
        gc.collect()
        gc.freeze()
        gc.set_threshold(COLLECT_AFTER, 20, 100)
        self._notifier.ready(f"running as {hostname}")
        reason = await _first(stopping, work)
        self._notifier.stopping()
        house.emit(ServerStopping(at=house.clock.now(), reason=reason))
        reloading.cancel()
        await control.stop()
        await house.drops.stop()
        await self._stop(stopping, work, reloading)
        return 0

    async def _reload_when_asked(self) -> None:
        while True:
            await self._reload_asked.wait()
            self._reload_asked.clear()
            await self._reloader.reload("SIGHUP")

    async def _stop(
        self, stopping: "asyncio.Queue[str]", work: "asyncio.Task[None]", reloading: "asyncio.Task[None]"
    ) -> None:
        if self._house.monitor is not None:
            self._house.monitor.drain()
        drained = asyncio.create_task(self._drain())
        impatient = asyncio.create_task(stopping.get())
        await asyncio.wait((drained, impatient), return_when=asyncio.FIRST_COMPLETED)
        for task in (drained, impatient, work):
            task.cancel()
        await asyncio.gather(drained, impatient, work, reloading, return_exceptions=True)
        await self._house.close()

    async def _drain(self) -> None:
        doors = [self._house.listeners.drain(DRAIN_SECONDS)]
        if self._house.injection is not None:
            doors.append(self._house.injection.drain(DRAIN_SECONDS))
        await asyncio.gather(*doors)
        await self._house.dispatcher.drain(DRAIN_SECONDS)

    def _listen_to_signals(self) -> "asyncio.Queue[str]":
        """A queue of the names of the signals that ask us to stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.put_nowait, number.name)
        return self._stopping

    def _hang_up(self) -> None:
        """SIGHUP: a wish for a reload, or the news that the terminal we run in has gone, and its user with it."""
        if self._has_terminal and not os.isatty(_STDERR):
            self._stopping.put_nowait(signal.SIGHUP.name)
        else:
            self._reload_asked.set()


async def _first(stopping: "asyncio.Queue[str]", work: "asyncio.Task[None]") -> str:
    """Wait for a signal, or for the queue to break, which it must not."""
    asked = asyncio.create_task(stopping.get())
    await asyncio.wait((asked, work), return_when=asyncio.FIRST_COMPLETED)
    if asked.done():
        return asked.result()
    asked.cancel()
    work.result()  # raises what broke it
    return "the queue ended"


def prepare_drops(config: Config, folder: DropFolder) -> None:
    """Make the folder of drops ready, as root still when we were started as root; ConfigError when that cannot be."""
    owner = ids_of(config.process.user) if config.process.user and is_root() else (-1, -1)
    try:
        config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.prepare(*owner)
    except OSError as error:
        raise ConfigError([f"drops.folder: {config.drop_folder} cannot be made ready: {error.strerror}"]) from error
