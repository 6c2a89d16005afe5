"""The server's side of one SMTP session, without I/O: octets in, events out, answers in, octets out.

Feed `receive_data`, take `next_event` until it is None, `answer` each event that asks, write
`data_to_send`. An unanswered event blocks the next, so pipelining (RFC 2920) and slow policies need
no special code. Order and syntax of commands are judged here alone (RFC 5321 4.1.4); opinions are the
caller's. Every refusal of our own is also told as a `Refused` notice, for the log.
"""

from types import MappingProxyType
from typing import Final

from postroad.model.reply import Reply
from postroad.smtp import replies
from postroad.smtp.authcommand import parse_auth, parse_response
from postroad.smtp.command import RefusalError, parse_bdat, parse_hello, parse_mail, parse_rcpt, refuse_argument
from postroad.smtp.data import ChunkReader
from postroad.smtp.dialogue import Dialogue
from postroad.smtp.events import (
    AuthResponse,
    AuthStarted,
    ClientNamed,
    DataStarted,
    Event,
    Hello,
    MailFrom,
    MessageEnded,
    RcptTo,
    Refused,
    StartTls,
)
from postroad.smtp.state import BEFORE_TLS, HTTP, NOT_IMPLEMENTED, State
from postroad.smtp.xclient import parse_xclient


