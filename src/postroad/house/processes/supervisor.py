"""The parent of all processes of a server: begins them, watches them, replaces them, and lets them end in order.

It holds what must outlive any of them: the listening sockets, so that no connection is refused while an edge is
replaced, the lock of the spool, and the shared memory. It has no threads and no event loop, so that every child is a
copy of a clean process, and it never touches mail. First the courier works, then the edges begin; at the end the edges
go first.
"""

import os
import pickle
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from postroad import VERSION
from postroad.config.schema import Config
from postroad.house.processes.board import COURIER, Board
from postroad.house.processes.exchange import Exchange, Ports, Shop
from postroad.house.processes.family import NEVER, Child, Family
from postroad.house.processes.seat import DRAIN, RETIRE, Kind, Roles, Seat
from postroad.house.processes.teller import Teller
from postroad.house.processes.vigil import pause_after, quick_failures
from postroad.model.errors import ConfigError, PostroadError
from postroad.model.records import (
    ConfigRefused,
    ProcessEnded,
    ProcessLost,
    ProcessStarted,
    ServerStarted,
    ServerStopping,
)
from postroad.net.clock import Clock
from postroad.net.process.fork import CRASHED, Ended, Signals
from postroad.net.process.inherited import Inherited
from postroad.net.process.link import Link, link_pair
from postroad.net.process.notify import Notifier
from postroad.net.process.ports import ports_of
from postroad.spool.layout import Lock

LOOK: Final = 0.05  # seconds between two looks at everybody
ENDING: Final = 40.0  # seconds that an edge, or the courier, may take to end
PATIENCE: Final = 1.0  # seconds that connections wait for an edge that is missing; then others take them
HURRY: Final = 0.3  # seconds between signals to who is to hurry
SPARE: Final = 3  # times as many places as edges are kept for those of earlier configurations and for new ones
_STDERR: Final = 2
_CONFIG: Final = 78
_UNAVAILABLE: Final = 69


