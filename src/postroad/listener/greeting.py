"""How a conversation begins: counted, under TLS from the first octet where that is so, then greeted or turned away.

The base of listener/session.py, over the connection of listener/securing.py. Until a peer is greeted nothing it says
is looked at; one that talks in the pause before its greeting is refused. RFC 5321 4.3.1 (the greeting).
"""

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable

from postroad.listener.securing import Securing
from postroad.listener.terms import Terms
from postroad.listener.vestibule import Caller, caller_of
from postroad.model.records import ConnectionOpened
from postroad.model.reply import Reply
from postroad.smtp import replies
from postroad.smtp.events import Refused
from postroad.smtp.server import ServerSession


class Greeting(Securing):
    """The beginning of one connection."""

    def __init__(self, terms: Terms, session_id: str, caller: Caller | None) -> None:
        """Converse on `terms`, with `caller` or else the other end of the connection; records name it `session_id`."""
        super().__init__(terms, session_id)
        self._caller = caller
        self._is_trusted = False  # it may say for whom it speaks
        self._session = ServerSession(terms.offer)
        self._asking: asyncio.Task[None] | None = None
        self._is_expected = False  # the spool was told that a message is on its way
        self._opened = 0.0
        self._waits_for_greeting = False
        self._is_greeted = False
        # Instants on the monotonic clock, swept by the listener: last sign of life, start of the phase.
        self.last_seen = 0.0
        self.phase_began = 0.0

    @abstractmethod
    def _flush(self) -> None:
        """Write what there is to write."""

    @abstractmethod
    def _pump(self) -> None:
        """Obey what the peer said."""

    @abstractmethod
    def doubt(self) -> None:
        """Expect no message of this peer until it begins one."""

    @abstractmethod
    def time_out(self) -> None:
        """Close for lack of life."""

    @abstractmethod
    def drain(self, *, at_once: bool = True) -> None:
        """Take no new transaction."""

    @property
    def ip(self) -> str:
        """The peer's address."""
        return self._judge.peer.ip

    @property
    def terms(self) -> Terms:
        """The terms it began with."""
        return self._terms

    @property
    def in_content(self) -> bool:
        """True while the peer sends content; other time-outs hold then."""
        return self._session.in_content

    @property
    def is_waiting(self) -> bool:
        """True while the peer waits for us, which no time-out of the peer's may end."""
        return self._session.waiting

    @property
    def has_timed_out(self) -> bool:
        """True once `time_out` was called; the connection is closing."""
        return self._session.is_closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A peer connected: count it, and greet it or refuse it."""
        self._connected(transport)
        terms = self._terms
        caller = self._caller or caller_of(transport)
        ip, port = caller.ip, caller.port
        self._judge.connect(caller)
        if terms.trusts_client is not None and caller.is_known and terms.trusts_client(ip):
            self._is_trusted = True
            self._session.trust(terms.trusted)
        self._opened = self.last_seen = self.phase_began = terms.monotonic()
        terms.emit(ConnectionOpened(at=terms.now(), session=self._id, listener=terms.name, ip=ip, port=port))
        refusal, why = terms.enter(self), "limit of sessions"
        self._expect(is_coming=refusal is None)
        tls = terms.tls
        if tls is not None and tls.is_implicit:
            if refusal is None and tls.handshakes.begin(self):
                self._shake_hands(tls)
                return
            if refusal is None:
                refusal, why = replies.TLS_UNAVAILABLE, "tls.handshakes"
        if refusal is None:
            self._begin()
        else:
            self._judge.refused(Refused("connect", refusal, why))
            self._turn_away(refusal)

    def _begin(self) -> None:
        """Greet, now or after a while."""
        terms = self._terms
        peer = self._judge.peer
        if terms.greeting_delay > 0 and not (peer.relays or terms.skips_greeting_delay(peer.ip)):
            self._waits_for_greeting = self._is_apart = True
            terms.call_later(terms.greeting_delay, self._greet)
        else:
            self._welcome()

    def _turn_away(self, refusal: Reply) -> None:
        """Say why there is no session, where that can be said."""
        tls = self._terms.tls
        if tls is None or not tls.is_implicit:
            self._greeted(refusal)
        elif self._transport is not None:  # plain text means nothing to a client that speaks TLS
            self._session.leave("refused at connect")
            self._transport.close()

    def _greet(self) -> None:
        if self._waits_for_greeting:
            self._waits_for_greeting = self._is_apart = False
            self._welcome()

    def _welcome(self) -> None:
        """Ask what to greet the peer with; until then nothing it says is looked at."""
        answer = self._judge.welcome()
        if isinstance(answer, Reply):
            self._greeted(answer)
        else:
            self._asking = asyncio.ensure_future(self._wait(answer, self._greeted))

    def _greeted(self, reply: Reply) -> None:
        self._is_greeted = True
        self._session.greet(reply)
        if reply == replies.SILENCE:
            self.abort()
            return
        self._flush()
        if self._session.has_input:
            self._pump()

    async def _wait(self, answer: Awaitable[Reply], then: Callable[[Reply], None]) -> None:
        reply = await answer
        self._asking = None
        then(reply)

    def _set_apart(self, data: bytes) -> bool:
        """Octets that are not for the session: of a handshake, or of who talks before the greeting. True: kept."""
        if not self._waits_for_greeting:
            self._apart += data
            return True
        self._waits_for_greeting = self._is_apart = False
        self._is_greeted = True
        self._session.close(replies.TALKED_FIRST, "talked before the greeting")
        self._judge.refused(Refused("connect", replies.TALKED_FIRST, f"talked first: {data[:64]!r}"))
        return False

    def _expect(self, *, is_coming: bool) -> None:
        """A new client, or one that began a transaction, is likely to bring a message in a moment."""
        if is_coming is not self._is_expected:
            self._is_expected = is_coming
            self._terms.intake.expect(1 if is_coming else -1)