class ServerSession(Dialogue):
    """One session; see the module's docstring for the order of calls."""

    # -- events and answers --------------------------------------------------------------------

    def next_event(self) -> Event | None:
        """The next thing the peer did, or None: more octets or an answer are needed."""
        while self._waiting is None:
            if self._queue:
                event: Event | None = self._queue.popleft()
            elif self._input.octets:
                state = self.state
                if state is State.DATA:
                    event = self._read_dots()
                elif state is State.CHUNK:
                    event = self._read_chunk()
                elif not self._lines_left:
                    return None
                else:
                    self._lines_left -= 1
                    line, problem = self._input.line()
                    if line is None:
                        return None
                    if state is State.AUTH:
                        event = self._respond(line, problem)
                    else:
                        event = self._refuse_line(line, problem) if problem else self._obey(line)
            elif self.state is State.CHUNK and self._chunks is not None and not self._chunks.left:
                event = self._read_chunk()  # a chunk of no octets is complete at once
            else:
                return None
            if event is not None:
                if event.asks:
                    self._waiting = event
                return event
        return None

    def answer(self, reply: Reply) -> None:
        """Answer the event that waits; a positive reply also has the command's effect."""
        event = self._waiting
        if event is None:
            raise AssertionError("answered without a question")
        self._waiting = None
        positive = reply.code < 400
        if self.state is State.CLOSED:
            return  # the session ended while the answer was on its way
        if isinstance(event, RcptTo):
            if positive:
                self.taken += 1
                self.state = State.RCPT
            else:
                self.rejected += 1
        elif isinstance(event, MailFrom):
            if positive:
                self.mail = event
                self.state = State.MAIL
        elif isinstance(event, MessageEnded):
            self.messages += positive
            self.tally.message()
            self._end_transaction()
        elif isinstance(event, DataStarted) and not self._answer_start(reply, positive=positive):
            return
        elif isinstance(event, Hello | ClientNamed) and positive:
            self._met(event, reply)
            return
        elif isinstance(event, AuthStarted | AuthResponse):
            self._answer_auth(reply)
        self._out.append(replies.encode(reply))
        if not positive:
            self._count_error(reply)

    # -- command lines -------------------------------------------------------------------------

    def _met(self, event: Hello | ClientNamed, reply: Reply) -> None:
        self._abandon()
        if isinstance(event, ClientNamed):
            self._begin_anew(event)
            self._out.append(replies.encode(reply))
            return
        self.hello = event.name
        self.extended = event.extended
        self.state = State.READY
        offer = self._offer
        if event.extended and self.extras:
            self._out.append(offer.ehlo_with(self.extras))
        else:
            self._out.append(offer.ehlo if event.extended else offer.helo)

    def _answer_auth(self, reply: Reply) -> None:
        """A further challenge, or the end of the exchange (RFC 4954 4)."""
        self.state = State.AUTH if reply.code == 334 else State.READY
        if reply.code == 235:
            self.has_login = True
            self.needs_login = False

    def _refuse_line(self, line: bytes, problem: str) -> Event:
        reply = replies.BARE_NEWLINE
        if problem == "too long":
            reply = replies.AUTH_LINE_TOO_LONG if line[:5].upper() == b"AUTH " else replies.LINE_TOO_LONG
        self._refuse("command", reply, f"command line: {problem}")
        return self._queue.popleft()

    def _obey(self, line: bytes) -> Event | None:
        verb, _, argument = line.partition(b" ")
        verb = verb.upper()
        if len(line) > self._line_limit and verb != b"AUTH":
            return self._refuse_line(line, "too long")
        handler = _VERBS.get(verb)
        if handler is None:
            self._unknown(verb)
            return None
        if not self.tally.command(verb):
            self._lose_patience()
            return None
        if self._needs_tls and verb not in BEFORE_TLS:
            self._refuse(verb.decode().lower(), replies.NEEDS_TLS, "before STARTTLS")
            return None
        try:
            return handler(self, argument)
        except RefusalError as refusal:
            if verb == b"RCPT" and self.mail is not None:
                self.rejected += 1
            self._refuse(verb.decode().lower(), refusal.reply, str(refusal))
            return None

    def _unknown(self, verb: bytes) -> None:
        self.tally.command(b"UNKNOWN")
        if self._needs_tls and verb not in HTTP:
            self._refuse("command", replies.NEEDS_TLS, "before STARTTLS")
        elif verb in NOT_IMPLEMENTED:
            self._refuse("command", replies.NOT_IMPLEMENTED, f"{verb.decode()} is not offered")
        elif verb in HTTP:
            self._queue.append(Refused("command", replies.NOT_SMTP, f"HTTP: {verb.decode()}"))
            self.close(replies.NOT_SMTP, "spoke HTTP")
        else:
            self._refuse("command", replies.UNKNOWN_COMMAND, f"unknown command {verb[:32]!r}")

    # -- one method a verb: order and syntax, then an event or a plain answer --------------------

    def _ehlo(self, argument: bytes) -> Event:
        return Hello(parse_hello(argument), extended=True)

    def _helo(self, argument: bytes) -> Event:
        return Hello(parse_hello(argument), extended=False)

    def _xclient(self, argument: bytes) -> Event | None:
        if not self._offer.xclient:
            self._unknown(b"XCLIENT")
            return None
        if self.mail is not None:
            raise RefusalError(replies.NESTED_XCLIENT, "out of order")
        return parse_xclient(argument)

    def _mail(self, argument: bytes) -> Event | None:
        if self.state is not State.READY:
            raise RefusalError(replies.HELLO_FIRST if self.state < State.READY else replies.NESTED_MAIL, "out of order")
        if self.messages >= self._offer.messages:
            self._queue.append(Refused("mail", replies.TOO_MANY_MESSAGES, "limits.messages_per_session"))
            self.close(replies.TOO_MANY_MESSAGES, "too many messages")
            return None
        if self.needs_login:
            raise RefusalError(replies.AUTH_REQUIRED, "no log-in")
        event = parse_mail(argument, auth=self._offer.auth, requiretls=self._offer.is_secured)
        if event.size > self._offer.message_size:
            raise RefusalError(replies.MESSAGE_TOO_BIG, f"declared {event.size} octets")
        return event

    def _rcpt(self, argument: bytes) -> Event:
        mail = self.mail
        if mail is None:
            raise RefusalError(replies.MAIL_FIRST, "out of order")
        if self.state > State.RCPT:
            raise RefusalError(replies.BDAT_ONLY, "RCPT after a chunk")
        event = parse_rcpt(argument, utf8=mail.smtputf8)
        if self.taken >= self._offer.recipients:
            raise RefusalError(replies.TOO_MANY_RECIPIENTS, "limits.recipients_per_message")
        return event

    def _data(self, argument: bytes) -> Event:
        refuse_argument(argument, "DATA")
        mail = self._require_recipients()
        if self.state is State.CHUNKS or mail.body == "BINARYMIME":  # RFC 3030 2 and 3
            raise RefusalError(replies.BDAT_ONLY, "DATA for content that must come by BDAT")
        return DataStarted()

    def _bdat(self, argument: bytes) -> Event | None:
        size, self._last_chunk = parse_bdat(argument)
        if self.state is State.CHUNKS and self._chunks is not None:
            self._chunks.begin(size)
            self.state = State.CHUNK
            return None
        try:
            self._require_recipients()
            question = DataStarted()
        except RefusalError as refusal:  # the octets come all the same and must be read (RFC 3030 2)
            self._skip = (refusal.reply, str(refusal))
            self.state = State.CHUNK
            question = None
        self._chunks = ChunkReader(size)
        return question

    def _require_recipients(self) -> MailFrom:
        if self.mail is None:
            raise RefusalError(replies.MAIL_FIRST, "out of order")
        if not self.taken:
            raise RefusalError(
                replies.NO_VALID_RECIPIENTS if self.rejected else replies.RECIPIENT_FIRST, "no recipient"
            )
        return self.mail

    def _rset(self, argument: bytes) -> None:
        refuse_argument(argument, "RSET")
        self._abandon()
        self._out.append(replies.encode(replies.OK))

    def _noop(self, _argument: bytes) -> None:
        self._out.append(replies.encode(replies.OK))

    def _help(self, _argument: bytes) -> None:
        self._out.append(replies.HELP.encode())

    def _vrfy(self, argument: bytes) -> None:
        if not argument.strip():
            raise RefusalError(replies.SYNTAX, "VRFY takes an argument")
        if self.needs_login:
            raise RefusalError(replies.AUTH_REQUIRED, "no log-in")
        self._out.append(replies.CANNOT_VERIFY.encode())

    def _auth(self, argument: bytes) -> Event:
        if not self._offer.auth:
            raise RefusalError(replies.NOT_IMPLEMENTED, "AUTH is not offered")
        if self.has_login:
            raise RefusalError(replies.AUTH_TWICE, "AUTH after AUTH")
        if self.state is not State.READY or not self.extended:
            raise RefusalError(
                replies.AUTH_IN_TRANSACTION if self.state > State.READY else replies.HELLO_FIRST, "out of order"
            )
        mechanism, initial = parse_auth(argument)
        return AuthStarted(mechanism, initial)

    def _respond(self, line: bytes, problem: str) -> Event | None:
        """The response to a challenge, or the end of the exchange; a refusal never repeats what was sent."""
        self.state = State.READY
        try:
            return AuthResponse(parse_response(line, problem))
        except RefusalError as refusal:
            self._refuse("auth", refusal.reply, str(refusal))
            return None

    def _quit(self, argument: bytes) -> None:
        refuse_argument(argument, "QUIT")
        self.close(replies.GOODBYE, "quit")

    def _starttls(self, argument: bytes) -> Event | None:
        offer = self._offer
        if not offer.starttls:
            if offer.is_secured:
                raise RefusalError(replies.TLS_ACTIVE, "STARTTLS under TLS")
            raise RefusalError(replies.NOT_IMPLEMENTED, "STARTTLS is not offered")
        refuse_argument(argument, "STARTTLS")
        if self.state is not State.READY:
            raise RefusalError(
                replies.HELLO_FIRST if self.state < State.READY else replies.IN_TRANSACTION, "out of order"
            )
        if len(self._input):  # nothing in plain text may ever count as said under TLS (RFC 3207 4.2)
            early = f"{len(self._input)} octets behind STARTTLS"
            self._queue.append(Refused("starttls", replies.EARLY_OCTETS, early))
            self.close(replies.EARLY_OCTETS, early)
            return None
        return StartTls()


_VERBS: Final = MappingProxyType(
    {
        b"EHLO": ServerSession._ehlo,
        b"HELO": ServerSession._helo,
        b"XCLIENT": ServerSession._xclient,
        b"MAIL": ServerSession._mail,
        b"RCPT": ServerSession._rcpt,
        b"DATA": ServerSession._data,
        b"BDAT": ServerSession._bdat,
        b"RSET": ServerSession._rset,
        b"NOOP": ServerSession._noop,
        b"HELP": ServerSession._help,
        b"VRFY": ServerSession._vrfy,
        b"QUIT": ServerSession._quit,
        b"STARTTLS": ServerSession._starttls,
        b"AUTH": ServerSession._auth,
    }
)
