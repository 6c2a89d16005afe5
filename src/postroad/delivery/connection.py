"""One connection to one target: opened, greeted, secured where the peer offers it, used for transactions, closed.

All dialog is in `smtp.client`; here octets move and every wait has the time-out of its phase (RFC 5321
4.5.3.2), as a deadline for the whole reply, so that a peer which drips octets gains nothing. A transaction
never raises for what the peer does: what was answered stays answered, and why the rest was not is told.
"""

from typing import Final

from postroad.delivery.classify import CONNECT
from postroad.delivery.dialing import Dialing, PoolKey, Unopened
from postroad.delivery.encryption import begin_tls, context_for, is_strict, keep_session
from postroad.delivery.fit import Fit
from postroad.delivery.transfer import WAIT_FROM, read_some, send_content, send_small
from postroad.model.errors import ConfigError, DistrustError, EgressError, PeerError
from postroad.model.route import LMTP, SMTPS, Target
from postroad.model.security import NO_STARTTLS, NONE, Secured, Security
from postroad.net.stream import Stream
from postroad.net.tls.client import ClientContext
from postroad.smtp.client import GREETING, STARTTLS, ClientSession
from postroad.smtp.transaction import CONTENT, DATA, Transaction

WANTS: Final = "after the handshake, as of a host that wants a client certificate"


class Connection:
    """One open connection, ready for a transaction; for one user at a time."""

    __slots__ = (
        "_is_clean",
        "born",
        "dialing",
        "key",
        "messages",
        "recipient_limit",
        "secured",
        "session",
        "stream",
        "target",
        "tls",
        "used",
        "was_kept",
    )

    def __init__(
        self, dialing: Dialing, target: Target, stream: Stream, session: ClientSession, secured: Secured | None = None
    ) -> None:
        """Over `stream`, which `session` has made ready."""
        self.dialing = dialing
        self._is_clean = True
        self.target = target
        self.key: PoolKey = dialing.pool_key(target)  # what the pool keeps it under
        self.stream = stream
        self.session = session
        self.tls = stream.tls
        self.secured = secured
        self.born = self.used = dialing.monotonic()
        self.messages = 0
        self.was_kept = False  # by the pool, where it may have died unseen
        settings = dialing.settings
        self.recipient_limit = min(
            settings.recipients_per_transaction, session.extensions.recipients or settings.recipients_per_transaction
        )

    @property
    def is_alive(self) -> bool:
        """True when another transaction may begin, as far as we know."""
        return self._is_clean and self.stream.is_open

    async def transact(self, fitted: Fit, recipients: list[str]) -> tuple[Transaction, str]:
        """Send the message to `recipients` (whole RCPT commands): the transaction, and why it broke off or "".

        SpoolError when the content cannot be read, AddressError when a command would be malformed.
        """
        session = self.session
        transaction = session.transaction(fitted.mail, recipients, is_chunked=fitted.is_chunked)
        first = transaction.begin(reset=session.needs_reset)
        self._is_clean = False  # until proven: whatever interrupts us leaves the connection unusable
        fault = ""
        try:
            self.stream.write(first)
            await self._converse(transaction)
            if transaction.wants_content:
                if fitted.cargo.size < WAIT_FROM and isinstance(fitted.cargo.content, bytes):
                    send_small(self.stream, transaction, fitted)
                else:
                    timeout = self.dialing.settings.block_timeout
                    await send_content(self.stream, transaction, fitted, block_timeout=timeout)
                await self._converse(transaction)
        except PeerError as error:
            fault = "" if transaction.ended else str(error)
            transaction.is_clean = False
        session.needs_reset = transaction.needs_reset
        self.messages += 1
        self._is_clean = transaction.is_clean
        return transaction, fault

    def close(self) -> None:
        """Say QUIT where that makes sense and close; the reply is not waited for (RFC 5321 4.1.1.10)."""
        if self.is_alive:
            self.stream.write(b"QUIT\r\n")
            self.stream.close()
        else:
            self.stream.abort()

    async def _converse(self, transaction: Transaction) -> None:
        """Take replies until the content is wanted or the transaction ended."""
        stream, monotonic = self.stream, self.dialing.monotonic
        deadline = 0.0
        while not (transaction.ended or transaction.wants_content):
            timeout = self._timeout(transaction.awaiting)
            if deadline:  # the clock is only asked about a reply that comes in pieces
                data = await read_some(stream, deadline - monotonic(), timeout)
            else:
                data = await stream.read(timeout)
                if not data:
                    raise PeerError("lost connection")
            answered = transaction.answered
            out = transaction.receive(data)
            if out:
                stream.write(out)
            if transaction.answered != answered:  # each reply has its own time
                deadline = 0.0
            elif not deadline:
                deadline = monotonic() + timeout

    def _timeout(self, awaiting: str) -> float:
        settings = self.dialing.settings
        if awaiting == DATA:
            return settings.data_timeout
        return settings.done_timeout if awaiting == CONTENT else settings.command_timeout


