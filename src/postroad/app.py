"""The composition root: settings become objects, objects meet as plain callables. The only wiring.

Start: bind, give up root, open the spool (replay), start the queue, accept. Stop (SIGTERM, SIGINT):
accept nothing, let transactions and deliveries finish within a deadline, close the spool; what is not
delivered goes on at the next start. A second signal cuts the deadline short.
"""

import asyncio
import gc
import random
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import uvloop

from postroad import VERSION
from postroad.aliases.load import load
from postroad.aliases.service import AliasService
from postroad.config.checkaliases import bounds_of, problem_of
from postroad.config.egress import egress_of
from postroad.config.problem import render
from postroad.config.schema import Config
from postroad.config.templates import read_languages
from postroad.delivery.deliver import Deliverer
from postroad.desk.control import ControlServer
from postroad.listener.drops import Drops, Parts
from postroad.listener.intake import Intake
from postroad.listener.server import Listeners
from postroad.model.address import parse_mailbox
from postroad.model.envelope import Envelope, Recipient
from postroad.model.errors import ConfigError, SpoolError
from postroad.model.option import parse_endpoint
from postroad.model.queueid import QueueIds
from postroad.model.records import ServerStarted, ServerStopping, SpoolFaulted
from postroad.net.addresses import own_endpoints
from postroad.net.clock import SystemClock
from postroad.net.process import become_user, give_to_user, ids_of, is_root, raise_file_limit
from postroad.net.resolver import Resolver
from postroad.net.stream import open_stream
from postroad.net.tls import opportunistic_context
from postroad.net.turn import Turn
from postroad.observe.fanout import Fanout
from postroad.observe.log import LogSink
from postroad.policies.known_recipients import KnownRecipients
from postroad.policies.relay_control import RelayControl
from postroad.policy.chain import Chain, Policy
from postroad.policy.context import RcptContext
from postroad.queue.actions import Surroundings
from postroad.queue.announce import Announcer
from postroad.queue.books import Reporting
from postroad.queue.dispatcher import Dispatcher
from postroad.queue.operator import Operator, watched
from postroad.queue.planning import ShapedPlans
from postroad.queue.retryrules import retries_of
from postroad.queue.shaping import Shaping
from postroad.queue.spooling import CachedPlan, Plan
from postroad.queue.suspensions import Suspensions
from postroad.routing.lanes import fallback_of, lane_named
from postroad.routing.rewrite import compile_rewriter
from postroad.routing.router import Router
from postroad.routing.rules import compile_rules
from postroad.routing.sites import Sites
from postroad.spool.spool import EmbeddedSpool
from postroad.store.drops import DropFolder
from postroad.store.suspensions import load as load_suspensions
from postroad.store.suspensions import save as save_suspensions

DRAIN_SECONDS: Final = 30.0
POLICY_SECONDS: Final = 30.0
SWITCH_SECONDS: Final = 0.0005  # the spool's threads must not wait 5 ms for the interpreter (measured)
COLLECT_AFTER: Final = 50_000  # new objects before the collector looks; messages are freed by counting


def run(config: Config, *, announce: Callable[[str], None]) -> int:
    """Serve until a signal ends it; 0 after a clean drain. `announce` gets lines for whoever started us."""
    sys.setswitchinterval(SWITCH_SECONDS)
    raise_file_limit()
    if is_root() and not config.process.user:
        announce("warning: running as root; set process.user to give up root after binding")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(config, announce))


async def _serve(config: Config, announce: Callable[[str], None]) -> int:
    clock = SystemClock()
    sink = LogSink(config.log.format, hostname=config.hostname)
    emit = Fanout((sink,))
    try:
        return await _House(config, clock, emit).live(announce)
    finally:
        sink.close()


