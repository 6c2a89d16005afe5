"""Log-ins of one connection: the AUTH command from its mechanism to 235 or a refusal (RFC 4954 4).

One for each connection of a listener with `auth`. SASL's exchange asks, the identity sources answer (auth/logins.py),
and what comes of it is one record and one word to those who watch, before the peer hears of it: who leaves early hides
nothing. Invariant: a refusal says nothing of why, and a wrong log-in is answered no sooner than `auth.failure_delay`
after it was complete, whatever was wrong with it.
"""

import asyncio
import secrets
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final, Protocol, assert_never

from msgspec.structs import replace

from postroad.auth.logins import SENDING, Found, Logins
from postroad.auth.source import EXPIRED, WEAK, Attempt, Denied, ScramKeys, Unavailable
from postroad.listener.terms import Terms
from postroad.model.envelope import Origin
from postroad.model.errors import SaslError
from postroad.model.identity import Identity
from postroad.model.records import Authenticated, AuthFailed
from postroad.model.reply import Reply
from postroad.policy.context import Peer
from postroad.policy.shield.conduct import Kind
from postroad.smtp import replies
from postroad.smtp.sasl import (
    Answer,
    CertificateShown,
    Challenge,
    Ended,
    Exchange,
    KeysWanted,
    PasswordGiven,
    Setting,
    Step,
    TokenGiven,
)

NONCE_OCTETS: Final = 18
# A client that sees -PLUS takes what is usual for the version of TLS (RFC 9266 3), and fails when we have it not.
USUAL: Final = frozenset(("tls-exporter", "tls-unique"))
NO_BINDINGS: Final[Mapping[str, bytes]] = MappingProxyType({})


class Candidate(Protocol):
    """The peer as its judge knows it (listener/judge.py)."""

    peer: Peer
    origin: Origin

    def proved(self, identity: Identity) -> None:
        """The peer has proved who it is."""

    def conduct(self, kind: Kind, *, login: str) -> None:
        """Tell those who watch."""


