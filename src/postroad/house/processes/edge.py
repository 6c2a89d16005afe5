"""The life of an edge: sessions, policies, aliases, its own journal; no queue.

Every tenth of a second its event loop shows that it runs. DRAIN: accept nothing, let transactions finish within a
deadline, end. RETIRE: another edge takes mail by another configuration; accept nothing and end with the last session,
whose peers notice nothing.
"""

import asyncio
import signal
from typing import Final

from postroad.config.schema import Config
from postroad.desk.readiness import FULL
from postroad.house.counting.counters import BoardCrowd, Counting
from postroad.house.front import Front, Way, front_of
from postroad.house.guard.lookout import Eyes
from postroad.house.known import own_signer, read_known
from postroad.house.life import DRAIN_SECONDS, settle_down
from postroad.house.processes.board import Board, edge_name
from postroad.house.processes.seat import DRAIN, RETIRE, Seat
from postroad.house.processes.showing import Showing
from postroad.house.reports.daily import Outbox
from postroad.house.reports.dmarcwatch import DmarcWatch
from postroad.listener.doors import Doors
from postroad.listener.server import Listeners
from postroad.model.queueid import QueueIds
from postroad.model.work import Stored, Work
from postroad.net.clock import Clock
from postroad.net.process.ports import ports_of
from postroad.net.tls.keyfiles import KeyStore
from postroad.net.turn import Turn
from postroad.observe.fanout import Fanout
from postroad.observe.log import LogSink
from postroad.observe.metrics.meter import Meter
from postroad.observe.metrics.readings import Sources
from postroad.queue.own import OwnSigning, SignedPutting
from postroad.routing.rewrite import compile_rewriter
from postroad.spool.edge import EdgeSpool

BEAT: Final = 0.1  # seconds


