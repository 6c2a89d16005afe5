"""Questions to next hops: would they take mail for an address? Over connections of their own, kept for a few more.

Targets are tried in order until one answers, within one deadline for everything from connecting to the last reply.
Whatever goes wrong is words, never an exception. How many questions there are at a time is the caller's to bound.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from postroad.delivery.balance import arrange
from postroad.delivery.connection import Connection
from postroad.delivery.dialing import Dialing, Dialings, MatchTlsa, OpenStream, Unopened
from postroad.delivery.egress import Egress
from postroad.delivery.opening import Opener
from postroad.delivery.pool import Pool
from postroad.delivery.settings import DeliverySettings
from postroad.delivery.transfer import read_some
from postroad.model.errors import AddressError, PeerError
from postroad.model.reply import Reply
from postroad.model.route import CAPTURE, Route, Target
from postroad.net.clock import Clock
from postroad.net.tls.client import ClientContexts
from postroad.smtp.probe import Probe

IDLE: Final = 5.0  # seconds a connection is kept for the next question
QUESTIONS: Final = 100  # over one connection
REFUSED: Final = 20  # questions that a refusal counts for: servers slow and then leave a client with many errors


class Replies(Struct, frozen=True):
    """What a target said to MAIL and to each RCPT; or, without `target`, why none said anything: `words`."""

    target: Target | None
    sender: Reply | None = None
    recipients: tuple[Reply | None, ...] = ()
    words: str = ""


class Prober:
    """Asks; owns its connections."""

    def __init__(  # noqa: PLR0913  # the composition root passes every neighbour
        self,
        settings: DeliverySettings,
        *,
        hostname: str,
        clock: Clock,
        open_stream: OpenStream,
        tls: ClientContexts,
        egress: Egress,
        match_tlsa: MatchTlsa | None = None,
    ) -> None:
        """Connect as deliveries do, from where they do."""
        settings = settings.model_copy(update={"connection_idle": IDLE, "connection_messages": QUESTIONS})
        self._clock = clock
        self._dialings = Dialings(
            settings,
            hostname=hostname,
            open_stream=open_stream,
            tls=tls,
            monotonic=clock.monotonic,
            match_tlsa=match_tlsa,
        )
        self._opener = Opener(clock.monotonic)
        self._pool = Pool(settings, clock)
        self._egress = egress

    async def close(self) -> None:
        """Close the idle connections; those in use close when they are given back."""
        for connection in self._pool.close():
            await connection.stream.wait_closed()

    async def ask(self, route: Route, mail: str, recipients: Sequence[str], timeout: float) -> Replies:
        """What the first target of `route` that answers within `timeout` seconds says to these commands."""
        dialing = self._dialing(route)
        deadline = self._clock.monotonic() + timeout
        words = "the route has no target that can be asked"
        targets = [target for target in arrange(route.targets, dialing.preference) if target.scheme != CAPTURE]
        for number, target in enumerate(targets, 1):
            left = share_of(deadline - self._clock.monotonic(), others=len(targets) - number)
            try:
                async with asyncio.timeout(left):
                    answer = await self._ask(target, dialing, mail, recipients)
            except TimeoutError:
                answer = f"no answer within {left:.3g}s"
            except AddressError as error:
                return Replies(None, words=str(error))
            if isinstance(answer, Replies):
                return answer
            words = f"{target}: {answer}"
        return Replies(None, words=words)

    def _dialing(self, route: Route) -> Dialing:
        sources = self._egress.order(route.source, self._clock.monotonic()) if route.source else []
        return self._dialings.of(sources[0] if sources else None, route.terms)

    async def _ask(self, target: Target, dialing: Dialing, mail: str, recipients: Sequence[str]) -> Replies | str:
        """Its replies, or why there are none."""
        connection = self._pool.take(dialing.pool_key(target))
        if connection is not None:
            answer = await self._converse(connection, mail, recipients)
            if isinstance(answer, Replies):
                return answer
            # A kept connection may have died unseen: that says nothing about the target.
        opened = await self._opener.open(target, dialing)
        if isinstance(opened, Unopened):
            return _why_not(opened)
        return await self._converse(opened, mail, recipients)

    async def _converse(self, connection: Connection, mail: str, recipients: Sequence[str]) -> Replies | str:
        session, target = connection.session, connection.target
        if not f"{mail}{''.join(recipients)}".isascii():
            if not session.extensions.smtputf8:
                self._pool.give(connection)
                return Replies(target, words="it does not offer SMTPUTF8")
            mail = f"{mail} SMTPUTF8"
        is_clean = False
        try:
            probe = session.probe(mail, recipients)
            connection.stream.write(probe.begin(reset=session.needs_reset))
            await self._listen(connection, probe)
            is_clean = probe.closing is None
        except PeerError as error:
            return str(error)
        finally:  # cancellation comes here too
            if not is_clean:
                connection.stream.abort()
            else:
                session.needs_reset = True
                refused = sum(reply is not None and reply.code >= 400 for reply in probe.recipients)
                connection.messages += 1 + REFUSED * refused
                self._pool.give(connection)
        if probe.closing is not None:
            return str(probe.closing)
        return Replies(target, probe.sender, tuple(probe.recipients))

    async def _listen(self, connection: Connection, probe: Probe) -> None:
        timeout = connection.dialing.settings.command_timeout
        deadline = self._clock.monotonic() + timeout
        while not probe.ended:
            left = deadline - self._clock.monotonic()
            out = probe.receive(await read_some(connection.stream, left, timeout))
            if out:
                connection.stream.write(out)


def share_of(left: float, *, others: int) -> float:
    """How much of the time that is left a target may take: one that is silent must not use up that of the others."""
    return left / 2 if others else left


def _why_not(opened: Unopened) -> str:
    return f"{opened.command}: {opened.refused if opened.refused is not None else opened.words}"