async def dial(dialing: Dialing, target: Target, demand: Security) -> Connection | Unopened:
    """Connect to `target` and make the session ready, with TLS as `demand` says."""
    level = demand.level
    context: ClientContext | None = None
    try:
        if level != NONE or target.scheme == SMTPS:
            context = context_for(dialing.tls, demand)
    except ConfigError as error:
        return Unopened(CONNECT, f"TLS with {target.host} cannot be verified: {error}", egress=True)
    try:
        stream = await _connect(dialing, target)
    except EgressError as error:
        return Unopened(CONNECT, f"{dialing.egress_key}: {error}", egress=True)
    except PeerError as error:
        return Unopened(CONNECT, str(error))
    starttls = level != NONE and target.scheme != SMTPS
    session = ClientSession(dialing.hostname, lmtp=target.scheme == LMTP, starttls=starttls)
    opened: Unopened | Secured | None = Unopened(CONNECT, "interrupted")
    try:
        opened = await _introduce(dialing, target, stream, session, demand, context)
    finally:
        if isinstance(opened, Unopened):  # cancellation comes here too
            if level != NONE:
                opened.source_ip = stream.local.rpartition(":")[0].strip("[]")
            stream.abort()
    return opened if isinstance(opened, Unopened) else Connection(dialing, target, stream, session, opened)


async def _connect(dialing: Dialing, target: Target) -> Stream:
    timeout, source = dialing.settings.connect_timeout, dialing.source
    if source is None or not target.port:
        return await dialing.open_stream(target.address, target.port, timeout=timeout)
    ours = source.address_for(target)
    return await dialing.open_stream(target.address, target.port, source=ours, proxy=source.proxy, timeout=timeout)


async def _introduce(  # all that a connection is made of
    dialing: Dialing,
    target: Target,
    stream: Stream,
    session: ClientSession,
    demand: Security,
    context: ClientContext | None,
) -> Unopened | Secured | None:
    """Greeting, EHLO, STARTTLS, EHLO again; what TLS there is, when the session is ready; None for a local socket."""
    settings = dialing.settings
    # Until something is said under TLS, since TLS 1.3 refuses clients behind their handshake (RFC 8446 4.4.2.4).
    is_handshake = False
    secured: Secured | None = None
    strict = is_strict(demand)
    try:
        if target.scheme == SMTPS and context is not None:  # RFC 8314 3.3: TLS before the first octet
            is_handshake = True
            secured = await begin_tls(dialing, stream, context, demand, target)
        while not session.is_ready:
            timeout = settings.greeting_timeout if session.awaiting == GREETING else settings.command_timeout
            await _take_reply(dialing, stream, session, timeout)
            is_handshake = False
            if session.refused is not None:
                return Unopened(session.awaiting, refused=session.refused)
            if session.wants_tls and context is not None:
                is_handshake = True
                secured = await begin_tls(dialing, stream, context, demand, target)
                stream.write(session.tls_started())
    except DistrustError as error:
        return Unopened(
            session.awaiting, str(error), tls_failed=True, lacks_tls=strict, is_distrusted=True, result=error.result
        )
    except PeerError as error:
        words = str(error)
        if is_handshake and secured is not None:
            is_handshake = not stream.is_open  # silence is no refusal
            words = f"{error} {WANTS}" if is_handshake else words
        words = f"fails at it: {words}" if is_handshake and strict else words
        is_lacking = is_handshake and strict
        result = "validation-failure" if is_handshake else ""
        return Unopened(session.awaiting, words, tls_failed=is_handshake, lacks_tls=is_lacking, result=result)
    if secured is not None:
        if context is not None:
            keep_session(stream, context, target)
        return secured
    if not target.port:  # a socket of this host needs none
        return None
    offered = "refuses STARTTLS" if session.extensions.starttls else "does not offer STARTTLS"
    if strict:
        return Unopened(STARTTLS, offered, lacks_tls=True, tls_failed=True, result=NO_STARTTLS)
    words = "" if demand.level == NONE else f"plain text: it {offered}"
    return Secured(demand.level, demand.source, demand.reason, words=words)


async def _take_reply(dialing: Dialing, stream: Stream, session: ClientSession, timeout: float) -> None:
    """Read until the session goes on by one step, `timeout` seconds in all."""
    awaiting = session.awaiting
    deadline = dialing.monotonic() + timeout
    while session.awaiting == awaiting and session.refused is None and not session.wants_tls:
        out = session.receive(await read_some(stream, deadline - dialing.monotonic(), timeout))
        if out:
            stream.write(out)
