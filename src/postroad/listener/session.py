"""One peer's conversation: octets to the session, its events to policies and intake, replies back.

The only loop of the receiving side (`_pump`), and the only writer of replies. It runs inside the event
loop's callbacks: a message costs no task and no await unless a policy has to wait. Reading pauses while
an answer is open and input piles up, while content waits for the disk, and while the peer does not read.
Time-outs are swept by listener/server.py (RFC 5321 4.5.3.2.7).
"""

import asyncio
from typing import Final

from msgspec.structs import replace

from postroad.listener.greeting import Greeting
from postroad.listener.intake import Gathering
from postroad.listener.judge import Answer
from postroad.listener.receipt import Receipt
from postroad.listener.terms import Terms
from postroad.listener.vestibule import Caller
from postroad.model.records import ConnectionClosed
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
    StartTls,
)

INPUT_LIMIT: Final = 256 << 10  # octets taken ahead while an answer is open
BACKLOG_LIMIT: Final = 1 << 20  # octets of content waiting for the disk


class Conversation(Greeting):
    """The protocol object of one connection."""

    def __init__(self, terms: Terms, session_id: str, caller: Caller | None = None) -> None:
        """Converse on `terms`, with `caller` or else the other end of the connection; records name it `session_id`."""
        super().__init__(terms, session_id, caller)
        self._gathering: Gathering | None = None
        self._draining = False
        self._ended = False  # the peer sends no more
        self._accepting = False  # inside intake.accept, whose answer may come at once
        self._early: Receipt | None = None

    # -- called by the event loop --------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Octets came from the peer."""
        self.last_seen = self._terms.monotonic()
        session = self._session
        if self._is_apart and self._set_apart(data):
            return
        session.receive_data(data)
        self._pump()
        if session.has_input and session.buffered > INPUT_LIMIT:
            self._hold("input")

    def eof_received(self) -> bool:
        """The peer will send no more: finish what was asked, then close."""
        self._ended = True
        if self.secured is not None or self._shaking is not None:
            return False  # the other half of TLS cannot stay open
        return (
            self._session.waiting or self._session.is_behind
        )  # True keeps the connection: the answer that is open is still written

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone: forget unfinished content, count what was done."""
        if self._shaking is not None or self._is_gone:
            self._is_gone = True
            return  # the handshake tells why, in a moment; or it has done so
        self._is_gone = True
        terms, session = self._terms, self._session
        self._discard()
        self._let_go()
        self._expect(is_coming=False)
        self._judge.gone(is_pending=session.waiting and self._asking is None)
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
        if at_once and self._raw is not None:
            self._cut_handshake("the server shuts down")
        elif at_once and self._session.mail is None and not self._session.waiting:
            self._session.close(replies.SHUTTING_DOWN, "shutting down")
            self._flush()

    # -- the loop ------------------------------------------------------------------------------

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
        if isinstance(event, StartTls):
            return self._start_tls()
        if isinstance(event, AuthStarted | AuthResponse):
            judge = self._judge
            return self._heed(judge.auth(event) if isinstance(event, AuthStarted) else judge.respond(event))
        self._discard()
        self._judge.over()
        return None

    def _heed(self, answer: Answer) -> Reply | None:
        """What the judge says, or None when it has to be waited for."""
        if isinstance(answer, Reply):
            return answer
        self._asking = asyncio.ensure_future(self._wait(answer, self._answered))
        return None

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
        judge.over(is_taken=receipt.reply.is_positive)
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

    def _start_tls(self) -> Reply | None:
        tls = self._terms.tls
        if self._draining or tls is None:
            self._session.close(replies.SHUTTING_DOWN, "shutting down")
            return replies.SHUTTING_DOWN
        if not tls.handshakes.begin(self):
            self._refused(Refused("starttls", replies.TLS_UNAVAILABLE, "tls.handshakes"))
            return replies.TLS_UNAVAILABLE
        self._session.expect_handshake()
        self._flush()
        self._shake_hands(tls)
        return None

    def _go_on(self, early: bytes) -> None:
        """Under TLS everything begins anew, but for who the peer is (RFC 3207 4.2)."""
        session = self._session
        self._is_apart = False
        self.last_seen = self.phase_began = self._terms.monotonic()
        offer = self._terms.secured
        assert offer is not None, "TLS that was not offered"
        session.secure(replace(offer, xclient=True) if self._is_trusted else offer)
        if session.is_closed:
            self._flush()
        elif not self._is_greeted:
            self._begin()
        elif self._draining:
            self.drain()
        if early and not session.is_closed:
            self.data_received(early)

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

    def _drained(self) -> None:
        self._resume("disk")
