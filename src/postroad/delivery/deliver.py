"""The recipients of one message to the targets of one route: each recipient ends with one outcome.

Targets are tried in the order that `standing` gives. A failure of the host sends the recipients that are not settled
to the next target at once (RFC 5321 5.1); any other outcome settles. At one target recipients go in as few
transactions as it takes; the ones refused as too many go in another one (RFC 5321 4.5.3.1.10). A kept connection that
turns out dead before the peer took MAIL is replaced once, at once, and blamed on nobody. Hosts that were left out are
probed beside the mail: a connection is opened as for mail and kept as any other. A source that cannot be used makes
way for the next one of its pool.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec.structs import replace

from postroad.delivery.balance import IPV4, IPV6
from postroad.delivery.capture import capture
from postroad.delivery.cargo import Cargo, Convert, convert_in_thread
from postroad.delivery.classify import (
    CONNECT,
    Result,
    from_egress_fault,
    from_fault,
    from_missing_requiretls,
    from_missing_tls,
    from_session_reply,
    settle,
    when_no_host_may,
)
from postroad.delivery.connection import Connection
from postroad.delivery.dialing import Dialing, Dialings, MatchTlsa, OpenStream
from postroad.delivery.egress import Egress
from postroad.delivery.encryption import demand_of
from postroad.delivery.fit import Fit, fit, fit_plain, recipient_refusal
from postroad.delivery.opening import Opener
from postroad.delivery.pool import Pool
from postroad.delivery.settings import DeliverySettings
from postroad.delivery.standing import Standing
from postroad.model.address import Mailbox
from postroad.model.content import Content
from postroad.model.envelope import Envelope, Recipient
from postroad.model.errors import AddressError, SpoolError
from postroad.model.outcome import Deferred, Failed, Outcome, Scope
from postroad.model.records import Emit
from postroad.model.reply import Reply
from postroad.model.route import CAPTURE, LEAST_BUSY, TLS_REQUIRETLS, Route, Target
from postroad.model.security import BY_REQUIRETLS, TlsObserver
from postroad.model.work import Work
from postroad.net.clock import Clock
from postroad.net.proxy import HAPROXY
from postroad.net.tls.client import ClientContexts
from postroad.smtp.client import GREETING, recipient_commands
from postroad.smtp.clientparse import Extensions

Paths = Callable[[Mailbox, Sequence[Recipient]], Mailbox]
PROBES: Final = 20  # probes at the same time; further ones come when mail for the host does
_FAMILY_NAMES: Final = MappingProxyType({IPV4: "IPv4", IPV6: "IPv6"})
_NO_TARGET: Final = Deferred(Reply(451, "4.4.4", "route has no target"), Scope.NEXT_HOP)


class Attempt:
    """The state of one call: what is sent, how, and the outcome of each recipient as far as known.

    `has_choice`: the health of hosts matters; `egress_fault`: the source is the trouble.
    """

    __slots__ = ("cargo", "dialing", "egress_fault", "has_choice", "outcomes", "works")

    def __init__(self, works: Sequence[Work], content: Content, dialing: Dialing, paths: Paths | None) -> None:
        """Nothing is settled yet; `paths` may change the reverse-path."""
        self.works = works
        envelope = works[0].stored.envelope
        everyone = envelope.recipients
        recipients = [everyone[work.index] for work in works]
        if paths is not None and (sender := paths(envelope.sender, recipients)) is not envelope.sender:
            envelope = replace(envelope, sender=sender)
        self.cargo = Cargo(envelope, recipients, content)
        self.outcomes: list[Outcome | None] = [None] * len(works)
        self.dialing = dialing
        self.has_choice = False
        self.egress_fault = ""

    def left(self) -> list[int]:
        """Which recipients have no outcome."""
        return [index for index, outcome in enumerate(self.outcomes) if outcome is None]

    def settle(self, indices: Sequence[int], outcome: Outcome) -> None:
        """The recipients at `indices` share `outcome`."""
        for index in indices:
            self.outcomes[index] = outcome


class Deliverer:
    """Delivers; owns the idle connections."""

    def __init__(  # noqa: PLR0913  # the composition root passes every neighbour
        self,
        *,
        settings: DeliverySettings,
        hostname: str,
        clock: Clock,
        open_stream: OpenStream,
        capture_folder: Path,
        tls: ClientContexts,
        egress: Egress,
        emit: Emit,
        convert: Convert = convert_in_thread,
        match_tlsa: MatchTlsa | None = None,
        observe_tls: TlsObserver | None = None,
        paths: Paths | None = None,
    ) -> None:
        """Introduce ourselves as `hostname`; connect by `open_stream`; write captured mail to `capture_folder`.

        `convert` makes seven-bit lines of large content; `paths` gives the reverse-path that mail leaves with.
        """
        self._convert = convert
        self._paths = paths
        self._dialings = Dialings(
            settings,
            hostname=hostname,
            open_stream=open_stream,
            tls=tls,
            monotonic=clock.monotonic,
            match_tlsa=match_tlsa,
        )
        self._default = self._dialings.default
        self._pool = Pool(settings, clock)
        self._capture_folder = capture_folder
        self._opener = Opener(clock.monotonic, observe_tls)
        self._standing = Standing(egress, clock, emit)
        self._failing = self._standing.failing
        self._probes: set[asyncio.Task[None]] = set()

    def deliver(self, route: Route, works: list[Work], content: Content) -> Awaitable[list[Outcome]]:
        """Deliver `works`, recipients of one message, along `route`; one outcome each, in the same order."""
        dialing = self._default if route.terms is None else self._dialings.of(None, route.terms)
        attempt = Attempt(works, content, dialing, self._paths)
        if route.source:
            return self._from_sources(route, attempt)
        return self._along(route, attempt, list(range(len(works))))

    @property
    def idle(self) -> int:
        """Connections that are kept for the next message."""
        return len(self._pool)

    def is_plain(self, target: Target) -> bool:
        """True while `target` gets plain text because opportunistic TLS failed with it."""
        return self._opener.is_plain(target)

    async def close(self) -> None:
        """Close the idle connections, politely and within seconds; connections in use close when given back."""
        probes = list(self._probes)
        for probe in probes:
            probe.cancel()
        await asyncio.gather(*probes, return_exceptions=True)
        for connection in self._pool.close():
            await connection.stream.wait_closed()

    async def _along(self, route: Route, attempt: Attempt, left: list[int]) -> list[Outcome]:
        """Deliver to the recipients `left` along `route`, as the attempt's dialing says."""
        dialing = attempt.dialing
        targets: Sequence[Target] = route.targets
        host: Outcome = _NO_TARGET
        is_counted = False
        if len(targets) > 1 or not dialing.is_plain:
            attempt.has_choice = len(targets) > 1
            is_counted = route.balance == LEAST_BUSY
            targets = self._standing.order(route, dialing)
            self._probe_due(dialing)
            if not targets and route.targets:
                host = _no_family(route, dialing)
        for target in targets:
            if is_counted:
                failure = await self._counted(target, attempt, left)
            else:
                failure = await self._to_target(target, attempt, left)
            if failure is None:
                break
            final = None
            if attempt.cargo.envelope.tls == TLS_REQUIRETLS and len(targets) == len(route.targets):
                final = when_no_host_may(failure)
            if final is None:
                host = failure
            elif host is _NO_TARGET:
                host = final
            left = attempt.left()
            if failure.scope is Scope.NEXT_HOP:
                attempt.egress_fault = failure.reply.text
                break
        return [host if outcome is None else outcome for outcome in attempt.outcomes]

    async def _from_sources(self, route: Route, attempt: Attempt) -> list[Outcome]:
        """Send from the source or pool of the route: from the next of a pool when one cannot be sent from."""
        sources = self._standing.sources(route.source)
        if not sources:
            words = f"the route asks for the source {route.source}, and neither [sources] nor [pools] has it"
            return [from_egress_fault(words)] * len(attempt.works)
        outcomes: list[Outcome] = []
        for source in sources:
            attempt.dialing = self._dialings.of(source, route.terms)
            attempt.egress_fault = ""
            left = attempt.left()
            try:
                outcomes = await self._along(route, attempt, left)
            finally:
                self._standing.end_source_probe(source)
            for index in left:
                outcomes[index] = told = msgspec.structs.replace(outcomes[index], source=source.name)
                if attempt.outcomes[index] is not None:
                    attempt.outcomes[index] = told
            if not attempt.egress_fault:
                self._standing.source_worked(source)
                break
            self._standing.source_failed(source, attempt.egress_fault)
        return outcomes

    async def _counted(self, target: Target, attempt: Attempt, left: list[int]) -> Deferred | None:
        """As `_to_target`, counted among the deliveries under way."""
        balance = self._standing.balance
        balance.hold(target)
        try:
            return await self._to_target(target, attempt, left)
        finally:
            balance.free(target)

    def _probe_due(self, dialing: Dialing) -> None:
        for target in self._standing.take_due(dialing):
            if len(self._probes) >= PROBES:
                self._standing.end_probe(target, dialing)
                continue
            probe = asyncio.create_task(self._probe(target, dialing))
            self._probes.add(probe)
            probe.add_done_callback(self._probes.discard)

    async def _probe(self, target: Target, dialing: Dialing) -> None:
        """Open a connection as for mail; the pool keeps it a while for the mail that may come."""
        try:
            opened = await self._open(target, dialing, has_choice=True)
            if isinstance(opened, Connection):
                self._pool.give(opened)
        finally:
            self._standing.end_probe(target, dialing)

    async def _to_target(self, target: Target, attempt: Attempt, left: list[int]) -> Deferred | None:
        """Settle the recipients `left` at `target`, or tell why the host took no more of them."""
        if target.scheme == CAPTURE:
            works = [attempt.works[index] for index in left]
            captured = await capture(self._capture_folder, attempt.cargo, works, target)
            if type(captured) is Deferred and captured.scope is Scope.HOST:
                return captured
            attempt.settle(left, captured)
            return None
        dialing = attempt.dialing
        connection = self._pool.take(target if dialing is self._default else dialing.pool_key(target))
        try:
            while left:
                if connection is None:
                    opened = await self._open(target, dialing, has_choice=attempt.has_choice)
                    if isinstance(opened, Deferred):
                        return opened
                    connection = opened
                result = await self._transact(connection, attempt, left)
                if result is None:  # the kept connection was dead
                    connection.close()
                    connection = None
                    continue
                if result.host is not None:
                    return result.host
                left = [index for index in left if attempt.outcomes[index] is None] if len(left) > 1 else []
                if left and not self._pool.is_fit(connection):
                    connection.close()
                    connection = None
        except SpoolError as error:
            attempt.settle(
                attempt.left(), Deferred(Reply(451, "4.3.0", f"content cannot be read: {error}"), Scope.MESSAGE, target)
            )
        except AddressError as error:
            attempt.settle(
                attempt.left(), Failed(Reply(501, "5.1.3", f"address cannot be sent: {error}"), Scope.MESSAGE, target)
            )
        finally:
            if connection is not None:
                self._pool.give(connection)
        return None

    async def _transact(self, connection: Connection, attempt: Attempt, left: list[int]) -> Result | None:
        """One transaction for as many of `left` as may be; None when the connection was dead before it began."""
        target, extensions = connection.target, connection.session.extensions
        if target.security is not None and _lacks_requiretls(extensions, attempt.cargo.envelope):
            lacking = Result()
            lacking.host = from_missing_requiretls(target)
            return lacking
        fitted = fit_plain(attempt.cargo, extensions) or await fit(attempt.cargo, extensions, target, self._convert)
        if isinstance(fitted, Failed):
            attempt.settle(left, fitted)
            return Result()
        batch = _refuse_unfit(attempt, fitted, left, target)[: connection.recipient_limit]
        if not batch:
            return Result()
        everyone = attempt.cargo.recipients
        recipients = [everyone[index] for index in batch]
        commands = recipient_commands(recipients, dsn=fitted.dsn, smtputf8=fitted.smtputf8)
        was_used = connection.messages > 0 or connection.was_kept
        transaction, fault = await connection.transact(fitted, commands)
        if was_used and not transaction.has_begun and (fault or transaction.closing is not None):
            return None
        result = settle(transaction, fault, target, dsn=extensions.dsn, tls=connection.tls, secured=connection.secured)
        for index, outcome in zip(batch, result.outcomes, strict=True):
            attempt.outcomes[index] = outcome if outcome is not result.host else None
        if attempt.has_choice:
            if result.host is not None:
                self._standing.fail(target, attempt.dialing, str(result.host.reply), fatal=False)
            elif fault:  # the peer may have the message, and does not answer
                self._standing.fail(target, attempt.dialing, fault, fatal=False)
            elif self._failing:
                self._standing.succeed(target, attempt.dialing)
        if result.too_many > 1 and not any(result.outcomes[-result.too_many :]):
            # It takes so many and then none: no need to learn that again with each message.
            connection.recipient_limit = max(1, len(batch) - result.too_many)
        return result

    async def _open(self, target: Target, dialing: Dialing, *, has_choice: bool) -> Connection | Deferred:
        """A new connection to `target`, or why the host is of no use."""
        if has_choice:
            self._standing.balance.begin_opening(target)
        try:
            opened = await self._opener.open(target, dialing)
        finally:
            if has_choice:
                self._standing.balance.end_opening(target)
        if isinstance(opened, Connection):
            if self._failing and has_choice:
                self._standing.answer(target, dialing)
            return opened
        if opened.egress:
            return from_egress_fault(opened.words)
        if opened.refused is not None:
            failure = from_session_reply(opened.refused, opened.command, target)
        elif opened.lacks_tls:
            demand = demand_of(target, dialing.settings)
            failure = from_missing_tls(opened.words, target, demand, is_distrusted=opened.is_distrusted)
            if demand.source == BY_REQUIRETLS:
                return failure  # what one sender asks for says nothing about the host to others
        else:
            failure = from_fault(opened.words, opened.command, target)
        if has_choice:
            # HAProxy takes our connection before it has one: a target that cannot be reached shows as silence.
            proxy = None if dialing.source is None else dialing.source.proxy
            behind = proxy is not None and proxy.scheme == HAPROXY and opened.command == GREETING
            fatal = opened.refused is None and (opened.command == CONNECT or behind)
            self._standing.fail(target, dialing, str(failure.reply), fatal=fatal)
        return failure


