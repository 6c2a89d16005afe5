"""Listening sockets, the count of sessions, the sweep of their time-outs, and the drain at the end.

One `Listeners` for all `[listeners]`: the limits on sessions hold over all of them. Time-outs are swept
once a second over all sessions, so that a session sets no timer of its own for each command.
RFC 5321 4.5.3.2.7 (time-outs), 3.8 (421 when shutting down).
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from postroad.listener.intake import Intake
from postroad.listener.session import Conversation
from postroad.listener.settings import LimitsSettings, ListenerSettings
from postroad.listener.terms import Guest, Terms
from postroad.model.address import Mailbox
from postroad.model.errors import ConfigError
from postroad.model.option import parse_endpoint
from postroad.model.records import Emit
from postroad.model.reply import Reply
from postroad.policy.chain import Chain
from postroad.policy.context import RcptContext
from postroad.smtp import replies
from postroad.smtp.extensions import Offer

SWEEP_SECONDS: Final = 1.0
CUT_SECONDS: Final = 1.0  # for the event loop to tell cut connections that they are gone
BACKLOG: Final = 1024  # connections the kernel keeps waiting


class Listeners:
    """All listeners of the process."""

    def __init__(  # noqa: PLR0913  the composition root passes the parts by name
        self,
        *,
        hostname: str,
        postmaster: Mailbox,
        limits: LimitsSettings,
        chain: Chain[RcptContext],
        relays: Callable[[str], bool],
        intake: Intake,
        emit: Emit,
        now: Callable[[], int],
        monotonic: Callable[[], float],
        at_turn_end: Callable[[Callable[[], None]], object],
        start: int,
    ) -> None:
        """See `Terms` for the parts; `start` is a number that differs between starts and begins session ids."""
        self._hostname = hostname
        self._postmaster = postmaster
        self._limits = limits
        self._chain = chain
        self._relays = relays
        self._intake = intake
        self._emit = emit
        self._now = now
        self._monotonic = monotonic
        self._at_turn_end = at_turn_end
        self._prefix = f"{start & 0xFFFFFF:x}-"
        self._count = 0
        self._sessions: set[Guest] = set()
        self._per_ip: Counter[str] = Counter()
        self._servers: list[asyncio.Server] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Event | None = None
        self._is_draining = False

    async def bind(self, listeners: Mapping[str, ListenerSettings]) -> list[str]:
        """Bind every listener; "name address:port" of each. ConfigError when an address cannot be had.

        Nothing is accepted before `start`, so that root can be given up and the spool opened in between.
        """
        loop = asyncio.get_running_loop()
        bound: list[str] = []
        problems: list[str] = []
        for name, settings in listeners.items():
            terms = self._terms(name, settings, loop)
            for address in settings.bind:
                host, port = parse_endpoint(address)
                try:
                    server = await loop.create_server(
                        self._factory(terms), host, port, backlog=BACKLOG, start_serving=False
                    )
                except OSError as error:
                    problems.append(f"listeners.{name}.bind: cannot listen on {address}: {error.strerror or error}")
                    continue
                self._servers.append(server)
                bound.extend(f"{name} {_show(sock.getsockname())}" for sock in server.sockets)
        if problems:
            self.close()
            raise ConfigError(problems)
        return bound

    async def start(self) -> None:
        """Begin to accept connections."""
        for server in self._servers:
            await server.start_serving()
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    def _terms(self, name: str, settings: ListenerSettings, loop: asyncio.AbstractEventLoop) -> Terms:
        limits = self._limits
        offer = Offer(
            hostname=self._hostname,
            message_size=limits.message_size,
            recipients=limits.recipients_per_message,
            messages=limits.messages_per_session,
            command_line=limits.command_line,
            errors=limits.errors_per_session,
            junk=limits.junk_commands,
            normalise=settings.newlines == "normalise",
        )
        return Terms(
            name=name,
            offer=offer,
            banner=replies.banner(self._hostname),
            greeting_delay=settings.greeting_delay,
            postmaster=self._postmaster,
            chain=self._chain,
            relays=self._relays,
            intake=self._intake,
            emit=self._emit,
            now=self._now,
            monotonic=self._monotonic,
            call_later=loop.call_later,
            at_turn_end=self._at_turn_end,
            enter=self._enter,
            leave=self._leave,
        )

    def _factory(self, terms: Terms) -> Callable[[], Conversation]:
        def converse() -> Conversation:
            self._count += 1
            return Conversation(terms, f"{self._prefix}{self._count:x}")

        return converse

    # -- the count of sessions -----------------------------------------------------------------

    def _enter(self, guest: Guest) -> Reply | None:
        limits = self._limits
        self._sessions.add(guest)
        self._per_ip[guest.ip] += 1
        if self._is_draining:
            return replies.SHUTTING_DOWN
        if len(self._sessions) > limits.sessions:
            return replies.TOO_BUSY
        if self._per_ip[guest.ip] > limits.sessions_per_ip:
            return replies.TOO_MANY_FROM_YOU
        return None

    def _leave(self, guest: Guest) -> None:
        self._sessions.discard(guest)
        left = self._per_ip[guest.ip] - 1
        if left > 0:
            self._per_ip[guest.ip] = left
        else:
            del self._per_ip[guest.ip]
        if self._emptied is not None and not self._sessions:
            self._emptied.set()

    # -- time-outs -----------------------------------------------------------------------------

    def __len__(self) -> int:
        """Sessions that are open."""
        return len(self._sessions)

    def sweep(self) -> None:
        """Close the sessions whose time ran out; done once a second by itself."""
        now = self._monotonic()
        for session in tuple(self._sessions):
            if not session.is_waiting:
                self._check(session, now)

    def _sweep(self) -> None:
        self.sweep()
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    def _check(self, session: Guest, now: float) -> None:
        limits = self._limits
        idle, phase = (
            (limits.data_timeout, limits.content_time)
            if session.in_content
            else (limits.command_timeout, limits.transaction_time)
        )
        if now - session.last_seen > idle + SWEEP_SECONDS or now - session.phase_began > phase:
            if session.has_timed_out:
                session.abort()  # it does not even take our 421
            else:
                session.time_out()

    # -- the end -------------------------------------------------------------------------------

    async def drain(self, seconds: float) -> None:
        """Stop accepting, let running transactions finish for `seconds`, then cut what is left."""
        self._is_draining = True
        self.close()
        for session in tuple(self._sessions):
            session.drain()
        if not await self._emptied_within(seconds):
            for session in tuple(self._sessions):
                session.abort()
            await self._emptied_within(CUT_SECONDS)

    async def _emptied_within(self, seconds: float) -> bool:
        if not self._sessions:
            return True
        self._emptied = asyncio.Event()
        try:
            async with asyncio.timeout(seconds):
                await self._emptied.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Close the listening sockets; running sessions go on."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        if self._sweeper is not None and self._is_draining:
            self._sweeper.cancel()


def _show(address: tuple[str, int] | tuple[str, int, int, int]) -> str:
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
