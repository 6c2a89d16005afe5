"""The server's end of the control socket: one request a connection, from its owner or root alone.

Bounded in callers, in the length of a request and in the time it may take; whatever goes wrong is an answer in
words. An order ends when its caller is gone, at the next portion: what was done until then stays done.
"""

import asyncio
import contextlib
import math
import os
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Final, Protocol

import msgspec
from msgspec.structs import replace

from postroad.desk.guardprotocol import AccountAsked, AccountNow, BanNow, BansAsked
from postroad.desk.protocol import (
    ActAsked,
    Answer,
    Asked,
    CertificateAsked,
    CompareAsked,
    CountAsked,
    LaneNow,
    LanesAsked,
    RatesAsked,
    ReloadAsked,
    Reloaded,
    ResumeAsked,
    Running,
    RunningAsked,
    SiteAsked,
    SuspendAsked,
    UpgradeAsked,
    WatchAsked,
    decode_request,
    encode,
)
from postroad.desk.rates import RateDesk
from postroad.desk.watch import Watch, lane_now
from postroad.model.errors import PostroadError
from postroad.model.records import Emit
from postroad.model.suspension import KINDS, Suspension
from postroad.net.clock import Clock
from postroad.net.control import CONTROL, LINE_LIMIT, Caller, bind_control, caller_of
from postroad.net.process.handover import copy_of
from postroad.net.process.inherited import Given, Inherited
from postroad.queue.actions import ACTIONS, REROUTE, Order
from postroad.queue.lane import LaneState, WaitReason
from postroad.queue.operator import Operator, Tally
from postroad.queue.times import NEVER, microseconds

CALLERS: Final = 16
ASK_SECONDS: Final = 10.0  # to send the request
ANSWER_SECONDS: Final = 30.0  # to take an answer
LANES_SHOWN: Final = 50
LANES_TOLD: Final = 2000  # in one line of an answer
SHORTEST_WATCH: Final = 0.2
Reload = Callable[[str], Awaitable[Reloaded]]
Upgrade = Callable[[str], Awaitable[tuple[str, ...]]]
Compare = Callable[[Path], Awaitable[Reloaded]]


class GuardDesk(Protocol):
    """Carries out orders about bans and accounts."""

    async def bans(self, asked: BansAsked, caller: Caller) -> list[BanNow]:
        """Bans as they are, were begun or ended."""

    async def account(self, asked: AccountAsked, caller: Caller) -> list[AccountNow]:
        """Accounts as they are after that."""


