"""The recipients of one message to the targets of one route: each recipient ends with one outcome.

Targets are tried in order. A failure of the host sends the recipients that are not settled to the next
target at once (RFC 5321 5.1); any other outcome settles. At one target recipients go in as few transactions
as it takes; the ones refused as too many go in another one (RFC 5321 4.5.3.1.10). A kept connection that
turns out dead before the peer took MAIL is replaced once, at once, and blamed on nobody.
"""

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from postroad.delivery.capture import capture
from postroad.delivery.cargo import Cargo
from postroad.delivery.classify import CONNECT, Result, from_fault, from_session_reply, settle
from postroad.delivery.connection import Connection, Dialing, OpenStream, dial
from postroad.delivery.fit import Fit, fit, fit_plain, recipient_refusal
from postroad.delivery.pool import Pool
from postroad.delivery.recent import Recent
from postroad.delivery.settings import DeliverySettings
from postroad.model.content import Content
from postroad.model.errors import AddressError, SpoolError
from postroad.model.outcome import Deferred, Failed, Outcome, Scope
from postroad.model.reply import Reply
from postroad.model.route import CAPTURE, Route, Target
from postroad.model.work import Work
from postroad.net.clock import Clock
from postroad.smtp.client import recipient_commands

_PLAIN_SECONDS: Final = 600.0  # a failed TLS handshake means plain text for this long
_DOWN_SECONDS: Final = 30.0  # a target that could not be reached comes last for this long
_NO_TARGET: Final = Deferred(Reply(451, "4.4.4", "route has no target"), Scope.NEXT_HOP)


class Attempt:
    """The state of one call: what is sent, and the outcome of each recipient as far as known."""

    __slots__ = ("cargo", "outcomes", "works")

    def __init__(self, works: Sequence[Work], content: Content) -> None:
        """Nothing is settled yet."""
        self.works = works
        envelope = works[0].stored.envelope
        everyone = envelope.recipients
        self.cargo = Cargo(envelope, [everyone[work.index] for work in works], content)
        self.outcomes: list[Outcome | None] = [None] * len(works)

    def left(self) -> list[int]:
        """Which recipients have no outcome."""
        return [index for index, outcome in enumerate(self.outcomes) if outcome is None]

    def settle(self, indices: Sequence[int], outcome: Outcome) -> None:
        """The recipients at `indices` share `outcome`."""
        for index in indices:
            self.outcomes[index] = outcome


class Deliverer:
    """Delivers; owns the idle connections."""

    def __init__(
        self,
        *,
        settings: DeliverySettings,
        hostname: str,
        clock: Clock,
        open_stream: OpenStream,
        capture_folder: Path,
        tls_context: ssl.SSLContext,
    ) -> None:
        """Introduce ourselves as `hostname`; connect by `open_stream`; write captured mail to `capture_folder`."""
        self._dialing = Dialing(settings, hostname, open_stream, tls_context, clock.monotonic)
        self._starttls = settings.tls == "opportunistic"
        self._monotonic = clock.monotonic
        self._pool = Pool(settings, clock)
        self._capture_folder = capture_folder
        self._plain = Recent(_PLAIN_SECONDS)
        self._down = Recent(_DOWN_SECONDS)

    async def deliver(self, route: Route, works: list[Work], content: Content) -> list[Outcome]:
        """Deliver `works`, recipients of one message, along `route`; one outcome each, in the same order."""
        attempt = Attempt(works, content)
        left = list(range(len(works)))
        host = _NO_TARGET
        for target in self._in_order(route.targets):
            failure = await self._to_target(target, attempt, left)
            if failure is None:
                break
            host = failure
            left = attempt.left()
        return [host if outcome is None else outcome for outcome in attempt.outcomes]

    async def close(self) -> None:
        """Close the idle connections, politely and within seconds; connections in use close when given back."""
        for connection in self._pool.close():
            await connection.stream.wait_closed()

    def _in_order(self, targets: tuple[Target, ...]) -> Sequence[Target]:
        """The targets as the route has them, but those that could not be reached a moment ago last."""
        if len(targets) < 2 or not self._down:
            return targets
        now = self._monotonic()
        return sorted(targets, key=lambda target: self._down.has(target, now))

    async def _to_target(self, target: Target, attempt: Attempt, left: list[int]) -> Deferred | None:
        """Settle the recipients `left` at `target`, or tell why the host took no more of them."""
        if target.scheme == CAPTURE:
            works = [attempt.works[index] for index in left]
            captured = await capture(self._capture_folder, attempt.cargo, works, target)
            if type(captured) is Deferred and captured.scope is Scope.HOST:
                return captured
            attempt.settle(left, captured)
            return None
        connection = self._pool.take(target)
        try:
            while left:
                if connection is None:
                    opened = await self._open(target)
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
        fitted = fit_plain(attempt.cargo, extensions) or await fit(attempt.cargo, extensions, target)
        if isinstance(fitted, Failed):
            attempt.settle(left, fitted)
            return Result()
        batch = _refuse_unfit(attempt, fitted, left, target)[: connection.recipient_limit]
        if not batch:
            return Result()
        everyone = attempt.cargo.recipients
        recipients = [everyone[index] for index in batch]
        commands = recipient_commands(recipients, dsn=fitted.dsn, smtputf8=fitted.smtputf8)
        was_used = connection.messages > 0
        transaction, fault = await connection.transact(fitted, commands)
        if was_used and not transaction.has_begun and (fault or transaction.closing is not None):
            return None
        result = settle(transaction, fault, target, dsn=extensions.dsn, tls=connection.tls)
        for index, outcome in zip(batch, result.outcomes, strict=True):
            attempt.outcomes[index] = outcome if outcome is not result.host else None
        if result.too_many > 1 and not any(result.outcomes[-result.too_many :]):
            # It takes so many and then none: no need to learn that again with each message.
            connection.recipient_limit = max(1, len(batch) - result.too_many)
        return result

    async def _open(self, target: Target) -> Connection | Deferred:
        """A new connection to `target`; after a failed TLS handshake in plain text."""
        starttls = self._starttls and not self._plain.has(target, self._monotonic())
        opened = await dial(self._dialing, target, starttls=starttls)
        if not isinstance(opened, Connection) and opened.tls_failed:
            self._plain.note(target, self._monotonic())
            opened = await dial(self._dialing, target, starttls=False)
        if isinstance(opened, Connection):
            if self._down:
                self._down.drop(target)
            return opened
        if opened.refused is not None:
            return from_session_reply(opened.refused, opened.command, target)
        if opened.command == CONNECT:
            self._down.note(target, self._monotonic())
        return from_fault(opened.words, opened.command, target)


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
