"""Judges what a peer asks for: who it is, what the policies of each stage say of it, and the reply that follows.

One for each connection. An answer comes at once, as a Reply, or later, as an awaitable of one, when a policy has to
wait; nothing here reads, writes or waits itself (listener/session.py does). Every refusal is a record, and told to
those who learn from how peers behave.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from msgspec.structs import replace

from postroad.listener.authentication import Authentication
from postroad.listener.channel import Later
from postroad.listener.tarpit import Tarpit
from postroad.listener.terms import Terms
from postroad.listener.transaction import Pending, Transaction
from postroad.listener.vestibule import Caller
from postroad.model.envelope import Origin, Recipient
from postroad.model.identity import Identity, TlsState
from postroad.model.records import ClientChanged, CommandRefused
from postroad.model.reply import Reply
from postroad.policy.context import AuthContext, ConnectContext, HelloContext, Peer
from postroad.policy.facts import Facts
from postroad.policy.shield.conduct import Conduct, Kind
from postroad.policy.verdict import VERDICTS, Accept, Adjust, Defer, Discard, Reject, Verdict
from postroad.smtp import replies
from postroad.smtp.events import AuthResponse, AuthStarted, ClientNamed, Hello, MailFrom, RcptTo, Refused
from postroad.smtp.server import ServerSession

NOBODY: Final = Peer("", relays=False)  # before the connection is made
NO_ORIGIN: Final = Origin()
_IN_TRANSACTION: Final = frozenset({"mail", "data"})

Detain = Callable[[Tarpit, float, Later], None]
Answer = Reply | Awaitable[Reply]


class Judge:
    """What is known of one peer, and what follows from it."""

    def __init__(self, terms: Terms, session_id: str, detain: Detain) -> None:
        """Judge on `terms`; `session_id` names the connection in records; `detain` lets the peer wait for a refusal."""
        self._detain = detain
        self._refusals = 0
        self._parting: Reply | None = None  # what is said when the session ends
        self._terms = terms
        self._id = session_id
        self._proxy = ""  # the address that may have said for whom it speaks
        self._ground = self._facts = Facts()
        self._since_hello = -1  # how many of those below are older than the last EHLO
        self._for_all: list[Adjust] = []  # what policies of the connection want done to each of its messages
        self.peer = NOBODY
        self.port = 0
        self.origin = NO_ORIGIN
        self.transaction: Transaction | None = None
        self.leaves = ""  # why the session is to end with the answer that was given
        self._authentication = None if terms.logins is None else Authentication(terms, terms.logins, self)

    # -- one method an event ---------------------------------------------------------------------

    def connect(self, caller: Caller) -> None:
        """A peer came; one that nobody knows may never send anywhere because of where it seems to come from."""
        ip = self._proxy = caller.ip
        self.peer = Peer(ip, relays=caller.is_known and self._terms.relays(ip))
        self.port = caller.port
        self.origin = Origin(ip, caller.port, "", "SMTP", self._terms.name, self._id)

    def name(self, client: ClientNamed) -> None:
        """A peer that is believed speaks for `client`: nothing that was known of itself counts any more."""
        self.over()
        self._parted(is_taken=self.peer.ip != self._proxy)  # what came for others is no connection of the peer's own
        terms, before, origin = self._terms, self.peer, self.origin
        ip = before.ip if client.ip is None else client.ip or self._proxy
        is_known = client.ip != "" and (client.ip is not None or before.relays)
        self.port = self.port if client.port is None else client.port
        # Neither a log-in of the peer's own nor its certificate are the client's.
        identity = Identity(client.login, "xclient") if client.login else None
        tls = before.tls and replace(before.tls, fingerprint="", subject="", names=(), is_verified=False)
        self.peer = Peer(ip, is_known and terms.relays(ip), identity, tls)
        protocol = client.protocol or "ESMTP"
        known_login = "" if identity is None else identity.login
        self.origin = replace(
            origin, ip=ip, port=self.port, helo=client.helo or "", protocol=protocol, login=known_login
        )
        self._ground = self._facts = Facts()
        self._since_hello, self._for_all, self.transaction = -1, [], None
        terms.emit(
            ClientChanged(
                at=terms.now(),
                session=self._id,
                listener=terms.name,
                proxy=self._proxy,
                ip=ip,
                port=self.port,
                login=known_login,
            )
        )

    def welcome(self) -> Answer:
        """The banner, or why there is none."""
        chain = self._terms.stages.connect
        if chain is None:
            return self._terms.banner
        pending = chain.decide(ConnectContext(self.peer, self.origin, self._facts), self._for_all)
        return self._rule(pending, partial(self._decided, "connect", self._terms.banner))

    def hello(self, event: Hello) -> Answer:
        """EHLO or HELO."""
        peer = self.peer
        protocol = "ESMTP" if event.extended else "SMTP"
        self.origin = Origin(peer.ip, self.port, event.name, protocol, self._terms.name, self._id)
        if peer.identity is not None or peer.tls is not None:
            self._show(peer)
        chain = self._terms.stages.hello
        if chain is None:
            return replies.OK
        self._begin_anew()
        pending = chain.decide(HelloContext(peer, self.origin, self._facts), self._for_all)
        return self._rule(pending, partial(self._decided, "hello", replies.OK))

    def _show(self, peer: Peer) -> None:
        """Say in the origin how the session was secured and proved (RFC 3848)."""
        login = "" if peer.identity is None else peer.identity.login
        protocol = self.origin.protocol
        if protocol.startswith("E"):
            protocol = f"ESMTP{'' if peer.tls is None else 'S'}{'A' if login else ''}"
        self.origin = replace(self.origin, login=login, protocol=protocol)

    def extras(self) -> tuple[str, ...]:
        """Keywords of EHLO that are offered to this peer."""
        mechanisms = () if self._authentication is None else self._authentication.mechanisms()
        return (f"AUTH {' '.join(mechanisms)}",) if mechanisms and self.peer.identity is None else ()

    def auth(self, event: AuthStarted) -> Answer:
        """The peer wants to log in."""
        authentication = self._authentication
        assert authentication is not None, "AUTH is not offered"
        chain = self._terms.stages.auth
        if chain is not None:
            pending = chain.decide(AuthContext(self.peer, self.origin, event.mechanism, self._facts), self._for_all)
            return self._rule_auth(authentication, event, pending)
        return authentication.start(event.mechanism, event.initial)

    def _rule_auth(self, authentication: Authentication, event: AuthStarted, pending: Pending) -> Answer:
        if pending is None or isinstance(pending, VERDICTS):
            refused = self._decided("auth", replies.OK, pending)
            return authentication.start(event.mechanism, event.initial) if refused is replies.OK else refused
        return self._auth_later(authentication, event, pending)

    async def _auth_later(
        self, authentication: Authentication, event: AuthStarted, pending: Awaitable[Verdict | None]
    ) -> Reply:
        answer = self._rule_auth(authentication, event, await pending)
        return answer if isinstance(answer, Reply) else await answer

    def respond(self, event: AuthResponse) -> Answer:
        """The peer responds to a challenge."""
        assert self._authentication is not None, "AUTH is not offered"
        return self._authentication.respond(event.data)

    def proved(self, identity: Identity) -> None:
        """The peer has proved who it is."""
        self.peer = replace(self.peer, identity=identity)
        self._show(self.peer)

    def secured(self, state: TlsState, bindings: Mapping[str, bytes]) -> None:
        """TLS has begun: who was there by EHLO or AUTH before it is forgotten (RFC 3207 4.2)."""
        peer = self.peer
        self.peer = Peer(peer.ip, relays=peer.relays, tls=state)
        self.origin = Origin(peer.ip, self.port, "", "SMTP", self._terms.name, self._id)
        self.over()
        self.transaction = None
        if self._authentication is not None:
            self._authentication.bindings = bindings
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Keep of all facts and adjustments those that are older than the first EHLO."""
        if self._since_hello < 0:
            self._since_hello = len(self._for_all)
        del self._for_all[self._since_hello :]
        if self._facts is not self._ground:
            self._facts.end()
        self._facts = Facts(self._ground)

    def mail(self, event: MailFrom) -> Answer:
        """A transaction begins."""
        terms = self._terms
        self.over()
        transaction = self.transaction = Transaction(terms.stages, self.peer, self.origin, event, self._facts)
        if self._for_all:
            transaction.adjustments.extend(self._for_all)
        if terms.stages.mail is None:
            return replies.SENDER_OK
        return self._rule(transaction.ask_mail(), partial(self._decided, "mail", replies.SENDER_OK))

    def rcpt(self, event: RcptTo) -> Answer:
        """One more recipient."""
        transaction, path = self.transaction, event.path
        assert transaction is not None, "a recipient without a transaction"
        if not path.domain or (path.local == "postmaster" and path.domain == self._terms.offer.hostname):
            path = self._terms.postmaster  # RFC 5321 4.5.1
        recipient = Recipient(path, event.notify, event.orcpt)
        pending = transaction.ask(path)
        if pending is None or isinstance(pending, VERDICTS):
            return self._settle(transaction, recipient, pending)
        return self._later(pending, partial(self._settle, transaction, recipient))

    def data(self) -> Answer:
        """The content is about to come."""
        transaction = self.transaction
        if transaction is None or self._terms.stages.data is None:
            return replies.START_MAIL
        return self._rule(transaction.ask_data(), partial(self._decided, "data", replies.START_MAIL))

    def over(self, *, is_taken: bool = False) -> None:
        """The transaction, if there is one, has come to its end."""
        if self.transaction is not None:
            self.transaction.facts.end(is_taken=is_taken)

    def gone(self, *, is_pending: bool) -> None:
        """The peer is gone; `is_pending` while the spool has a message of it that may still be taken."""
        if not is_pending:
            self.over()
        self._parted(is_taken=True)

    def _parted(self, *, is_taken: bool) -> None:
        self._facts.end(is_taken=is_taken)
        self._ground.end(is_taken=is_taken)

    # -- verdicts --------------------------------------------------------------------------------

    def _rule(self, pending: Pending, decided: Callable[[Verdict | None], Reply]) -> Answer:
        if pending is None or isinstance(pending, VERDICTS):
            return decided(pending)
        return self._later(pending, decided)

    async def _later(self, pending: Awaitable[Verdict | None], decided: Callable[[Verdict | None], Reply]) -> Reply:
        return decided(await pending)

    def _decided(self, stage: str, otherwise: Reply, verdict: Verdict | None) -> Reply:
        """The reply; without an opinion, or with a good one, `otherwise`."""
        if verdict is None or isinstance(verdict, Accept):
            return otherwise
        if isinstance(verdict, Discard):
            if self.transaction is not None:
                self.transaction.discarded = verdict.reason
            return otherwise
        transaction = self.transaction if stage in _IN_TRANSACTION else None
        sender = "" if transaction is None else transaction.mail.path.text
        self.refused(Refused(stage, verdict.reply, verdict.reason), sender)
        reply = self._heard(verdict)
        if stage == "connect":
            self.leaves = verdict.reason
        return reply

    def _settle(self, transaction: Transaction, recipient: Recipient, verdict: Verdict | None) -> Reply:
        refused = transaction.settle(recipient, verdict)
        if refused is None:
            return replies.RECIPIENT_OK
        self.refused(refused, transaction.mail.path.text, recipient.address.text)
        return refused.reply if verdict is None else self._heard(verdict)

    def _heard(self, verdict: Verdict) -> Reply:
        assert isinstance(verdict, Reject | Defer), "a refusal"
        if verdict.leave:
            self.leaves = verdict.reason
        return verdict.reply

    # -- records ---------------------------------------------------------------------------------

    def refused(self, notice: Refused, sender: str = "", recipient: str = "") -> None:
        """Something was refused: a record, and a word to those who watch."""
        terms = self._terms
        terms.emit(
            CommandRefused(
                at=terms.now(),
                origin=self.origin,
                stage=notice.stage,
                reply=notice.reply,
                detail=notice.detail,
                sender=sender,
                recipient=recipient,
            )
        )
        if terms.watch is not None and notice.reply.is_permanent:  # what is refused for now is no offence
            self.conduct(_kind(notice), sender=sender, recipient=recipient)
        if terms.tarpit is not None and notice.stage != "connect":  # who may not speak at all goes at once
            self._slow(terms.tarpit)

    def _slow(self, tarpit: Tarpit) -> None:
        """Let a peer that errs wait, and have it leave when it is near to a ban."""
        self._refusals += 1
        seconds, is_enough = tarpit.wait(self.peer.ip, self._refusals)
        if is_enough and not self.leaves:
            self.leaves, self._parting = "too many errors of the address", replies.TOO_MANY_ERRORS
        if seconds:
            self._detain(tarpit, seconds, self._terms.call_later)

    def end(self, session: ServerSession) -> None:
        """The session is to end with the answer that was given."""
        if self._parting is None:
            session.leave(self.leaves)
        else:
            session.close(self._parting, self.leaves)

    def conduct(self, kind: Kind, *, count: int = 1, sender: str = "", recipient: str = "", login: str = "") -> None:
        """Tell those who learn from how peers behave, if there are any."""
        if kind == "auth_failed" and self._terms.tarpit is not None:
            self._slow(self._terms.tarpit)
        watch = self._terms.watch
        if watch is not None:
            peer = self.peer
            login = login or ("" if peer.identity is None else peer.identity.login)
            watch(Conduct(kind, peer.ip, self._terms.name, login, count, sender, recipient))


def _kind(notice: Refused) -> Kind:
    if notice.reply == replies.TALKED_FIRST:
        return "talked_first"
    return "unknown_recipient" if notice.reply.enhanced == "5.1.1" else "refused"