def _lacks_requiretls(extensions: Extensions, envelope: Envelope) -> bool:
    """True when the message must not go here; a report goes all the same (RFC 8689 5)."""
    if envelope.tls != TLS_REQUIRETLS or envelope.sender.is_null:
        return False
    return not extensions.requiretls


def _refuse_unfit(attempt: Attempt, fitted: Fit, left: list[int], target: Target) -> list[int]:
    """`left` without the recipients whose address this peer cannot take; those fail."""
    if fitted.smtputf8 or attempt.cargo.is_ascii:
        return left
    fit_ones = []
    for index in left:
        refusal = recipient_refusal(attempt.cargo.recipients[index], fitted, target)
        if refusal is None:
            fit_ones.append(index)
        else:
            attempt.outcomes[index] = refusal
    return fit_ones


def _no_family(route: Route, dialing: Dialing) -> Deferred:
    """All addresses of the next hop are of a family that the source or the preference does not use."""
    preference = dialing.preference
    key = f"sources.{preference.source}" if preference.source else "delivery"
    why = f"has no {_FAMILY_NAMES[preference.lacks]} address" if preference.lacks else f'has ip = "{preference.ip}"'
    addresses = ", ".join(dict.fromkeys(target.address for target in route.targets))
    return Deferred(
        Reply(451, "4.4.4", f"no address can be used: {key} {why}, and there are: {addresses}"), Scope.NEXT_HOP
    )
