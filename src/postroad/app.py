"""The composition root: one process that does everything, or a supervisor with a courier and edges.

Either way: bind as root, give up root, then open files, so that they belong to who writes them later. What is built is
in `house`, where the lives of the processes are too.
"""

import asyncio
import gc
import os
import secrets
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

import uvloop

from postroad.config.schema import Config
from postroad.house.house import House, Logs, around_of
from postroad.house.life import Life, let_go
from postroad.house.processes.board import Board
from postroad.house.processes.courierlife import CourierLife, Wire, WireNotifier
from postroad.house.processes.edge import Edge
from postroad.house.processes.exchange import Shop
from postroad.house.processes.seat import Role, Roles, Seat
from postroad.house.processes.supervisor import SPARE, Supervisor
from postroad.house.processes.upgrade import Upgrader, program_of
from postroad.house.reload import Reloader
from postroad.house.securing import read_certificates
from postroad.model.errors import ConfigError, SpoolError
from postroad.net.clock import SystemClock
from postroad.net.process.fork import Signals
from postroad.net.process.handover import Handover, become
from postroad.net.process.inherited import Inherited, inherited_sockets
from postroad.net.process.notify import Notifier
from postroad.net.process.rights import become_user, give_to_user, ids_of, is_root, raise_file_limit
from postroad.net.tls.keyfiles import KeyStore
from postroad.observe.fanout import Fanout
from postroad.observe.log import LogSink
from postroad.observe.sinks import Sinks
from postroad.spool.layout import Lock
from postroad.store.drops import DropFolder

SWITCH_SECONDS: Final = 0.0005  # the spool's threads must not wait 5 ms for the interpreter (measured)
LOCK_SECONDS: Final = 3.0  # for processes of a supervisor that was killed to be gone


def run(config: Config, file: Path, *, announce: Callable[[str], None]) -> int:
    """Serve by `config`, read from `file`, until a signal ends it; 0 after a clean drain.

    `announce` gets lines for whoever started us.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    raise_file_limit()
    if is_root() and not config.process.user:
        announce("warning: running as root; set process.user to give up root after binding")
    if config.process.edges:
        return _supervise(config, file.absolute(), announce)
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
        life = Life(house, Reloader(house, file, notifier), notifier, upgrader)
        if inherited.upgraded_from:
            notifier.alive()
        await life.bind(inherited)
        give_up_root(config, house.drop_folder)
        sinks.start()  # root is given up: files belong to who writes them later
        return await life.live(announce, inherited)
    finally:
        inherited.close()
        notifier.close()
        sinks.close()
        sink.close()


# -- several processes ---------------------------------------------------------------------------


def _supervise(config: Config, file: Path, announce: Callable[[str], None]) -> int:
    signals, clock = Signals(), SystemClock()
    notifier = Notifier(os.environ, clock, beats_itself=False)
    inherited = inherited_sockets(os.environ)
    lock = _lock(config, signals, clock)
    shop = Shop()
    edges = config.process.edges
    shop.open(config, edges, inherited)
    keys = KeyStore()
    read_certificates(config, keys)  # as root still: whoever is begun later may not be allowed to
    give_up_root(config, DropFolder(config.drop_folder))
    let_go(inherited, announce)
    gc.collect()
    gc.freeze()  # what all processes have in common stays in common
    supervisor = Supervisor(
        config,
        file,
        Roles(_in_loop(partial(_courier, keys)), _in_loop(partial(_edge, keys))),
        board=Board(1 + (1 + SPARE) * edges, secrets.token_bytes(16), config.counting.accounts),
        lock=lock,
        shop=shop,
        signals=signals,
        clock=clock,
        notifier=notifier,
        announce=announce,
    )
    try:
        return supervisor.run()
    finally:
        notifier.close()


def _lock(config: Config, signals: Signals, clock: SystemClock) -> Lock:
    """The lock of the spool, before anything else is taken: whoever had it has let go of all."""
    config.spool_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    until = clock.monotonic() + LOCK_SECONDS
    while True:
        try:
            return Lock(config.spool_folder)
        except SpoolError:
            if clock.monotonic() > until or signals.wait(0.02):
                raise


Live = Callable[[Seat, SystemClock, Fanout, Logs], Awaitable[int]]


def _in_loop(live: Live) -> Role:
    """`live` as a process's whole work, with a log and the sinks around it."""

    async def serve(seat: Seat) -> int:
        clock, config = SystemClock(), seat.config
        sink = LogSink(config.log.format, hostname=config.hostname, is_shared=True)
        emit = Fanout((sink,))
        sinks = Sinks(config.sinks, around_of(config), clock=clock, emit=emit)
        try:
            sinks.start()
            return await live(seat, clock, emit, Logs(sink, sinks))
        finally:
            sinks.close()
            sink.close()

    def work(seat: Seat) -> int:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(serve(seat))

    return work


async def _edge(keys: KeyStore, seat: Seat, clock: SystemClock, emit: Fanout, logs: Logs) -> int:
    return await Edge(seat, clock, emit, logs.log, keys).live()


async def _courier(keys: KeyStore, seat: Seat, clock: SystemClock, emit: Fanout, logs: Logs) -> int:
    if seat.link is None:
        raise RuntimeError("a courier has a link to the supervisor")
    wire = Wire(seat.link)
    house = House(seat.config, clock, emit, logs, Inherited(()), seat, keys=keys)
    notifier = WireNotifier(wire, clock)
    life = CourierLife(house, Reloader(house, seat.file, notifier, wire.exchange), notifier, seat, wire)
    none = Inherited(())
    await life.bind(none)
    await life.live(_said_elsewhere, none)
    return 0


def _said_elsewhere(_: str) -> None:
    """The supervisor tells whoever started us."""


# -- as root, or as who we are -------------------------------------------------------------------


def give_up_root(config: Config, drops: DropFolder) -> None:
    """Make folders ready as root still when we were started as root, then be root no more."""
    if config.process.user:
        give_to_user(config.process.user, config.data_dir, config.drop_folder)
    prepare_drops(config, drops)
    if config.process.user:
        become_user(config.process.user)


def prepare_drops(config: Config, folder: DropFolder) -> None:
    """Make the folder of drops ready, as root still when we were started as root; ConfigError when that cannot be."""
    owner = ids_of(config.process.user) if config.process.user and is_root() else (-1, -1)
    try:
        config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.prepare(*owner)
    except OSError as error:
        raise ConfigError([f"drops.folder: {config.drop_folder} cannot be made ready: {error.strerror}"]) from error