class Authentication:
    """The log-ins of one connection, and what is offered to it."""

    def __init__(self, terms: Terms, logins: Logins, candidate: Candidate) -> None:
        """Of `candidate`, by what `logins` knows."""
        self._terms = terms
        self._logins = logins
        self._candidate = candidate
        self._exchange: Exchange | None = None
        self._login = ""
        self._found: Found | None = None
        self._keys: ScramKeys | None = None
        self._was_told = False
        self._mechanism = ""
        self._began = 0.0
        self.bindings = NO_BINDINGS

    # -- what is offered -----------------------------------------------------------------------

    @property
    def is_safe(self) -> bool:
        """True when the peer may send a password here."""
        peer = self._candidate.peer
        return peer.tls is not None or self._logins.may_send(peer.ip)

    def mechanisms(self) -> tuple[str, ...]:
        """Those that can be used at this moment."""
        is_bound = not USUAL.isdisjoint(self.bindings)
        return self._logins.usable(sends=self.is_safe, is_bound=is_bound, tls=self._candidate.peer.tls)

    # -- the exchange --------------------------------------------------------------------------

    def start(self, mechanism: str, initial: bytes | None) -> Reply | Awaitable[Reply]:
        """AUTH with `mechanism` and, perhaps, the initial response."""
        usable = self.mechanisms()
        self._mechanism, self._login = mechanism, ""
        self._found = self._keys = None
        self._was_told = False
        if mechanism not in usable:
            return self._not_offered(mechanism)
        setting = Setting(
            nonce=secrets.token_urlsafe(NONCE_OCTETS),
            bindings=self.bindings,
            offers_binding=f"{mechanism}-PLUS" in usable,
            hint=self._logins.hint,
        )
        exchange = self._exchange = Exchange(mechanism, setting)
        return self._step(lambda: exchange.start(initial))

    def respond(self, data: bytes) -> Reply | Awaitable[Reply]:
        """The peer's response to a challenge."""
        exchange = self._exchange
        assert exchange is not None, "a response without an exchange"
        return self._step(lambda: exchange.give(data))

    def _not_offered(self, mechanism: str) -> Reply:
        """Why: it would have to be used with TLS, or it is not known here."""
        logins, tls = self._logins, self._candidate.peer.tls
        needs_tls = mechanism in SENDING and mechanism in logins.usable(sends=True, is_bound=False, tls=tls)
        reply = replies.ENCRYPTION_REQUIRED if needs_tls else replies.MECHANISM_UNKNOWN
        self._began = self._terms.monotonic()
        self._record("", "the mechanism needs TLS" if needs_tls else "the mechanism is not offered", reply)
        return reply

    def _step(self, go: Callable[[], Step | Ended]) -> Reply | Awaitable[Reply]:
        self._began = self._terms.monotonic()
        try:
            step = go()
        except SaslError as error:
            return self._malformed(error)
        if isinstance(step, Challenge):
            return replies.challenge(b64encode(step.data).decode())
        return self._later(step)

    async def _later(self, step: Step | Ended) -> Reply:
        """Answer the exchange's questions until it has something for the peer, or is over."""
        exchange = self._exchange
        assert exchange is not None, "a step without an exchange"
        while not isinstance(step, Ended):
            if isinstance(step, Challenge):
                return replies.challenge(b64encode(step.data).decode())
            answer = await self._answer(step)
            if answer is None:
                return await self._ended(replies.AUTH_UNAVAILABLE)
            try:
                step = exchange.give(answer)
            except SaslError as error:
                return self._malformed(error)
        return await self._end(step.place)

    async def _answer(self, step: PasswordGiven | TokenGiven | KeysWanted | CertificateShown) -> Answer | None:
        """The answer to a question; None when it cannot be had now."""
        logins, attempt = self._logins, self._attempt()
        self._login = step.login
        match step:
            case KeysWanted():
                self._found, self._keys = await logins.keys(step.login, step.hash_name, attempt)
                return None if self._keys is None else self._keys.stored
            case PasswordGiven():
                found = await logins.password(step.login, step.secret, attempt)
            case TokenGiven():
                found = await logins.token(step.login, step.token, attempt)
            case CertificateShown():
                found = await logins.certificate(step.login, self._candidate.peer.tls, attempt)
            case _:
                assert_never(step)
        self._found = found
        if isinstance(found.answer, Unavailable):
            return None
        if isinstance(found.answer, Denied) and isinstance(step, TokenGiven):
            # The client is told why before the exchange ends, and may as well leave then.
            self._login = self._login or found.answer.login
            self._failed(replies.BAD_CREDENTIALS)
            await self._pause()
        return isinstance(found.answer, Identity)

    def _attempt(self) -> Attempt:
        peer, origin = self._candidate.peer, self._candidate.origin
        return Attempt(peer.ip, origin.listener, self._mechanism, origin.session, peer.tls is not None)

    # -- its end -------------------------------------------------------------------------------

    async def _end(self, place: int) -> Reply:
        found, keys = self._found, self._keys
        if keys is not None and found is not None and place >= 0:
            found = self._found = Found(found.source, keys.identities[place])
        if place < 0 or found is None or not isinstance(found.answer, Identity):
            return await self._ended(self._refusal())
        identity = replace(found.answer, mechanism=self._mechanism)
        terms = self._terms
        if terms.is_locked is not None and terms.is_locked(identity.login):
            self._found = Found(found.source, Denied("the account is locked"))
            return await self._ended(replies.BAD_CREDENTIALS)
        self._exchange = None
        self._candidate.proved(identity)
        terms.emit(
            Authenticated(
                at=terms.now(),
                origin=self._candidate.origin,
                login=identity.login,
                mechanism=self._mechanism,
                source=found.source,
                seconds=round(terms.monotonic() - self._began, 3),
            )
        )
        self._candidate.conduct("auth_done", login=identity.login)
        return replies.AUTH_DONE

    def _refusal(self) -> Reply:
        answer = None if self._found is None else self._found.answer
        if isinstance(answer, Denied) and answer.meaning == EXPIRED:
            return replies.PASSWORD_EXPIRED
        if isinstance(answer, Denied) and answer.meaning == WEAK:
            return replies.MECHANISM_WEAK
        return replies.BAD_CREDENTIALS

    async def _ended(self, reply: Reply) -> Reply:
        """The exchange came to nothing."""
        self._exchange = None
        if not self._was_told:
            self._failed(reply)
            await self._pause()
        return reply

    async def _pause(self) -> None:
        """Until the delay since the attempt is over."""
        terms = self._terms
        left = self._began + self._logins.failure_delay - terms.monotonic()
        if left > 0:
            over = asyncio.Event()
            terms.call_later(left, over.set)
            await over.wait()

    def _failed(self, reply: Reply) -> None:
        found = self._found
        answer = None if found is None else found.answer
        reason = answer.reason if isinstance(answer, Denied | Unavailable) else "refused"
        self._record("" if found is None else found.source, reason, reply)
        if reply is replies.BAD_CREDENTIALS:  # who knows the password is nobody to be banned
            self._candidate.conduct("auth_failed", login=self._login)

    def _malformed(self, error: SaslError) -> Reply:
        self._exchange = None
        self._record("", str(error), replies.AUTH_MALFORMED)
        return replies.AUTH_MALFORMED

    def _record(self, source: str, reason: str, reply: Reply) -> None:
        self._was_told = True
        terms = self._terms
        terms.emit(
            AuthFailed(
                at=terms.now(),
                origin=self._candidate.origin,
                login=self._login,
                mechanism=self._mechanism,
                source=source,
                reason=reason,
                code=reply.code,
                seconds=round(terms.monotonic() - self._began, 3),
            )
        )
