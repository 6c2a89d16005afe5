"""The life of the courier when edges take the mail: queue, deliveries, control socket, drops, metrics; no listeners.

It hears a bell when an edge has accepted something, tells the supervisor how it is, and is told what the supervisor has
to report. A reload is its affair: when everything is ready for it, the supervisor exchanges the edges, and only then
it exchanges its own parts.
"""

import asyncio
import pickle
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from postroad.config.schema import Config
from postroad.house.house import House
from postroad.house.life import Life
from postroad.house.processes.board import COURIER
from postroad.house.processes.seat import DRAIN, Kind, Seat
from postroad.house.reload import Reloader
from postroad.model.errors import ConfigError
from postroad.model.records import (
    ConfigRefused,
    ProcessEnded,
    ProcessLost,
    ProcessStarted,
    ServerStarted,
    ServerStopping,
)
from postroad.net.clock import Clock
from postroad.net.process.inherited import Inherited
from postroad.net.process.link import Link
from postroad.net.process.notify import Notifier

BEAT: Final = 0.1  # seconds
EXCHANGE_SECONDS: Final = 100.0  # longer than the supervisor gives it
_decode_record: Final = msgspec.json.Decoder(
    ProcessStarted | ProcessLost | ProcessEnded | ServerStarted | ServerStopping | ConfigRefused
).decode
_decode_problems: Final = msgspec.json.Decoder(list[str]).decode


class Wire:
    """The courier's end of the link to the supervisor."""

    def __init__(self, link: Link) -> None:
        """Nothing is heard before `start`."""
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[list[str]] | None = None
        self._is_flushing = False

    def start(self, hear: Callable[[int, bytes], None]) -> None:
        """Give everything but answers to `hear`."""

        def read() -> None:
            for kind, text in self._link.receive():
                if kind == Kind.EXCHANGED:
                    if self._answer is not None and not self._answer.done():
                        self._answer.set_result(_decode_problems(text))
                else:
                    hear(kind, text)
            if not self._link.is_open:
                self._loop.remove_reader(self._link.fileno())  # the supervisor is gone, and we with it

        self._loop.add_reader(self._link.fileno(), read)

    def send(self, kind: Kind, text: bytes = b"") -> None:
        """Send it, soon."""
        self._link.send(kind, text)
        if not self._link.flush() and not self._is_flushing:
            self._is_flushing = True
            self._loop.add_writer(self._link.fileno(), self._flush)

    def _flush(self) -> None:
        if self._link.flush() or not self._link.is_open:
            self._is_flushing = False
            self._loop.remove_writer(self._link.fileno())

    async def exchange(self, config: Config) -> None:
        """Let edges take mail by `config`; ConfigError: they go on by the old one."""
        self._answer = self._loop.create_future()
        self.send(Kind.EXCHANGE, pickle.dumps(config))
        try:
            async with asyncio.timeout(EXCHANGE_SECONDS):
                problems = await self._answer
        except TimeoutError:
            problems = ["the supervisor does not answer"]
        finally:
            self._answer = None
        if problems:
            raise ConfigError(problems)


class WireNotifier(Notifier):
    """The supervisor speaks with the service manager; we tell it when a reload begins and ends."""

    def __init__(self, wire: Wire, clock: Clock) -> None:
        """Say it over `wire`."""
        super().__init__({}, clock)
        self._wire = wire

    def ready(self, status: str) -> None:
        """See `Notifier`."""
        self._wire.send(Kind.STATUS, status.encode())

    def reloading(self) -> None:
        """See `Notifier`."""
        self._wire.send(Kind.STATUS)


class CourierLife(Life):
    """A `Life` without listeners."""

    def __init__(self, house: House, reloader: Reloader, notifier: Notifier, seat: Seat, wire: Wire) -> None:
        """Show from now on that the event loop runs."""
        super().__init__(house, reloader, notifier)
        self._seat = seat
        self._wire = wire
        self._loop = asyncio.get_running_loop()
        self._is_open = False
        self._beat()

    async def bind(self, inherited: Inherited) -> None:
        """See `Life`: mail by SMTP is not our affair."""
        await self._bind_pages(inherited)

    def _beat(self) -> None:
        board, house = self._seat.board, self._house
        board.beat(COURIER)
        if self._is_open:
            board.is_full = not house.spool.has_room()
            if house.monitor is not None:
                house.monitor.beat()
        self._loop.call_later(BEAT, self._beat)

    def _listen_for_wishes(self) -> None:
        """SIGHUP is heard by the supervisor, which tells us."""

    async def _open(self) -> None:
        await self._house.spool.open(beside=not self._seat.is_first)
        self._is_open = True

    async def _accept(self) -> None:
        house, board = self._house, self._seat.board

        def rung() -> None:
            board.hush()
            house.spool.look()

        self._loop.add_reader(board.bell, rung)
        house.spool.follow(house.guard.admitting(house.dispatcher.admit))

    def _started(self, announce: Callable[[str], None]) -> None:  # noqa: ARG002  see below
        """The supervisor tells it, when the edges work too."""
        for line in self._bound:  # those of the desk
            self._wire.send(Kind.BOUND, line.encode())

    def _ready(self) -> None:
        self._wire.start(self._hear)
        self._seat.board.ready(COURIER)

    def _hear(self, kind: int, text: bytes) -> None:
        match kind:
            case Kind.RECORD:
                with suppress(msgspec.MsgspecError):
                    self._house.emit(_decode_record(text))
            case Kind.RELOAD:
                self._reload_asked.set()
            case Kind.STOPPING if self._house.monitor is not None:
                self._house.monitor.drain()
            case _:
                pass

    def _stop_begins(self, reason: str) -> None:
        """The supervisor has told it."""

    def _listen_to_signals(self) -> None:
        self._loop.add_signal_handler(DRAIN, self._stopping.put_nowait, DRAIN.name)
