"""The life of the process: start, serve, reload, stop. What it is built of is in `house`.

Start: bind, give up root, open the spool (replay), start the queue, accept. SIGHUP reloads, unless it tells that our
terminal is gone. Stop (SIGTERM, SIGINT):
accept nothing, let transactions and deliveries finish within a deadline, close the spool; what is not
delivered goes on at the next start. A second signal cuts the deadline short. SIGUSR2 ends the same way, and the
process then becomes the program as it is on disk, with the same listening sockets (`house.upgrade`).
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Final, TypeVar

import uvloop

from postroad import VERSION
from postroad.config.schema import Config
from postroad.desk.control import ControlServer
from postroad.house.house import House, Logs, around_of
from postroad.house.reload import Reloader
from postroad.house.upgrade import Upgrader, program_of
from postroad.model.errors import ConfigError
from postroad.model.records import ServerStarted, ServerStopping
from postroad.net.clock import SystemClock
from postroad.net.handover import Handover, become, hold_signals
from postroad.net.inherited import Inherited, inherited_sockets
from postroad.net.notify import Notifier
from postroad.net.process import become_user, give_to_user, ids_of, is_root, raise_file_limit
from postroad.observe.fanout import Fanout
from postroad.observe.log import LogSink
from postroad.observe.sinks import Sinks
from postroad.store.drops import DropFolder

T = TypeVar("T")
DRAIN_SECONDS: Final = 30.0
TURN_SECONDS: Final = 0.001  # for the event loop to take the signals that came
UPGRADE: Final = "upgrade"  # beside the names of signals, why the process ends
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
        handover = runner.run(_serve(config, file.absolute(), announce))
    if handover is not None:
        become(handover)
    return 0


async def _serve(config: Config, file: Path, announce: Callable[[str], None]) -> Handover | None:
    clock = SystemClock()
    sink = LogSink(config.log.format, hostname=config.hostname)
    emit = Fanout((sink,))
    sinks = Sinks(config.sinks, around_of(config), clock=clock, emit=emit)
    notifier = Notifier(os.environ, clock)
    inherited = inherited_sockets(os.environ)
    try:
        house = House(config, clock, emit, Logs(sink, sinks), inherited)
        program = program_of(sys.executable, sys.orig_argv, sys.argv[1:])
        upgrader = Upgrader(house, file, program, {**os.environ, **notifier.taken})
        life = _Life(house, Reloader(house, file, notifier), upgrader, notifier)
        if inherited.upgraded_from:
            notifier.alive()
        await life.prepare(inherited)
        sinks.start()  # root is given up: files belong to who writes them later
        return await life.live(announce, inherited)
    finally:
        inherited.close()
        notifier.close()
        sinks.close()
        sink.close()


class _Life:
    """One process from its first bound port to its last closed file."""

    def __init__(self, house: House, reloader: Reloader, upgrader: Upgrader, notifier: Notifier) -> None:
        self._house = house
        self._reloader = reloader
        self._upgrader = upgrader
        self._notifier = notifier
        self._reload_asked = asyncio.Event()
        self._stopping: asyncio.Queue[str] = asyncio.Queue()
        self._is_ending = False
        self._bound: list[str] = []
        self._has_terminal = os.isatty(_STDERR)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)  # kept until everything runs
        loop.add_signal_handler(signal.SIGUSR2, upgrader.ask)

    async def prepare(self, inherited: Inherited) -> None:
        """Take what root alone may take, then be root no more."""
        house, config = self._house, self._house.config
        self._bound = await house.listeners.bind(config.listeners)
        if house.monitor is not None:
            self._bound += await house.monitor.bind(inherited)
        if house.injection is not None:
            self._bound += await house.injection.bind(inherited)
        if config.process.user:
            give_to_user(config.process.user, config.data_dir, config.drop_folder)
        prepare_drops(config, house.way.drops)
        if config.process.user:
            become_user(config.process.user)

    async def live(self, announce: Callable[[str], None], inherited: Inherited) -> Handover | None:
        """Start everything, serve until a signal, stop everything; what becomes of the process, if anything does."""
        house, bound, monitor = self._house, self._bound, self._house.monitor
        if monitor is not None:
            await monitor.start()
        await house.spool.open()
        await house.drops.resume()
        if house.injection is not None:
            await house.injection.resume()
        if monitor is not None:
            monitor.opened()
        control = house.build_control(self._reloader.reload, self._reloader.compare, self._upgrade)
        await control.start(inherited)
        if not inherited.upgraded_from:
            for left in inherited.left():
                announce(f"warning: no listener has the name or address of a socket that was handed to us: {left}")
        inherited.close()
        work = asyncio.create_task(house.dispatcher.run())
        house.front.aliases.start(house.clock, house.emit)
        stopping = self._listen_to_signals()
        wishes = asyncio.gather(self._reload_when_asked(), self._upgrader.watch(self._make_way))
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
        wishes.cancel()
        await asyncio.gather(wishes, return_exceptions=True)
        return await self._leave(reason, control, work)

    async def _leave(self, reason: str, control: ControlServer, work: "asyncio.Task[None]") -> Handover | None:
        house = self._house
        self._is_ending = True
        if reason == UPGRADE:
            self._notifier.reloading()
        else:
            self._notifier.stopping()
        house.emit(ServerStopping(at=house.clock.now(), reason=reason))
        if reason == UPGRADE:
            handover = await self._end(self._upgrader.hand_over(control), work)
            self._notifier.alive()
            hold_signals()
            await house.clock.sleep(TURN_SECONDS)
            return handover if self._stopping.empty() else None
        if house.monitor is not None:
            house.monitor.drain()
        await control.stop()
        return await self._end(self._drain(), work)

    async def _reload_when_asked(self) -> None:
        while True:
            await self._reload_asked.wait()
            self._reload_asked.clear()
            await self._reloader.reload("SIGHUP")

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

    async def _upgrade(self, by: str) -> tuple[str, ...]:
        return await self._upgrader.upgrade(by, self._make_way)

    def _make_way(self) -> None:
        if not self._is_ending:  # a second wish to end would cut the end short
            self._stopping.put_nowait(UPGRADE)

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
