"""All long-lived parts of one process, in the order they are built, and their exchange by a reload.

What a configuration makes is in two values, `Courier` and `Front`; spool, queue, listeners and control socket stay
for as long as the process lives. `adopt` exchanges both without a wait in between: whatever begins before it sees
the old configuration alone, whatever begins after it the new one.
"""

import asyncio
import os
import random
from collections.abc import Coroutine, Sequence
from functools import partial

from msgspec import Struct

from postroad import VERSION
from postroad.api.service import Rules
from postroad.config.checks.sinks import sink_headers, sink_secrets
from postroad.config.schema import Config
from postroad.desk.control import Compare, ControlServer, Reload, Upgrade
from postroad.desk.protocol import Running
from postroad.desk.rates import InForce, RateDesk
from postroad.house import courier as couriers
from postroad.house import front as fronts
from postroad.house.acme import acme_of
from postroad.house.counting.counters import Counting, LocalCrowd
from postroad.house.counting.keeper import AccountKeeper
from postroad.house.counting.table import table_of
from postroad.house.courier import Courier, Tools, courier_of, plain_targets
from postroad.house.front import Front, Way, drops_of, front_of
from postroad.house.guard.board import GuardBoard
from postroad.house.guard.guard import Guard
from postroad.house.guard.lookout import Eyes
from postroad.house.guard.orders import GuardOrders
from postroad.house.injection import Injection, rules_of
from postroad.house.known import own_signer, read_known
from postroad.house.monitor import Monitor, Watched
from postroad.house.processes.seat import Seat
from postroad.house.rates import RateKeeper
from postroad.house.reports.daily import Outbox
from postroad.house.reports.reporting import Reporting
from postroad.house.workshop import Workshop
from postroad.listener.doors import Door
from postroad.listener.drops import Drops, Parts
from postroad.listener.server import Listeners
from postroad.model.envelope import Envelope, Recipient
from postroad.model.errors import SpoolError
from postroad.model.queueid import QueueIds
from postroad.model.records import SpoolFaulted
from postroad.model.route import Placement
from postroad.net.clock import Clock
from postroad.net.process.inherited import Inherited
from postroad.net.tls.keyfiles import KeyStore
from postroad.net.turn import Turn
from postroad.observe.fanout import Fanout
from postroad.observe.log import LogSink
from postroad.observe.outlet import Around
from postroad.observe.sinks import Sinks
from postroad.queue.actions import Surroundings
from postroad.queue.dispatcher import Dispatcher
from postroad.queue.notice import Notices
from postroad.queue.operator import Operator
from postroad.queue.own import OwnSigning, SignedPutting
from postroad.queue.suspensions import Suspensions
from postroad.routing.lanes import lane_named, with_tls
from postroad.spool.spool import EmbeddedSpool
from postroad.store.counts import load as load_counts
from postroad.store.counts import save as save_counts
from postroad.store.drops import DropFolder
from postroad.store.rates import load as load_rates
from postroad.store.rates import save as save_rates
from postroad.store.suspensions import load as load_suspensions
from postroad.store.suspensions import save as save_suspensions


class Logs(Struct, frozen=True):
    """Where records go: the log, and the configured sinks."""

    log: LogSink
    sinks: Sinks


def around_of(config: Config) -> Around:
    """What sinks need to know; ConfigError when a secret cannot be read."""
    return Around(config.hostname, config.sinks_folder, sink_secrets(config), sink_headers(config))