class ControlServer:
    """Listens on the control socket and answers."""

    def __init__(  # noqa: PLR0913  # the composition root passes every neighbour
        self,
        path: Path,
        operator: Operator,
        *,
        clock: Clock,
        lanes: Callable[[Collection[str]], list[LaneState]],
        totals: Callable[[], tuple[int, int]],
        lane_named: Callable[[str], str],
        watch: Callable[[Emit], Callable[[], None]],
        reload: Reload,
        compare: Compare,
        upgrade: Upgrade,
        running: Running,
        rates: RateDesk,
        guard: GuardDesk,
        plain: Callable[[str], Awaitable[tuple[str, ...]]],
        renew: Callable[[], None] | None = None,
    ) -> None:
        """`lane_named` makes a lane of a next hop as people write it (ValueError); `watch` adds a sink of records.

        `plain` tells the targets of a lane with which TLS failed.
        """
        self._path = path
        self._operator = operator
        self._clock = clock
        self._lanes = lanes
        self._totals = totals
        self._lane_named = lane_named
        self._watch = watch
        self._reload = reload
        self._compare = compare
        self._upgrade = upgrade
        self._running = running
        self._rates = rates
        self._guard = guard
        self._plain = plain
        self._renew = renew
        self._callers = 0
        self._server: asyncio.Server | None = None

    async def start(self, inherited: Inherited | None = None) -> None:
        """Listen, on the socket that is among `inherited` or a new one."""
        listening = bind_control(self._path, inherited)
        self._server = await asyncio.start_unix_server(self._serve, sock=listening, limit=LINE_LIMIT)

    def hand_over(self) -> list[Given]:
        """A copy of the socket, for the next program; here nobody new is answered. Instead of `stop`."""
        if self._server is None:
            return []
        given = [copy_of(CONTROL, sock.fileno()) for sock in self._server.sockets]
        self._server.close()
        return given

    async def stop(self) -> None:
        """Listen no more, and leave no socket behind."""
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(OSError):
                self._path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._callers += 1
        try:
            await self._answer(reader, writer)
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass  # the caller is gone, or we are going
        finally:
            self._callers -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        caller = caller_of(writer)
        try:
            async with asyncio.timeout(ASK_SECONDS):
                line = await reader.readline()  # read it in any case: what is left unread would cost the answer
            if caller.uid not in (0, os.geteuid()):
                await _say(writer, Answer(error="only the user that the server runs as, or root, may ask"))
                return
            if self._callers > CALLERS:
                await _say(writer, Answer(error=f"{CALLERS} commands are being answered already; try again"))
                return
            asked = decode_request(line)
        except (ValueError, msgspec.MsgspecError) as error:  # too long, or not a request of this version
            await _say(writer, Answer(error=f"this server does not understand the request: {error}", usage=True))
            return
        try:
            if isinstance(asked, RatesAsked):
                answer = self._rates_asked(asked, caller)
            elif isinstance(asked, CertificateAsked):
                answer = self._certificate_asked()
            elif isinstance(asked, BansAsked | AccountAsked):
                answer = self._guard_asked(asked, caller)
            else:
                answer = self._do(asked, caller, writer)
            await _say(writer, await answer)
        except ValueError as error:
            await _say(writer, Answer(error=str(error), usage=True))
        except PostroadError as error:
            await _say(writer, Answer(error=str(error)))

    async def _guard_asked(self, asked: BansAsked | AccountAsked, caller: Caller) -> Answer:
        if isinstance(asked, BansAsked):
            return Answer(done=True, bans=tuple(await self._guard.bans(asked, caller)))
        return Answer(done=True, accounts=tuple(await self._guard.account(asked, caller)))

    async def _do(self, asked: Asked, caller: Caller, writer: asyncio.StreamWriter) -> Answer:
        operator = self._operator
        by = f"user {caller.name}"
        match asked:
            case CountAsked():
                return Answer(done=True, count=await operator.count(asked.query))
            case ActAsked():
                return Answer(done=True, tally=await self._act(asked, caller, writer))
            case SuspendAsked():
                return Answer(done=True, names=tuple(await self._suspend(asked, caller)))
            case ResumeAsked():
                ended = await operator.resume(asked.kind, asked.name, caller.name, caller.uid)
                return Answer(done=True, suspensions=tuple(ended))
            case SiteAsked():
                return Answer(done=True, names=tuple(operator.suspensions.lanes_of(asked.pattern)))
            case LanesAsked():
                return await self._lanes_asked(asked, writer)
            case UpgradeAsked():
                return await self._make_way(caller, writer)
            case RunningAsked():
                return Answer(done=True, running=self._running)
            case ReloadAsked() | CompareAsked():
                wish = self._compare(Path(asked.file)) if isinstance(asked, CompareAsked) else self._reload(by)
                return Answer(done=True, reloaded=await wish)
            case WatchAsked():
                await self._tell(asked, writer)
        return Answer(done=True)

    async def _rates_asked(self, asked: RatesAsked, caller: Caller) -> Answer:
        if asked.reset:
            return Answer(done=True, begun_anew=await self._rates.reset(asked, caller.name, caller.uid))
        return Answer(done=True, rates=await self._rates.now(asked))

    async def _certificate_asked(self) -> Answer:
        if self._renew is None:
            raise ValueError("the server has no [acme] to renew a certificate by")
        self._renew()
        return Answer(done=True)

    async def _make_way(self, caller: Caller, writer: asyncio.StreamWriter) -> Answer:
        """Why not; or who makes way now, and then nothing more: the connection ends with this program."""
        if problems := await self._upgrade(f"user {caller.name}"):
            return Answer(done=True, problems=problems)
        await _say(writer, Answer(running=self._running))
        await self._clock.sleep(math.inf)
        raise AssertionError("infinity has passed")

    async def _lanes_asked(self, asked: LanesAsked, writer: asyncio.StreamWriter) -> Answer:
        """The last answer about lanes; those before it are told, so that no line is longer than a caller reads."""
        states = self._states(asked.names)
        delivering = tuple(self._operator.delivering(asked.ids)) if asked.ids else ()
        suspensions = () if asked.names else tuple(self._operator.in_force())
        while len(states) > LANES_TOLD:
            states, told = states[:-LANES_TOLD], states[-LANES_TOLD:]
            await _say(writer, Answer(lanes=tuple(lane_now(state, state.name) for state in told)))
        lanes = tuple(lane_now(state, state.name) for state in states)
        if asked.plain:
            lanes = await self._with_plain(lanes, asked.names)
        return Answer(done=True, lanes=lanes, suspensions=suspensions, delivering=delivering)

    async def _with_plain(self, lanes: tuple[LaneNow, ...], names: Collection[str]) -> tuple[LaneNow, ...]:
        known = {lane.name: lane for lane in lanes}
        plain = {name: targets for name in names if (targets := await self._plain(name))}
        told = {name: replace(known.get(name, LaneNow(name)), plain=targets) for name, targets in plain.items()}
        return tuple({**known, **told}.values())

    def _states(self, names: Collection[str] = ()) -> list[LaneState]:
        """Every lane as it is now, or those called so; what an operator has stopped says so."""
        suspensions, now = self._operator.suspensions, self._clock.now()
        found = self._lanes(names)
        if not suspensions.entries:
            return found
        unseen = set(names).difference(state.name for state in found)
        found += [LaneState(name, 0, 0, 0, 0, "", WaitReason.NOTHING) for name in sorted(unseen)]
        stopped = ((state, suspensions.of(state.name, now)) for state in found)
        return [
            state
            if one is None
            else msgspec.structs.replace(state, until=one.until, reason=one.words, wait=WaitReason.LANE_STOPPED)
            for state, one in stopped
        ]

    async def _act(self, asked: ActAsked, caller: Caller, writer: asyncio.StreamWriter) -> Tally:
        if asked.action not in ACTIONS:
            raise ValueError(f"{asked.action!r} is not one of {', '.join(ACTIONS)}")
        lane = self._lane_named(asked.lane) if asked.action == REROUTE else ""
        order = Order(asked.action, asked.query, caller.name, caller.uid, asked.reason, lane)

        async def progress(tally: Tally) -> None:
            await _say(writer, Answer(progress=tally.recipients + tally.unconcerned))

        return await self._operator.act(order, asked.selection, progress)

    async def _suspend(self, asked: SuspendAsked, caller: Caller) -> list[str]:
        if asked.kind not in KINDS or not asked.name:
            raise ValueError(f"what to suspend is one of {', '.join(KINDS)}, with its name")
        now = self._clock.now()
        until = min(now + microseconds(asked.seconds), NEVER) if asked.seconds > 0 else NEVER
        one = Suspension(asked.kind, asked.name, until, caller.name, now, asked.reason)
        return await self._operator.suspend(one, caller.uid)

    async def _tell(self, asked: WatchAsked, writer: asyncio.StreamWriter) -> None:
        """Every so often what happened, until the caller is gone."""
        watch = Watch()
        end = self._watch(watch)
        seconds = min(max(asked.seconds, SHORTEST_WATCH), ASK_SECONDS)
        try:
            while not writer.is_closing():
                began = self._clock.monotonic()
                await self._clock.sleep(seconds)
                activity, lanes = watch.take(self._clock.monotonic() - began, self._states(), LANES_SHOWN)
                messages, octets = self._totals()
                activity = msgspec.structs.replace(activity, messages=messages, octets=octets)
                suspensions = tuple(self._operator.in_force())
                await _say(writer, Answer(activity=activity, lanes=lanes, suspensions=suspensions))
        finally:
            end()


async def _say(writer: asyncio.StreamWriter, answer: Answer) -> None:
    if writer.is_closing():
        raise ConnectionResetError("the caller is gone")
    writer.write(encode(answer) + b"\n")
    async with asyncio.timeout(ANSWER_SECONDS):
        await writer.drain()