class Edge:
    """All long-lived parts of one edge."""

    def __init__(self, seat: Seat, clock: Clock, emit: Fanout, log: LogSink, keys: KeyStore) -> None:
        """Build everything; ConfigError when a file or a secret cannot be read. `keys` were read as root."""
        config, board = seat.config, seat.board
        self._seat = seat
        self._clock = clock
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        self._stopping: asyncio.Queue[signal.Signals] = asyncio.Queue()
        start = seat.start()
        self._spool = EdgeSpool(
            config.spool_folder,
            config.spool,
            clock=clock,
            emit=emit,
            journal=edge_name(seat.place),
            reached=lambda segment, offset: board.reached(seat.place, segment, offset),
            others_have_room=lambda: not board.is_full,
        )
        eyes = Eyes(board.guard, board.guard.rings[seat.place].put, clock)
        counting = Counting(board.accounts, clock, emit)
        crowd = BoardCrowd(board, seat.place)
        known = read_known(config, keys, clock, emit)
        self._own = OwnSigning(emit)
        self._own.signer = own_signer(known)
        own = SignedPutting(self._spool, self._own)
        queue_ids = QueueIds(start)
        self._dmarc = DmarcWatch(config, clock, emit)
        self._dmarc.send_by(Outbox(own, _admitted_elsewhere, queue_ids))
        tally = self._dmarc.tally
        way = Way(self._spool, _admitted_elsewhere, queue_ids, emit, clock, counting, crowd, tally, eyes, own=own)
        self._front: Front = front_of(config, known, compile_rewriter(config.routes), way)
        self._listeners = Listeners(
            welcome=self._front.welcome,
            emit=emit,
            now=clock.now,
            monotonic=clock.monotonic,
            at_turn_end=Turn(self._loop.call_soon).add,
            start=start,
            inherited=seat.sockets,
            census=_Census(board, seat.place),
        )
        self._meter, self._showing = self._measuring(config, log)
        self._standing_in: dict[int, Doors] = {}  # by the number of the socket
        self._attending: asyncio.Task[None] | None = None
        self._is_leaving = False

    def _measuring(self, config: Config, log: LogSink) -> tuple[Meter | None, Showing | None]:
        if config.desk is None:
            return None, None
        sources = Sources(
            lambda: len(self._listeners), _none, lambda: log.left_out, lambda: "" if self._spool.has_room() else FULL
        )
        meter = Meter(sources, self._clock)
        self._emit.add(meter.count)
        return meter, Showing(self._seat.board, self._seat.place)

    async def live(self) -> int:
        """Take mail until a signal; 0 after a clean end."""
        self._beat()
        await self._spool.open()
        if self._meter is not None:
            self._spool.measure(self._meter.committed)
            self._meter.start()
        for number in (DRAIN, RETIRE):
            self._loop.add_signal_handler(number, self._stopping.put_nowait, number)
        await self._listeners.bind(self._seat.config.listeners)
        await self._listeners.start()
        known = self._front.known
        known.certificates.start(self._clock, self._emit)
        known.start(self._clock, self._emit)
        self._dmarc.start()
        settle_down()
        self._seat.board.ready(self._seat.place)
        number = await self._stopping.get()
        await self._accept_nothing_more()
        await self._leave(number)
        self._front.asked.close()
        known.certificates.close()
        await known.close()
        await self._front.counts.close()
        await self._dmarc.stop()
        await self._own.close()
        await self._spool.close()
        if self._meter is not None:
            self._show()
            await self._meter.close()
        return 0

    async def _attend(self) -> None:
        """Accept at the sockets of edges that have been missing for long, and no longer than they are."""
        seat, standing_in = self._seat, self._standing_in
        wanted = {number for number in range(seat.config.process.edges) if seat.board.unattended >> number & 1}
        for number in standing_in.keys() - wanted:
            standing_in.pop(number).close()
        for number in wanted - standing_in.keys():
            sockets = ports_of(seat.ports, number)
            standing_in[number] = await self._listeners.stand_in(seat.config.listeners, sockets)

    async def _accept_nothing_more(self) -> None:
        self._is_leaving = True
        if self._attending is not None:
            await asyncio.gather(self._attending, return_exceptions=True)
        for doors in self._standing_in.values():
            doors.close()
        for port in self._seat.ports.values():
            port.close()
        self._listeners.close()
        self._seat.board.closed(self._seat.place)

    async def _leave(self, number: signal.Signals) -> None:
        """Let sessions end, with less and less patience at each signal."""
        ending = self._listeners.empty() if number == RETIRE else self._listeners.drain(DRAIN_SECONDS)
        ended, impatient = asyncio.create_task(ending), asyncio.create_task(self._stopping.get())
        await asyncio.wait((ended, impatient), return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            ended.cancel()
            if number == RETIRE:
                await self._leave(impatient.result())
            else:
                await self._listeners.drain(0.0)
        impatient.cancel()
        await asyncio.gather(ended, impatient, return_exceptions=True)

    def _beat(self) -> None:
        board, place = self._seat.board, self._seat.place
        board.beat(place)
        wanted = board.wanted_end(place)
        if wanted:
            self._spool.end_segment(wanted)
        if self._showing is not None and self._showing.is_due():
            self._show()
        if board.unattended or self._standing_in:
            self._stand_in()
        self._loop.call_later(BEAT, self._beat)

    def _stand_in(self) -> None:
        is_ready = self._seat.board.is_ready(self._seat.place)
        if is_ready and not self._is_leaving and (self._attending is None or self._attending.done()):
            self._attending = self._loop.create_task(self._attend())

    def _show(self) -> None:
        if self._showing is not None and self._meter is not None:
            self._showing.show(list(self._meter.at_once()))


class _Census:
    """The sessions of all edges, as one of them sees them."""

    def __init__(self, board: Board, place: int) -> None:
        self._board = board
        self._place = place

    def come(self, ip: str, network: str) -> tuple[int, int, int]:
        return self._board.come(self._place, ip, network)

    def go(self, ip: str, network: str) -> None:
        self._board.go(self._place, ip, network)


def _admitted_elsewhere(_stored: Stored, _works: list[Work]) -> None:
    """The courier finds it in our journal."""


def _none() -> int:
    return 0
