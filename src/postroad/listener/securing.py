"""A connection on its way to TLS: from STARTTLS (RFC 3207 4) or the first octet (RFC 8314 3.3) to its end.

While a handshake runs there is no transport to write to: nothing can leave in plain text, and what is due waits. Octets
that come meanwhile have been under TLS already and are kept until the session goes on. Whether it succeeds or not is a
record; after a failure the connection is cut.
"""

import asyncio
from abc import abstractmethod

from postroad.listener.channel import Channel
from postroad.listener.handshakes import Tls
from postroad.listener.judge import Judge
from postroad.listener.terms import Terms
from postroad.model.errors import PeerError
from postroad.model.records import ConnectionSecured, HandshakeFailed
from postroad.net.tls.handshake import Secured, secure
from postroad.net.tls.server import bindings_of


class Securing(Channel):
    """The base of listener/session.py; `secured` is there once TLS has begun."""

    def __init__(self, terms: Terms, session_id: str) -> None:
        """Converse on `terms`; `session_id` names the connection in records."""
        super().__init__()
        self._terms = terms
        self._id = session_id
        self._judge = Judge(terms, session_id, self._detain)
        self._is_apart = False  # octets that come are not for the session now
        self._apart = b""  # those of them that are kept
        self._shaking: asyncio.Task[None] | None = None
        self._raw: asyncio.Transport | None = None  # while a handshake runs: what it runs over
        self._is_gone = False  # the connection is lost
        self._why_cut = ""
        self.secured: Secured | None = None

    def abort(self) -> None:
        """Cut the connection."""
        if self._raw is not None:
            self._raw.abort()
        else:
            super().abort()

    def give_way(self) -> None:
        """Others wait for a handshake."""
        self._cut_handshake("not done yet when others waited (tls.handshakes)")

    def _cut_handshake(self, why: str) -> None:
        self._why_cut = why
        self.abort()

    @abstractmethod
    def _go_on(self, early: bytes) -> None:
        """TLS has begun, and `early` came under it already."""

    @abstractmethod
    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""

    def _shake_hands(self, tls: Tls) -> None:
        """Begin a handshake, for which there is room."""
        raw, self._transport = self._transport, None
        assert raw is not None, "a handshake without a connection"
        self._raw = raw
        self._is_apart = True
        raw.pause_reading()
        self._shaking = asyncio.ensure_future(self._shake(tls, raw))

    async def _shake(self, tls: Tls, raw: asyncio.Transport) -> None:
        began = self._terms.monotonic()
        why = ""
        try:
            secured = await secure(raw, self, tls.context(), seconds=tls.timeout, early=self._take_apart)
            self._transport = secured.transport
        except PeerError as error:
            why = self._why_cut or str(error)
        finally:
            tls.handshakes.end(self)
            self._shaking = self._raw = None
        if why or self._is_gone:
            self._fail(raw, why or "the client closed the connection", began)
            return
        self.secured = secured
        self._tell(secured, began)
        needs_bindings = self._terms.logins is not None
        self._judge.secured(secured.state, bindings_of(secured.connection, tls.exporter) if needs_bindings else {})
        self._go_on(self._take_apart())

    def _take_apart(self) -> bytes:
        octets, self._apart = self._apart, b""
        return octets

    def _fail(self, raw: asyncio.Transport, reason: str, began: float) -> None:
        terms, judge = self._terms, self._judge
        raw.abort()
        terms.emit(
            HandshakeFailed(
                at=terms.now(),
                session=self._id,
                listener=terms.name,
                ip=judge.peer.ip,
                port=judge.port,
                reason=reason,
                seconds=round(terms.monotonic() - began, 3),
            )
        )
        self._is_gone = False
        self.connection_lost(PeerError(f"TLS handshake failed: {reason}"))

    def _tell(self, secured: Secured, began: float) -> None:
        terms, judge, state = self._terms, self._judge, secured.state
        terms.emit(
            ConnectionSecured(
                at=terms.now(),
                session=self._id,
                listener=terms.name,
                ip=judge.peer.ip,
                port=judge.port,
                version=state.version,
                cipher=state.cipher,
                bits=state.bits,
                seconds=round(terms.monotonic() - began, 3),
                sni=state.sni,
                resumed=secured.is_resumed,
                fingerprint=state.fingerprint,
                subject=state.subject,
                names=state.names,
            )
        )