class _House:
    """All long-lived parts of one process, in the order they are built."""

    def __init__(self, config: Config, clock: SystemClock, emit: Fanout) -> None:
        self.config = config
        self.emit = emit
        self.clock = clock
        self.now = clock.now
        start = random.SystemRandom().randrange(1 << 48)
        queue_ids = QueueIds(start)
        turn = Turn(asyncio.get_running_loop().call_soon)
        self.resolver = Resolver(config.resolver, clock)
        self.router = Router(
            compile_rules(config.routes, config.egress),
            self.resolver,
            own_names=frozenset((config.hostname, "localhost")),
            own_addresses=own_endpoints(bound_to(config)),
            shuffle=random.shuffle,
            sites=Sites(config.sites),
        )
        self.control = RelayControl(config.access, parse_mailbox(config.postmaster))
        self.deliverer = Deliverer(
            settings=config.delivery,
            hostname=config.hostname,
            clock=clock,
            open_stream=partial(open_stream, at_turn_end=turn.add),
            capture_folder=config.capture_folder,
            tls_context=opportunistic_context(),
            egress=egress_of(config),
            emit=emit,
        )
        self.retries = retries_of(config.queue, config.retry)
        self.spool = EmbeddedSpool(
            config.spool_folder,
            config.spool,
            clock=clock,
            emit=emit,
            lane_of=self._lane_of,
            deadline_of=self.retries.deadline_of,
        )
        self.suspensions = self._load_suspensions()
        plan, cached_plan, shaping = shaped_plans(config, self.router)
        self.dispatcher = Dispatcher(
            spool=self.spool,
            plan=watched(plan, self.suspensions, clock.now),
            cached_plan=cached_plan,
            deliver=self.deliverer.deliver,
            emit=emit,
            clock=clock,
            settings=config.queue,
            hostname=config.hostname,
            queue_ids=queue_ids,
            random=random.random,
            shaping=shaping,
            retries=self.retries,
            reporting=reporting_of(config),
            fallback_of=fallback_of if any(route.fallback for route in config.routes) else None,
            suspensions=self.suspensions,
        )
        self.aliases = AliasService(load(config.aliases), bounds_of(config))
        if broken := self.aliases.broken:
            raise ConfigError([render(problem_of(fault), {}) for fault in broken])
        self.listeners, self.drops = self._build_listeners(clock, queue_ids, turn, start)

    def _build_listeners(
        self, clock: SystemClock, queue_ids: QueueIds, turn: Turn, start: int
    ) -> tuple[Listeners, Drops]:
        config, emit = self.config, self.emit
        self.drop_folder = DropFolder(config.drop_folder)
        policies: tuple[Policy[RcptContext], ...] = (self.control,)
        door = self.aliases.door
        if door is not None and door.has_strict:
            policies = (KnownRecipients(door.knows), *policies)
        announcer = Announcer(
            spool=self.spool, admit=self.dispatcher.admit, emit=emit, hostname=config.hostname, queue_ids=queue_ids
        )
        chain = Chain[RcptContext]("rcpt", policies, timeout=POLICY_SECONDS, emit=emit, now=clock.now)
        intake = Intake(
            spool=self.spool,
            admit=self.dispatcher.admit,
            emit=emit,
            now=clock.now,
            hostname=config.hostname,
            queue_ids=queue_ids,
            limits=config.limits,
            inline=config.spool.inline_size,
            rewrite=compile_rewriter(config.routes),
            expand=None if door is None else door.expand,
            announce=announcer.expanded,
        )
        postmaster = parse_mailbox(config.postmaster)
        listeners = Listeners(
            hostname=config.hostname,
            postmaster=postmaster,
            limits=config.limits,
            chain=chain,
            relays=self.control.relays,
            intake=intake,
            emit=emit,
            now=clock.now,
            monotonic=clock.monotonic,
            at_turn_end=turn.add,
            start=start,
        )
        parts = Parts(
            folder=self.drop_folder,
            clock=clock,
            emit=emit,
            chain=chain,
            intake=intake,
            limits=config.limits,
            queue_ids=queue_ids,
            postmaster=postmaster,
            hostname=config.hostname,
            knows=lambda queue_id: self.spool.desk.message(queue_id),  # noqa: PLW0108  there is no desk before `open`
            refuse=announcer.refused,
        )
        return listeners, Drops(parts, config.drops.poll)

    def _lane_of(self, envelope: Envelope, recipient: Recipient) -> str:
        placement = self.router.place(envelope, recipient)
        if placement is None:
            return ""
        if self.suspensions.has_routes:
            self.suspensions.note_route(placement.lane, placement.reason)
        return placement.lane

    def _released_lane(self, envelope: Envelope, recipient: Recipient) -> str:
        placement = self.router.place_released(envelope, recipient)
        return "" if placement is None else placement.lane

    def _load_suspensions(self) -> Suspensions:
        try:
            return Suspensions(load_suspensions(self.config.suspensions_file))
        except SpoolError as error:
            self.emit(SpoolFaulted(at=self.now(), reason=f"{error}; nothing is suspended"))
            return Suspensions()

    def _build_control(self) -> ControlServer:
        """Once the spool is open."""
        config, desk, clock = self.config, self.spool.desk, SystemClock()
        operator = Operator(
            self.dispatcher,
            desk,
            around=Surroundings(self.retries, self.dispatcher.known, self._released_lane),
            clock=clock,
            emit=self.emit,
            save=partial(save_suspensions, config.suspensions_file),
        )
        return ControlServer(
            config.control_socket,
            operator,
            clock=clock,
            lanes=self.dispatcher.lanes_state,
            totals=desk.totals,
            lane_named=lane_named,
            watch=self.emit.add,
        )

    async def live(self, announce: Callable[[str], None]) -> int:
        """Start everything, serve until a signal, stop everything."""
        config = self.config
        bound = await self.listeners.bind(config.listeners)
        if config.process.user:
            give_to_user(config.process.user, config.data_dir, config.drop_folder)
        self._prepare_drops()
        if config.process.user:
            become_user(config.process.user)
        await self.spool.open()
        await self.drops.resume()
        control = self._build_control()
        await control.start()
        work = asyncio.create_task(self.dispatcher.run())
        self.aliases.start(self.clock, self.emit)
        stopping = _stop_signals()
        await self.listeners.start()
        self.drops.start()
        self.emit(ServerStarted(at=self.now(), version=VERSION, hostname=config.hostname, listeners=tuple(bound)))
        for line in bound:
            announce(f"listening: {line}")
        gc.collect()
        gc.freeze()
        gc.set_threshold(COLLECT_AFTER, 20, 100)
        reason = await _first(stopping, work)
        self.emit(ServerStopping(at=self.now(), reason=reason))
        await control.stop()
        await self.drops.stop()
        await self._stop(stopping, work)
        return 0

    def _prepare_drops(self) -> None:
        """As root still, when we were started as root."""
        config = self.config
        owner = ids_of(config.process.user) if config.process.user and is_root() else (-1, -1)
        try:
            config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.drop_folder.prepare(*owner)
        except OSError as error:
            raise ConfigError([f"drops.folder: {config.drop_folder} cannot be made ready: {error.strerror}"]) from error

    async def _stop(self, stopping: "asyncio.Queue[str]", work: "asyncio.Task[None]") -> None:
        drained = asyncio.create_task(self._drain())
        impatient = asyncio.create_task(stopping.get())
        await asyncio.wait((drained, impatient), return_when=asyncio.FIRST_COMPLETED)
        for task in (drained, impatient, work):
            task.cancel()
        await asyncio.gather(drained, impatient, work, return_exceptions=True)
        await self.aliases.close()
        await self.deliverer.close()
        await self.spool.close()
        self.resolver.close()

    async def _drain(self) -> None:
        await self.listeners.drain(DRAIN_SECONDS)
        await self.dispatcher.drain(DRAIN_SECONDS)


