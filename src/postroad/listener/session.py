"""One peer's conversation: octets to the session, its events to policies and intake, replies back.

The only loop of the receiving side (`_pump`), and the only writer of replies. It runs inside the event
loop's callbacks: a message costs no task and no await unless a policy has to wait. Reading pauses while
an answer is open and input piles up, while content waits for the disk, and while the peer does not read.
Time-outs are swept by listener/server.py (RFC 5321 4.5.3.2.7).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from postroad.listener.channel import Channel
from postroad.listener.intake import Gathering
from postroad.listener.judge import Answer, Judge
from postroad.listener.receipt import Receipt
from postroad.listener.terms import Terms
from postroad.listener.vestibule import Caller, caller_of
from postroad.model.records import ConnectionClosed, ConnectionOpened
from postroad.model.reply import Reply
from postroad.smtp import replies
from postroad.smtp.events import (
    AuthResponse,
    AuthStarted,
    ClientNamed,
    DataChunk,
    DataStarted,
    Event,
    Hello,
    MailFrom,
    MessageEnded,
    RcptTo,
    Refused,
)
from postroad.smtp.server import ServerSession

INPUT_LIMIT: Final = 256 << 10  # octets taken ahead while an answer is open
BACKLOG_LIMIT: Final = 1 << 20  # octets of content waiting for the disk


class Conversation(Channel):
    """The protocol object of one connection."""

    def __init__(self, terms: Terms, session_id: str, caller: Caller | None = None) -> None:
        """Converse on `terms`, with `caller` or else the other end of the connection; records name it `session_id`."""
        super().__init__()
        self._caller = caller
        self._terms = terms
        self._id = session_id
        self._session = ServerSession(terms.offer)
        self._judge = Judge(terms, session_id, self._detain)
        self._gathering: Gathering | None = None
        self._asking: asyncio.Task[None] | None = None
        self._draining = False
        self._ended = False  # the peer sends no more
        self._is_expected = False  # the spool was told that a message is on its way
        self._accepting = False  # inside intake.accept, whose answer may come at once
        self._early: Receipt | None = None
        self._opened = 0.0
        self._waits_for_greeting = False
        self._is_greeted = False
        # Instants on the monotonic clock, swept by the listener: last sign of life, start of the phase.
        self.last_seen = 0.0
        self.phase_began = 0.0

    # -- called by the event loop --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A peer connected: count it, and greet it or refuse it."""
        self._connected(transport)
        terms = self._terms
        caller = self._caller or caller_of(transport)
        self._judge.connect(caller)
        ip, port = caller.ip, caller.port
        if terms.trusts_client is not None and terms.trusts_client(ip):
            self._session.trust(terms.trusted)
        self._opened = self.last_seen = self.phase_began = terms.monotonic()
        terms.emit(ConnectionOpened(at=terms.now(), session=self._id, listener=terms.name, ip=ip, port=port))
        refusal = terms.enter(self)
        self._expect(is_coming=refusal is None)
        if refusal is not None:
            self._judge.refused(Refused("connect", refusal, "limit of sessions"))
            self._greeted(refusal)
        elif terms.greeting_delay > 0:
            self._waits_for_greeting = True
            terms.call_later(terms.greeting_delay, self._greet)
        else:
            self._welcome()

    def data_received(self, data: bytes) -> None:
        """Octets came from the peer."""
        self.last_seen = self._terms.monotonic()
        session = self._session
        if self._waits_for_greeting:
            self._waits_for_greeting = False
            self._is_greeted = True
            session.close(replies.TALKED_FIRST, "talked before the greeting")
            self._judge.refused(Refused("connect", replies.TALKED_FIRST, f"talked first: {data[:64]!r}"))
        session.receive_data(data)
        self._pump()
        if session.has_input and session.buffered > INPUT_LIMIT:
            self._hold("input")

    def eof_received(self) -> bool:
        """The peer will send no more: finish what was asked, then close."""
        self._ended = True
        return (
            self._session.waiting or self._session.is_behind
        )  # True keeps the connection: the answer that is open is still written

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone: forget unfinished content, count what was done."""
        terms, session = self._terms, self._session
        self._discard()
        self._let_go()
        self._expect(is_coming=False)
        if self._asking is not None:
            self._asking.cancel()
        reason = session.left or (str(exc) if exc else "connection lost")
        if not session.left and session.in_content:
            reason = f"{reason} while receiving content"
        seconds = terms.monotonic() - self._opened
        terms.leave(self)
        terms.emit(
            ConnectionClosed(
                at=terms.now(),
                session=self._id,
                listener=terms.name,
                ip=self._judge.peer.ip,
                port=self._judge.port,
                reason=reason,
                commands=session.tally.summary(),
                messages=session.messages,
                seconds=round(seconds, 3),
            )
        )
        self._transport = None

    def pause_writing(self) -> None:
        """The peer does not read its replies: read nothing more from it."""
        self._hold("output")

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._resume("output")
        self._pump()

    # -- called by the listener ----------------------------------------------------------------

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

    def doubt(self) -> None:
        """Expect no message of this peer until it begins one: others must not wait for who idles."""
        self._expect(is_coming=False)

    def time_out(self) -> None:
        """Close for lack of life; content that is open is lost with the connection."""
        self._session.close(replies.TIMED_OUT, "timeout while receiving content" if self.in_content else "timeout")
        self._flush()

    def drain(self, *, at_once: bool = True) -> None:
        """Take no new transaction: leave at once when idle, or after the next answer, or the one that is due."""
        self._draining = True
        self._let_go()
        if at_once and self._session.mail is None and not self._session.waiting:
            self._session.close(replies.SHUTTING_DOWN, "shutting down")
            self._flush()

    # -- the loop ------------------------------------------------------------------------------

    def _greet(self) -> None:
        if self._waits_for_greeting:
            self._waits_for_greeting = False
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

    def _pump(self) -> None:
        session = self._session
        if not self._is_greeted or (self._held and ("output" in self._held or "tarpit" in self._held)):
            return  # not yet, or the peer does not read its replies, or has to wait for them: no more of them
        while (event := session.next_event()) is not None:
            if isinstance(event, DataChunk):
                self._keep(event.data)
                continue
            reply = self._ask(event)
            if reply is not None:
                session.answer(reply)
                if self._judge.leaves:
                    self._judge.end(session)
            if self._held and "tarpit" in self._held:
                break
        # All replies of one turn of the event loop leave together: that wakes the peers' machine once and what they
        # send next is read in one go (a fifth of all CPU, measured).
        self._terms.at_turn_end(self._flush)
        if self._held and session.buffered <= INPUT_LIMIT:
            self._resume("input")

    def _flush(self) -> None:
        if self._held and "tarpit" in self._held:
            return
        is_behind = self._session.is_behind
        data = self._session.data_to_send()
        transport = self._transport
        if transport is None:
            return
        if data:
            transport.write(data)
        session = self._session
        if is_behind and not session.is_closed:
            self._terms.at_turn_end(self._pump)  # in the next turn, after the other sessions
        elif (session.is_closed or self._ended) and not session.waiting:
            transport.close()
        elif self._draining and session.mail is None and not session.waiting:
            self.drain()

    def _ask(self, event: Event) -> Reply | None:
        """The answer to `event`, or None when there is none or it comes later through `_answered`."""
        if isinstance(event, RcptTo):
            return self._heed(self._judge.rcpt(event))
        if isinstance(event, MailFrom):
            return self._ask_mail(event)
        if isinstance(event, MessageEnded):
            return self._end_message(event)
        if isinstance(event, DataStarted):
            return self._start_content()
        if isinstance(event, Hello):
            return self._meet(event)
        if isinstance(event, Refused):
            self._refused(event)
            return None
        if isinstance(event, ClientNamed):
            return self._replace(event)
        if isinstance(event, AuthStarted):
            return self._heed(self._judge.auth(event))
        if isinstance(event, AuthResponse):
            return self._heed(self._judge.respond(event))
        self._discard()
        return None

    def _heed(self, answer: Answer) -> Reply | None:
        """What the judge says, or None when it has to be waited for."""
        if isinstance(answer, Reply):
            return answer
        self._asking = asyncio.ensure_future(self._wait(answer, self._answered))
        return None

    async def _wait(self, answer: Awaitable[Reply], then: Callable[[Reply], None]) -> None:
        reply = await answer
        self._asking = None
        then(reply)

    def _answered(self, reply: Reply) -> None:
        """A late answer came."""
        session = self._session
        session.answer(reply)
        if self._judge.leaves:
            self._judge.end(session)
        if self._transport is None:
            return  # what a peer sent before it left without waiting is not begun
        if self._draining and session.mail is None:
            session.close(replies.SHUTTING_DOWN, "shutting down")
        self.last_seen = self._terms.monotonic()
        self._resume("input")
        self._pump()

    # -- one method an event -------------------------------------------------------------------

    def _replace(self, event: ClientNamed) -> Reply | None:
        """The peer speaks for another client: count that one instead, and greet it or refuse it."""
        self._discard()
        self._judge.name(event)
        refusal = self._terms.enter(self)
        if refusal is None:
            return self._heed(self._judge.welcome())
        self._refused(Refused("connect", refusal, "limit of sessions"))
        self._judge.leaves = "refused at connect"
        return refusal

    def _meet(self, event: Hello) -> Reply | None:
        answer = self._judge.hello(event)
        if self._terms.logins is not None:
            self._session.extras = self._judge.extras()
        return self._heed(answer)

    def _ask_mail(self, event: MailFrom) -> Reply | None:
        self.phase_began = self.last_seen
        if self._draining:
            self._session.close(replies.SHUTTING_DOWN, "shutting down")
            return replies.SHUTTING_DOWN
        if self._terms.intake.has_room():
            self._expect(is_coming=True)
            return self._heed(self._judge.mail(event))
        self._refused(Refused("mail", replies.STORAGE_FULL, "spool.free_space"))
        return replies.STORAGE_FULL

    def _start_content(self) -> Reply | None:
        if not self._terms.intake.has_room():
            self._refused(Refused("data", replies.STORAGE_FULL, "spool.free_space"))
            return replies.STORAGE_FULL
        answer = self._judge.data()
        if isinstance(answer, Reply):
            return self._begin_content(answer)
        self._asking = asyncio.ensure_future(self._wait(answer, self._content_asked))
        return None

    def _content_asked(self, reply: Reply) -> None:
        self._answered(self._begin_content(reply))

    def _begin_content(self, reply: Reply) -> Reply:
        if reply.is_positive:
            self._gathering = self._terms.intake.gather(self._drained)
            self.phase_began = self.last_seen
        return reply

    def _keep(self, data: bytes) -> None:
        if self._gathering is not None and self._gathering.append(data) > BACKLOG_LIMIT:
            self._hold("disk")

    def _end_message(self, event: MessageEnded) -> Reply | None:
        transaction, gathering = self._judge.transaction, self._gathering
        if transaction is None or gathering is None:
            raise AssertionError("content ended without a transaction")
        self._gathering = None
        self._expect(is_coming=False)
        self._resume("disk")  # the rest of the backlog is the spool's; whatever the peer says next must be read
        self.phase_began = self.last_seen
        self._accepting = True
        self._terms.intake.accept(transaction, gathering, event, self._finished)
        self._accepting = False
        early, self._early = self._early, None
        return None if early is None else early.reply

    def _finished(self, receipt: Receipt) -> None:
        judge = self._judge
        if not receipt.reply.is_positive:
            self._refused(Refused("message", receipt.reply, receipt.detail))
            if receipt.leave:
                judge.leaves = receipt.detail
        elif self._terms.watch is not None and judge.transaction is not None:
            taken = judge.transaction
            judge.conduct("accepted", count=len(taken.recipients), sender=taken.mail.path.text)
        if self._accepting:
            self._early = receipt  # answered by the loop, which is still running
        else:
            self._answered(receipt.reply)

    # -- small parts ---------------------------------------------------------------------------

    def _refused(self, notice: Refused) -> None:
        mail = self._session.mail
        self._judge.refused(notice, mail.path.text if mail is not None else "")

    def _released(self) -> None:
        self.last_seen = self._terms.monotonic()
        self._flush()
        self._pump()

    def _discard(self) -> None:
        if self._gathering is not None:
            self._gathering.discard()
            self._gathering = None
            self._resume("disk")

    def _expect(self, *, is_coming: bool) -> None:
        """A new client, or one that began a transaction, is likely to bring a message in a moment."""
        if is_coming is not self._is_expected:
            self._is_expected = is_coming
            self._terms.intake.expect(1 if is_coming else -1)

    def _drained(self) -> None:
        self._resume("disk")
