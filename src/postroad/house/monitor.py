"""The desk's HTTP listener with everything it shows: built only when `[desk]` is configured.

It answers from before the spool is opened until after the last delivery of a drain, so that a probe hears why no mail
is taken. Without it no record is counted and nothing is measured.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from postroad.delivery.deliver import Deliverer
from postroad.desk.challengepages import ChallengePages
from postroad.desk.health import HealthPages
from postroad.desk.http import DeskServer, Pages
from postroad.desk.readiness import Readiness
from postroad.desk.settings import DeskSettings
from postroad.house.processes.board import COURIER, Board
from postroad.house.processes.showing import Showing, of_others
from postroad.net.clock import Clock
from postroad.net.dns.resolver import Resolver
from postroad.net.process.inherited import Given, Inherited
from postroad.net.workers.pool import WorkerPool
from postroad.observe.fanout import Fanout
from postroad.observe.metrics.exposition import CONTENT_TYPE, render
from postroad.observe.metrics.meter import Meter, families
from postroad.observe.metrics.queue import QueueShape, Shape
from postroad.observe.metrics.readings import QueueSources, Sources
from postroad.observe.metrics.series import merge
from postroad.queue.lane import LaneState
from postroad.spool.filters import Query
from postroad.spool.spool import EmbeddedSpool

SHOWN_AFTER: Final = 0.25  # seconds that the others get to show what they have, which they look for every tenth


class Watched(Struct, frozen=True):
    """The parts of the process that are looked at."""

    spool: EmbeddedSpool
    resolver: Callable[[], Resolver]  # of the configuration in force, as is the deliverer
    deliverer: Callable[[], Deliverer]
    lanes: Callable[[], list[LaneState]]
    sessions: Callable[[], int]
    left_out: Callable[[], int]
    workers: WorkerPool


class Monitor:
    """Health and metrics of one process."""

    def __init__(
        self,
        settings: DeskSettings,
        watched: Watched,
        clock: Clock,
        emit: Fanout,
        board: Board | None = None,
        *,
        answer: Callable[[str], str] | None = None,
    ) -> None:
        """Count records from now on; `board` shows those of the other processes, when there are any.

        `answer` is for a CA that asks whether names are ours.
        """
        self._board = board
        self._showing = None if board is None else Showing(board, COURIER)
        self._watched = watched
        self._clock = clock
        self.addresses = settings.bind
        self._readiness = Readiness(watched.spool.has_room)
        sources = Sources(watched.sessions, lambda: watched.deliverer().idle, watched.left_out, self._unready)
        self._meter = meter = Meter(sources, clock)
        meter.watch_workers(lambda: (watched.workers.alive, watched.workers.waiting))
        watched.workers.measured = meter.worked
        pages: Pages = HealthPages(unready=self._unready, metrics=self._page, metrics_type=CONTENT_TYPE)
        if answer is not None:
            pages = ChallengePages(answer, pages)
        self._server = DeskServer(settings.bind, pages, connections=settings.connections, clock=clock, emit=emit)
        emit.add(meter.count)

    async def bind(self, inherited: Inherited) -> list[str]:
        """Take the ports, before root is given up; "desk address:port" of each."""
        return [f"desk {where}" for where in await self._server.bind(inherited)]

    async def start(self) -> None:
        """Answer; mail is not taken yet."""
        self._meter.start()
        await self._server.start()

    def opened(self) -> None:
        """The spool is open."""
        watched, meter = self._watched, self._meter
        desk = watched.spool.desk
        watched.spool.measure(meter.committed)
        self.follow()
        shape = QueueShape(self._shape, self._clock)
        meter.watch_queue(QueueSources(watched.lanes, desk.totals, desk.free), shape)

    def follow(self) -> None:
        """Another configuration is in force."""
        self._watched.resolver().measured = self._meter.looked_up

    def serve(self) -> None:
        """The listeners take mail."""
        self._readiness.serve()

    def drain(self) -> None:
        """No new mail is taken."""
        self._readiness.drain()

    def hand_over(self) -> list[Given]:
        """The ports, for the next program."""
        return self._server.hand_over()

    async def stop(self) -> None:
        """Answer no more; before the spool is closed."""
        await self._server.stop()
        await self._meter.close()

    def beat(self) -> None:
        """Ten times a second, when there are other processes: whoever comes after us goes on counting from here."""
        if self._showing is not None and self._showing.is_due():
            self._showing.show(list(self._meter.at_once()))

    def _unready(self) -> str:
        reason = self._readiness.unready()
        if reason or self._board is None or not self._board.lacking:
            return reason
        return f"of the processes that take mail {self._board.lacking} do not work"

    async def _page(self) -> bytes:
        if self._board is None or self._showing is None:
            return await self._meter.page()
        own = await self._meter.series()
        self._board.ask()
        await self._clock.sleep(SHOWN_AFTER)
        parts = [self._showing.whole(own), *of_others(self._board, COURIER)]
        return render(families(), merge(families(), parts))

    async def _shape(self) -> Shape:
        return await self._watched.spool.desk.shape(Query(now=self._clock.now()), "next-hop")