class Supervisor:
    """The loop."""

    def __init__(  # noqa: PLR0913  the composition root passes the parts by name
        self,
        config: Config,
        file: Path,
        roles: Roles,
        *,
        board: Board,
        lock: Lock,
        shop: Shop,
        signals: Signals,
        clock: Clock,
        notifier: Notifier,
        announce: Callable[[str], None],
    ) -> None:
        """`board` has `1 + (1 + SPARE) * edges` places; `shop` has the listening sockets of `config`."""
        self._config = config
        self._file = file
        self._roles = roles
        self._board = board
        self._lock = lock
        self._shop = shop
        self._signals = signals
        self._clock = clock
        self._notifier = notifier
        self._announce = announce
        self._family = Family(board)
        self._teller = Teller(config, clock)
        self._wanted: set[int] = set()  # places of the edges that take mail
        self._bound: list[str] = []  # where the courier listens
        self._sockets: dict[int, int] = {}  # which of the sockets of an address an edge has, by place
        self._due: dict[int, float] = {}  # when the next process is begun at a place
        self._missing: dict[int, float] = {}  # since when, by place
        self._failures: dict[int, int] = {}  # quick ones in a row, by place
        self._link: Link | None = None
        self._exchange: Exchange | None = None
        self._exchanged: Exchange | None = None  # not answered yet: old edges may still accept
        self._reload_asked = False
        self._is_first = True
        self._is_running = False
        self._stopping = ""
        self._is_hurried = False
        self._hurried_at = 0.0
        self._code: int | None = None
        self._has_terminal = os.isatty(_STDERR)

    def run(self) -> int:
        """Until everybody has ended; the exit code."""
        self._begin(COURIER)
        while self._code is None:
            for number in self._signals.wait(LOOK):
                self._signal(number)
            self._listen()
            now = self._clock.monotonic()
            for child, ended in self._family.reap():
                self._ended(child, ended, now)
            self._family.feel(now, self._config.process.hang_after)
            for child in self._family.greet(now):
                self._works(child)
            self._replace(now)
            self._go_on(now)
            self._leave(now)
            self._teller.hurry(now)
        for child in self._family:
            child.kill("the server ends")
        self._teller.close()
        return self._code

    # -- processes begin -------------------------------------------------------------------------

    def _begin(self, place: int) -> None:
        """Begin a process at `place` by the configuration in force."""
        self._begin_by(place, self._config, self._shop.ports)

    def _begin_by(self, place: int, config: Config, ports: Ports) -> None:
        self._due.pop(place, None)
        theirs: Link | None = None
        if place == COURIER:
            self._hang_up()
            self._link, theirs = link_pair()
            self._signals.watch(self._link.fileno())
        self._family.begin(place, self._clock.monotonic(), lambda: self._live(place, config, ports, theirs))
        if theirs is not None:
            theirs.close()

    def _live(self, place: int, config: Config, ports: Ports, link: Link | None) -> int:
        """The whole life of a child."""
        sockets = ports_of(ports, self._sockets[place]) if place != COURIER else Inherited(())
        known = () if self._exchange is None else self._exchange.ports.values()
        ports = ports if place != COURIER else {}
        for port in {id(one): one for one in (*self._shop.ports.values(), *known)}.values():
            if port not in ports.values():
                port.close()  # else a socket that the supervisor closes would go on taking connections
        if self._link is not None:
            self._link.close()
        seat = Seat(
            config=config,
            file=self._file,
            board=self._board,
            place=place,
            lock=self._lock,
            sockets=sockets,
            ports=ports,
            is_first=self._is_first,
            link=link,
        )
        try:
            return (self._roles.courier if place == COURIER else self._roles.edge)(seat)
        except (PostroadError, OSError) as error:
            for line in (str(error) or type(error).__name__).splitlines():
                print(f"postroad: {line}", file=sys.stderr)  # noqa: T201  there may be no log yet
            return _CONFIG if isinstance(error, ConfigError) else _UNAVAILABLE

    def _works(self, child: Child) -> None:
        seconds = child.worked - child.began
        self._teller.tell(ProcessStarted(at=self._clock.now(), name=child.name, pid=child.pid, seconds=seconds))
        if child.place == COURIER:
            self._is_first = False
            self._teller.link = self._link
            self._ask_to_reload()
        if self._is_running or self._stopping:
            return
        if child.place == COURIER:
            self._wanted = set(range(1, self._config.process.edges + 1))
            for place in self._wanted:
                self._sockets[place] = place - 1
                self._begin(place)
        elif all(self._family.works(place) for place in self._wanted):
            self._start()

    def _start(self) -> None:
        """Everybody works."""
        self._is_running = True
        config, listening = self._config, [*self._shop.shown(self._config), *self._bound]
        self._teller.tell(
            ServerStarted(at=self._clock.now(), version=VERSION, hostname=config.hostname, listeners=tuple(listening))
        )
        for line in listening:
            self._announce(f"listening: {line}")
        self._notifier.ready(f"running as {config.hostname}")

    # -- processes end ---------------------------------------------------------------------------

    def _ended(self, child: Child, ended: Ended, now: float) -> None:
        reason, life = child.killed or ended.reason, now - child.began
        at, name = self._clock.now(), child.name
        if child.place == COURIER:
            self._hang_up()
            if self._exchange is not None:
                self._exchange.problem = "the courier ended meanwhile"
        if child.is_leaving or self._stopping:
            self._teller.tell(ProcessEnded(at=at, name=name, pid=child.pid, reason=reason, seconds=life))
            return
        if self._exchange is not None and child.place in self._exchange.places:
            self._exchange.problem = f"a new process that takes mail came to nothing ({reason}); see the log"
            self._teller.tell(ProcessEnded(at=at, name=name, pid=child.pid, reason=reason, seconds=life))
            return
        quick = quick_failures(self._failures.get(child.place, 0), now - child.worked if child.works else 0.0)
        self._failures[child.place] = quick
        pause = pause_after(quick)
        self._teller.tell(ProcessLost(at=at, name=name, pid=child.pid, reason=reason, seconds=life, pause=pause))
        if self._is_running:
            self._due[child.place] = now + pause
        else:
            self._code = ended.code if ended.code > 0 else CRASHED  # it has said why

    def _replace(self, now: float) -> None:
        if self._stopping:
            return
        for place, due in tuple(self._due.items()):
            if now >= due:
                self._begin(place)
        missing = {place for place in self._wanted if not self._family.works(place)}
        self._missing = {place: self._missing.get(place, now) for place in missing}
        left = (self._sockets[place] for place, since in self._missing.items() if now - since > PATIENCE)
        self._board.unattended = sum(1 << socket for socket in left) if self._is_running else 0
        self._board.lacking = len(missing)
        if self._is_running and self._family.at(COURIER) is not None and self._board.lacking < len(self._wanted):
            self._notifier.beat(now)

    def _hang_up(self) -> None:
        self._teller.link = self._exchanged = None
        if self._link is not None:
            self._signals.forget(self._link.fileno())
            self._link.close()
            self._link = None

    # -- what is said to us ----------------------------------------------------------------------

    def _signal(self, number: signal.Signals) -> None:
        if number == signal.SIGHUP and not (self._has_terminal and not os.isatty(_STDERR)):
            self._reload_asked = True
            self._ask_to_reload()
        elif number == signal.SIGUSR2:  # an upgrade; without a handler it would be our end
            problems = ("with process.edges a new version needs a restart",)
            self._teller.tell(ConfigRefused(at=self._clock.now(), by=number.name, problems=problems))
        elif number in {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}:
            self._is_hurried = bool(self._stopping)
            self._stop(number.name)

    def _ask_to_reload(self) -> None:
        """SIGHUP is the courier's affair; should it not work just now, then when it does."""
        if self._reload_asked and self._link is not None and self._family.works(COURIER):
            self._reload_asked = not self._link.send(Kind.RELOAD, b"SIGHUP")

    def _listen(self) -> None:
        link = self._link
        if link is None:
            return
        link.flush()
        for kind, text in link.receive():
            match kind:
                case Kind.EXCHANGE:
                    self._offer(pickle.loads(text))  # noqa: S301  from our own child
                case Kind.STATUS:
                    self._status(text.decode())
                case Kind.BOUND if not self._is_running:
                    self._bound.append(text.decode())
                case _:
                    pass
        if not link.is_open:
            self._hang_up()

    def _status(self, text: str) -> None:
        if text:
            self._notifier.ready(text)
        else:
            self._notifier.reloading()

    # -- another configuration -------------------------------------------------------------------

    def _offer(self, config: Config) -> None:
        """The courier has another configuration, sound and ready: take mail by it, or say why not."""
        if self._stopping:
            self._answer(["the server is being stopped"])
            return
        try:
            ports, added = self._shop.prepare(config, self._config.process.edges)
        except ConfigError as error:
            self._answer(str(error).splitlines())
            return
        self._exchange = Exchange(config, ports, added, until=self._clock.monotonic() + ENDING * 2)

    def _go_on(self, now: float) -> None:
        done = self._exchanged
        if done is not None and (now > done.until or not any(self._family.accepts(child) for child in done.old)):
            self._exchanged = None
            self._answer([])
        exchange = self._exchange
        if exchange is None:
            return
        if self._stopping:
            exchange.problem = "the server is being stopped"
        elif now > exchange.until:
            exchange.problem = "new processes that take mail did not come to work in time"
        if exchange.problem:
            self._give_up(exchange)
        elif not exchange.places:
            self._begin_new(exchange, now)
        elif all(self._family.works(place) for place in exchange.places):
            self._exchange_now(exchange)

    def _begin_new(self, exchange: Exchange, now: float) -> None:
        """Begin edges by the new configuration beside the others, once there are places."""
        edges = self._config.process.edges
        taken = {child.place for child in self._family} | set(self._due) | self._wanted
        free = [place for place in range(1, self._board.places) if place not in taken]
        if len(free) < edges:  # sessions of earlier configurations go on for long: now the oldest must end
            leaving = sorted((one for one in self._family.edges() if one.is_leaving), key=lambda one: one.began)
            patient = [child for child in leaving if child.until == NEVER]
            missing = edges - len(free) - (len(leaving) - len(patient))
            self._family.leave(DRAIN, patient[: max(missing, 0)], now + ENDING)
            return
        exchange.places = tuple(free[:edges])
        for at, place in enumerate(exchange.places):
            self._failures.pop(place, None)
            self._sockets[place] = at
            self._begin_by(place, exchange.config, exchange.ports)

    def _exchange_now(self, exchange: Exchange) -> None:
        """The new edges take mail; the old ones end with their last sessions.

        Answered when those accept nothing: who connects after a reload never meets an edge of before it.
        """
        exchange.old = [child for child in self._family.edges() if child.place in self._wanted]
        for place in self._wanted:
            self._due.pop(place, None)
        self._family.leave(RETIRE, exchange.old)
        self._config, self._wanted = exchange.config, set(exchange.places)
        self._exchange, self._exchanged = None, exchange
        self._shop.adopt(exchange.ports)
        self._teller.adopt(exchange.config)

    def _give_up(self, exchange: Exchange) -> None:
        for child in self._family.edges():
            if child.place in exchange.places:
                child.is_leaving = True
                child.kill("killed: its configuration was given up")
        for port in exchange.added:
            port.close()
        self._exchange = None
        self._answer([exchange.problem])

    def _answer(self, problems: list[str]) -> None:
        if self._link is not None:
            self._link.send(Kind.EXCHANGED, msgspec.json.encode(problems))

    # -- the end ---------------------------------------------------------------------------------

    def _stop(self, reason: str) -> None:
        """Take no new mail, then deliver what can be delivered soon."""
        now = self._clock.monotonic()
        if not self._stopping:
            self._notifier.stopping()
            self._teller.tell(ServerStopping(at=self._clock.now(), reason=reason))
            self._due.clear()
            if self._link is not None:
                self._link.send(Kind.STOPPING)
            self._shop.adopt({})  # new connections are refused, rather than left waiting
        self._stopping = self._stopping or reason
        self._family.leave(DRAIN, self._family.edges(), now + ENDING)

    def _leave(self, now: float) -> None:
        if not self._stopping or self._code is not None:
            return
        courier = self._family.at(COURIER)
        if self._is_hurried and now - self._hurried_at > HURRY:
            self._hurried_at = now
            self._family.leave(DRAIN, self._family.edges())
            if courier is not None and courier.is_leaving:
                courier.signal(DRAIN)
        if self._family.edges():
            return
        if courier is None:
            self._code = 0
        elif not courier.is_leaving:
            self._family.leave(DRAIN, [courier], now + ENDING)