class House:
    """The parts; `config` is the configuration in force."""

    def __init__(  # noqa: PLR0913  the composition root passes the parts by name
        self,
        config: Config,
        clock: Clock,
        emit: Fanout,
        logs: Logs,
        inherited: Inherited,
        seat: Seat | None = None,
        *,
        keys: KeyStore | None = None,
    ) -> None:
        """Build everything; ConfigError when a file or a secret cannot be read. Nothing is bound or opened yet.

        `seat` is that of the courier when there are several processes; `keys` were read as root.
        """
        self.config, self.keys = config, keys or KeyStore()
        self._board = None if seat is None else seat.board
        self.emit, self.clock, self._logs = emit, clock, logs
        start = random.SystemRandom().randrange(1 << 48) if seat is None else seat.start()
        queue_ids = QueueIds(start)
        turn = Turn(asyncio.get_running_loop().call_soon)
        self.suspensions = self._load_suspensions()
        self.workshop = Workshop(config, clock, emit)
        self.guard = Guard(config, _memory(seat), clock, emit, is_first=seat is None or seat.is_first)
        self.own = OwnSigning(emit)
        self.reporting, self.tools = self._tools(turn)
        self.courier = courier_of(config, self.tools)
        self.spool = EmbeddedSpool(
            config.spool_folder,
            config.spool,
            clock=clock,
            emit=emit,
            lane_of=self._lane_of,
            deadline_of=self._deadline_of,
            others=self._board,
            lock=None if seat is None else seat.lock,
        )
        self.dispatcher = self._dispatcher(queue_ids)
        self.count_table = table_of(config.counting.accounts, is_shared=False) if seat is None else seat.board.accounts
        self.way = self._way(queue_ids)
        self.front = self._first_front()
        self.drop_folder = DropFolder(config.drop_folder)
        self.drops = Drops(self._drop_parts(self.front), config.drops.poll)
        self._fronts = [self.front]  # with those whose sessions still run
        self.listeners = Listeners(
            welcome=self.front.welcome,
            emit=emit,
            now=clock.now,
            monotonic=clock.monotonic,
            at_turn_end=turn.add,
            start=start,
            inherited=inherited,
        )
        self.acme = acme_of(config, clock, emit)
        self.monitor = self._monitor()
        rules = rules_of(self.front, self.way)
        self.injection = None if rules is None else Injection(config, rules, self.spool, emit)
        self.rates, self.keeper = self._keeper(), self._account_keeper(is_first=seat is None or seat.is_first)
        self._operator: Operator | None = None
        self._retiring: set[asyncio.Task[None]] = set()

    def _tools(self, turn: Turn) -> tuple[Reporting, Tools]:
        reporting = Reporting(self.config, lambda: self.courier.resolver, self.clock, self.emit)
        convert, delivering = self.workshop.convert, self.guard.delivering
        observe, sign = reporting.observer, self.own.sign
        return reporting, Tools(self.clock, self.emit, turn, self.suspensions, convert, delivering, observe, sign)

    def _way(self, queue_ids: QueueIds) -> Way:
        guard, admit = self.guard, self.dispatcher.admit
        own = SignedPutting(self.spool, self.own)
        self.reporting.send_by(Outbox(own, admit, queue_ids))
        guard.tell = Notices(spool=own, admit=admit, emit=self.emit, queue_ids=queue_ids).tell
        eyes = Eyes(guard.board, guard.hear, self.clock)
        counting = Counting(self.count_table, self.clock, self.emit)
        tally, crowd, admits = self.reporting.tally, LocalCrowd(), guard.admitting
        return Way(self.spool, admit, queue_ids, self.emit, self.clock, counting, crowd, tally, eyes, admits, own)

    def _first_front(self) -> Front:
        known = read_known(self.config, self.keys, self.clock, self.emit)
        self.own.signer = own_signer(known)
        return front_of(self.config, known, self.courier.rewrite, self.way)

    def _dispatcher(self, queue_ids: QueueIds) -> Dispatcher:
        regime = self.courier.regime
        return Dispatcher(
            spool=self.spool,
            plan=regime.plan,
            cached_plan=regime.cached_plan,
            deliver=regime.deliver,
            emit=self.emit,
            clock=self.clock,
            settings=regime.settings,
            hostname=self.config.hostname,
            queue_ids=queue_ids,
            random=random.random,
            shaping=regime.shaping,
            retries=regime.retries,
            reporting=regime.reporting,
            fallback_of=regime.fallback_of,
            suspensions=self.suspensions,
        )

    # -- built once the spool is open ----------------------------------------------------------

    def build_control(self, reload: Reload, compare: Compare, upgrade: Upgrade) -> ControlServer:
        """Once the spool is open."""
        desk = self.spool.desk
        self._operator = Operator(
            self.dispatcher,
            desk,
            around=self._surroundings(),
            clock=self.clock,
            emit=self.emit,
            save=partial(save_suspensions, self.config.suspensions_file),
        )
        return ControlServer(
            self.config.control_socket,
            self._operator,
            clock=self.clock,
            lanes=self.dispatcher.lanes_state,
            totals=desk.totals,
            lane_named=lane_named,
            watch=self.emit.add,
            reload=reload,
            compare=compare,
            upgrade=upgrade,
            running=Running(VERSION, os.getpid(), self.clock.now()),
            rates=RateDesk(lambda: InForce(self.front.choices, self.front.counts), self.clock, self.emit),
            guard=GuardOrders(self.guard, self._operator, self.clock, self.emit),
            plain=lambda lane: plain_targets(self.courier, lane),
            renew=None if self.acme is None else self.acme.renewing.renew,
        )

    # -- the exchange --------------------------------------------------------------------------

    def adopt(
        self, courier: Courier, front: Front, doors: Sequence[Door], around: Around, rules: Rules | None = None
    ) -> None:
        """Go on with other parts; `doors` are what the new listeners needed to be bound, `around` is for the sinks.

        `rules` are for the API.
        """
        old_courier, old_front = self.courier, self.front
        self.config, self.courier, self.front = front.config, courier, front
        self.own.signer = own_signer(front.known)
        self._fronts.append(front)
        for one in self._fronts:  # sessions that run give their mail to the routes that place it
            one.welcome.intake.rewrite = courier.rewrite
        before, shaping = old_courier.regime.shaping, courier.regime.shaping
        if shaping is not None and before is not None and shaping is not before:
            shaping.take_over(before)
        self.dispatcher.adopt(courier.regime)
        if self._operator is not None:
            self._operator.adopt(self._surroundings())
        self.guard.adopt(front.config)
        self.drops.adopt(self._drop_parts(front))
        if self.injection is not None and rules is not None:
            self.injection.adopt(rules)
        self.listeners.adopt(front.config.listeners, front.welcome, doors)
        self._logs.log.adopt(front.config.log.format, front.config.hostname)
        if self.monitor is not None:
            self.monitor.follow()
        if self.acme is not None:
            self.acme.adopt(front.config)
        self._logs.sinks.change(front.config.sinks, around)
        known, old_known = front.known, old_front.known
        if self._board is None and known.certificates is not old_known.certificates:
            old_known.certificates.close()
            known.certificates.start(self.clock, self.emit)
        known.start(self.clock, self.emit, old_known)
        self._retire(couriers.retire(old_courier, courier, self.clock))
        self._retire(self._retire_front(old_front))

    def _retire(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _retire_front(self, old: Front) -> None:
        await fronts.retire(old, self.listeners, self.clock)
        while self.injection is not None and self.injection.uses(old):
            await self.clock.sleep(fronts.LOOK_SECONDS)
        self._fronts.remove(old)
        if all(one.counts is not old.counts for one in self._fronts):
            await old.counts.close()
        old.asked.close()
        await old.known.close(*(one.known for one in self._fronts))

    async def close(self) -> None:
        """Close everything that is open; nothing may be running any more."""
        await self.rates.stop()
        await self.keeper.stop()
        await self.guard.stop()
        await self.reporting.stop()
        if self.acme is not None:
            await self.acme.stop()
        self.front.known.certificates.close()
        retiring = list(self._retiring)
        for task in retiring:
            task.cancel()
        await asyncio.gather(*retiring, return_exceptions=True)
        for counts in {id(one.counts): one.counts for one in self._fronts}.values():
            await counts.close()
        for front in self._fronts:
            front.asked.close()
        while self._fronts:
            await self._fronts.pop().known.close(*(one.known for one in self._fronts))
        await self.courier.deliverer.close()
        await self.workshop.pool.close()
        if self.injection is not None:
            await self.injection.close()
        if self.monitor is not None:
            await self.monitor.stop()
        await self.own.close()
        await self.spool.close()
        if self.courier.sts is not None:
            await self.courier.sts.close()
        self.courier.resolver.close()

    def _drop_parts(self, front: Front) -> Parts:
        return drops_of(front, self.way, self.drop_folder, lambda queue_id: self.spool.desk.message(queue_id))  # noqa: PLW0108  there is no desk before `open`

    # -- what the spool and the operator ask of the configuration in force -----------------------

    def _lane_of(self, envelope: Envelope, recipient: Recipient) -> str:
        return self._noted(self.courier.router.place(envelope, recipient))

    def _released_lane(self, envelope: Envelope, recipient: Recipient) -> str:
        return self._noted(self.courier.router.place_released(envelope, recipient))

    def _noted(self, placement: Placement | None) -> str:
        """The lane, after the suspensions of routes have heard of it."""
        if placement is None:
            return ""
        if self.suspensions.has_routes:
            self.suspensions.note_route(placement.lane, placement.reason)
        return placement.lane

    def _deadline_of(self, envelope: Envelope) -> int:
        return self.courier.regime.retries.deadline_of(envelope)

    def _surroundings(self) -> Surroundings:
        return Surroundings(self.courier.regime.retries, self.dispatcher.known, self._released_lane, with_tls)

    def _monitor(self) -> Monitor | None:
        if self.config.desk is None:
            return None
        watched = Watched(
            self.spool,
            resolver=lambda: self.courier.resolver,
            deliverer=lambda: self.courier.deliverer,
            lanes=self.dispatcher.lanes_state,
            sessions=partial(len, self.listeners),
            left_out=lambda: self._logs.log.left_out,
            workers=self.workshop.pool,
        )
        answer = None if self.acme is None else self.acme.answer
        return Monitor(self.config.desk, watched, self.clock, self.emit, self._board, answer=answer)

    def _keeper(self) -> RateKeeper:
        file = self.config.rates_file
        load, save = partial(load_rates, file), partial(save_rates, file)
        return RateKeeper(lambda: self.courier.regime.shaping, self.clock, self.emit, load=load, save=save)

    def _account_keeper(self, *, is_first: bool) -> AccountKeeper:
        """Without others before it, a process begins with what is on disk."""
        file = self.config.counts_file
        load, save = partial(load_counts, file) if is_first else None, partial(save_counts, file)
        return AccountKeeper(
            self.count_table, self.clock, self.emit, lambda: bool(self.config.rates), load=load, save=save
        )

    def _load_suspensions(self) -> Suspensions:
        try:
            return Suspensions(load_suspensions(self.config.suspensions_file))
        except SpoolError as error:
            self.emit(SpoolFaulted(at=self.clock.now(), reason=f"{error}; nothing is suspended"))
            return Suspensions()


def _memory(seat: Seat | None) -> GuardBoard:
    """What the guard shares with edges; alone, its own."""
    return GuardBoard(1, random.SystemRandom().randbytes(16)) if seat is None else seat.board.guard