def shaped_plans(config: Config, router: Router) -> tuple[Plan, CachedPlan, Shaping | None]:
    """What the queue asks for routes: the router itself, or with the terms that shaping rules give."""
    if not config.shaping:
        return router.plan, router.cached_plan, None
    shaping = Shaping(config.shaping, recipients=config.delivery.recipients_per_transaction)
    plans = ShapedPlans(router.plan, router.cached_plan, shaping)
    return plans.plan, plans.cached_plan, shaping


def reporting_of(config: Config) -> Reporting:
    """How reports to senders are made."""
    return Reporting(
        hostname=config.hostname,
        return_size=config.queue.return_size,
        languages=read_languages(config.dsn).languages,
        postmaster=parse_mailbox(config.postmaster),
        copies=frozenset(config.dsn.postmaster_copies),
    )


def bound_to(config: Config) -> Iterator[tuple[str, int]]:
    """Every address and port that the configuration listens on."""
    for listener in config.listeners.values():
        yield from map(parse_endpoint, listener.bind)


def _stop_signals() -> "asyncio.Queue[str]":
    """A queue of the names of the signals that ask us to stop."""
    loop = asyncio.get_running_loop()
    asked: asyncio.Queue[str] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, asked.put_nowait, number.name)
    return asked


async def _first(stopping: "asyncio.Queue[str]", work: "asyncio.Task[None]") -> str:
    """Wait for a signal, or for the queue to break, which it must not."""
    asked = asyncio.create_task(stopping.get())
    await asyncio.wait((asked, work), return_when=asyncio.FIRST_COMPLETED)
    if asked.done():
        return asked.result()
    asked.cancel()
    work.result()  # raises what broke it
    return "the queue ended"
