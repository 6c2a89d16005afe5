"""Listening sockets, the count of sessions, the sweep of their time-outs, and the drain at the end.

One `Listeners` for all `[listeners]`: the limits on sessions hold over all of them. Time-outs are swept
once a second over all sessions, so that a session sets no timer of its own for each command.
RFC 5321 4.5.3.2.7 (time-outs), 3.8 (421 when shutting down).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from postroad.auth.logins import Logins
from postroad.listener.doors import Door, Doors
from postroad.listener.handshakes import Tls
from postroad.listener.headcount import Census, Headcount
from postroad.listener.intake import Intake
from postroad.listener.settings import LimitsSettings, ListenerSettings
from postroad.listener.tarpit import Tarpit
from postroad.listener.terms import Guest, Terms
from postroad.model.address import Mailbox
from postroad.model.records import Emit
from postroad.model.reply import Reply
from postroad.net.process.inherited import Given, Inherited
from postroad.policy.networks import is_within, membership
from postroad.policy.shield.conduct import Conduct
from postroad.policy.stages import Stages
from postroad.smtp import replies
from postroad.smtp.extensions import Offer, under_tls

SWEEP_SECONDS: Final = 1.0
LINGER_SECONDS: Final = 1.0  # how long sessions that are not idle may take to come to their next command
EXPECTED_SECONDS: Final = 1.0  # of a phase, after which the spool waits for no message of this session any more
CUT_SECONDS: Final = 1.0  # for the event loop to tell cut connections that they are gone


class Welcome(Struct, frozen=True, kw_only=True):
    """What the configuration says to sessions to come; those that run keep the one that they began with.

    `stages_of` gives the policies of a listener by its name; drops and the HTTP API have names too. `watch`, when there
    is one, is told how peers behave; `tarpit` slows those that err. `logins` is
    who knows who may log in, None when nobody does; `is_locked` tells of a login whether it may not after all. `tls`
    has that of listeners by name, but for those without.
    """

    hostname: str
    postmaster: Mailbox
    limits: LimitsSettings
    stages_of: Callable[[str], Stages]
    relays: Callable[[str], bool]
    intake: Intake
    watch: Callable[[Conduct], None] | None = None
    tarpit: Tarpit | None = None
    tls: Mapping[str, Tls] = MappingProxyType({})
    logins: Logins | None = None
    is_locked: Callable[[str], bool] | None = None


class Listeners:
    """All listeners of the process."""

    def __init__(  # noqa: PLR0913  the composition root passes the parts by name
        self,
        *,
        welcome: Welcome,
        emit: Emit,
        now: Callable[[], int],
        monotonic: Callable[[], float],
        at_turn_end: Callable[[Callable[[], None]], object],
        start: int,
        inherited: Inherited | None = None,
        census: Census | None = None,
    ) -> None:
        """See `Terms` for the parts; `start` is a number that differs between starts and begins session ids.

        `census` counts the sessions of all processes, when there are several.
        """
        self._welcome = welcome
        self._emit = emit
        self._now = now
        self._monotonic = monotonic
        self._at_turn_end = at_turn_end
        self._prefix = f"{start & 0xFFFFFF:x}-"
        self._count = 0
        self._headcount = Headcount(census)
        self._sessions = self._headcount.guests()
        self._doors = Doors(self._next_id, inherited)
        self._bound: list[Door] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Event | None = None
        self._is_draining = False

    async def bind(self, listeners: Mapping[str, ListenerSettings]) -> list[str]:
        """Bind every listener; "name address:port" of each. ConfigError when an address cannot be had.

        Nothing is accepted before `start`, so that root can be given up and the spool opened in between.
        """
        terms = self._terms_of(listeners, self._welcome)
        self._bound = await self._doors.bind(listeners, terms)
        self._doors.adopt(listeners, terms, self._bound)
        return [line for door in self._bound for line in door.shown()]

    async def start(self) -> None:
        """Begin to accept connections."""
        await self._doors.start(self._bound)
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    async def stand_in(self, listeners: Mapping[str, ListenerSettings], inherited: Inherited) -> Doors:
        """Accept at the sockets of another process too, which cannot; until the doors are closed."""
        terms = self._terms_of(listeners, self._welcome)
        doors = Doors(self._next_id, inherited)
        opened = await doors.bind(listeners, terms)
        doors.adopt(listeners, terms, opened)
        await doors.start(opened)
        return doors

    async def prepare(self, listeners: Mapping[str, ListenerSettings], welcome: Welcome) -> list[Door]:
        """Listen on what a reload adds, to be passed to `adopt`; ConfigError when an address cannot be had."""
        doors = await self._doors.bind(listeners, self._terms_of(listeners, welcome))
        await self._doors.start(doors)
        return doors

    def adopt(self, listeners: Mapping[str, ListenerSettings], welcome: Welcome, added: Sequence[Door] = ()) -> None:
        """Sessions to come are welcomed by `welcome`; addresses that are not wanted any more are closed."""
        self._welcome = welcome
        self._doors.adopt(listeners, self._terms_of(listeners, welcome), added)

    def has_guests_of(self, intake: Intake) -> bool:
        """True while a session runs that began with `intake`."""
        return any(session.terms.intake is intake for session in self._sessions)

    def addresses(self) -> list[str]:
        """Every address that is listened on, as it was asked for."""
        return self._doors.addresses()

    def shown(self) -> list[str]:
        """Every address that is listened on, as "name address:port"."""
        return self._doors.shown()

    def _terms_of(self, listeners: Mapping[str, ListenerSettings], welcome: Welcome) -> dict[str, Terms]:
        loop = asyncio.get_running_loop()
        return {name: self._terms(name, settings, welcome, loop) for name, settings in listeners.items()}

    def terms(self, name: str, settings: ListenerSettings) -> Terms:
        """What sessions at a listener of this name are held on."""
        return self._terms(name, settings, self._welcome, asyncio.get_running_loop())

    def _terms(self, name: str, settings: ListenerSettings, welcome: Welcome, loop: asyncio.AbstractEventLoop) -> Terms:
        limits = welcome.limits
        tls = welcome.tls.get(name)
        logins = None if settings.auth == "off" else welcome.logins
        offer = Offer(
            hostname=welcome.hostname,
            message_size=limits.message_size,
            recipients=limits.recipients_per_message,
            messages=limits.messages_per_session,
            command_line=limits.command_line,
            errors=limits.errors_per_session,
            junk=limits.junk_commands,
            normalise=settings.newlines == "normalise",
            starttls=tls is not None and not tls.is_implicit,
            needs_tls=tls is not None and tls.is_required,
            auth=logins is not None,
            auth_required=settings.auth == "required",
        )
        return Terms(
            name=name,
            limits=limits,
            offer=offer,
            trusted=replace(offer, xclient=True),
            trusts_proxy=membership(settings.proxies) if settings.proxy_protocol else None,
            trusts_client=membership(settings.xclient) if settings.xclient else None,
            banner=replies.banner(welcome.hostname),
            greeting_delay=settings.greeting_delay,
            postmaster=welcome.postmaster,
            stages=welcome.stages_of(name),
            watch=welcome.watch,
            tarpit=welcome.tarpit,
            relays=welcome.relays,
            logins=logins,
            is_locked=welcome.is_locked,
            intake=welcome.intake,
            emit=self._emit,
            now=self._now,
            monotonic=self._monotonic,
            call_later=loop.call_later,
            at_turn_end=self._at_turn_end,
            enter=self._enter,
            leave=self._leave,
            skips_greeting_delay=partial(is_within, networks=settings.greeting_exempt),
            secured=None if tls is None else under_tls(offer),
            tls=tls,
        )

    def _next_id(self) -> str:
        self._count += 1
        return f"{self._prefix}{self._count:x}"

    # -- the count of sessions -----------------------------------------------------------------

    def _enter(self, guest: Guest) -> Reply | None:
        refusal = self._headcount.come(guest, self._welcome.limits)
        return replies.SHUTTING_DOWN if self._is_draining else refusal

    def _leave(self, guest: Guest) -> None:
        self._headcount.go(guest)
        if self._emptied is not None and not self._sessions:
            self._emptied.set()

    # -- time-outs -----------------------------------------------------------------------------

    def __len__(self) -> int:
        """Sessions that are open."""
        return len(self._sessions)

    def sweep(self) -> None:
        """Close the sessions whose time ran out, expect nothing of who is slow; done once a second by itself."""
        now = self._monotonic()
        for session in tuple(self._sessions):
            if not session.is_waiting:
                self._check(session, now)

    def _sweep(self) -> None:
        self.sweep()
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    def _check(self, session: Guest, now: float) -> None:
        limits = session.terms.limits
        idle, phase = (
            (limits.data_timeout, limits.content_time)
            if session.in_content
            else (limits.command_timeout, limits.transaction_time)
        )
        lasted = now - session.phase_began
        if lasted > EXPECTED_SECONDS:
            session.doubt()
        if now - session.last_seen > idle + SWEEP_SECONDS or lasted > phase:
            if session.has_timed_out:
                session.abort()  # it does not even take our 421
            else:
                session.time_out()

    # -- the end -------------------------------------------------------------------------------

    async def empty(self) -> None:
        """Stop accepting, and return when the last session has ended by itself."""
        self.close()
        await self._emptied_within(None)

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

    async def hand_over(self, seconds: float) -> list[Given]:
        """The listening sockets for the next program, which alone will accept; return when no session is left.

        Who is in the middle of something is told to come back (421) in answer to its next command, if that comes
        soon; then as in `drain`.
        """
        given = self._doors.hand_over()
        await _turns(2)  # who was accepted in this turn of the event loop is greeted
        now = self._monotonic()
        for session in tuple(self._sessions):
            session.drain(at_once=now - session.last_seen > LINGER_SECONDS)
        await self._emptied_within(LINGER_SECONDS)
        await self.drain(seconds)
        return given

    async def _emptied_within(self, seconds: float | None) -> bool:
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
        self._doors.close()
        if self._sweeper is not None and self._is_draining:
            self._sweeper.cancel()


async def _turns(count: int) -> None:
    """Let the event loop turn so often."""
    loop = asyncio.get_running_loop()
    for _ in range(count):
        turned = loop.create_future()
        loop.call_soon(turned.set_result, None)
        await turned
