"""In front of a session: waits for the header of the PROXY protocol, then hands the connection over.

Only who connects from one of `listeners.NAME.proxies` is listened to, and the header must come first and soon; anyone
else, and anything else, is cut off without a word: a proxy would not understand it, and a client has no business
here. From then on the client behind the proxy is the peer, for limits, policies and records; what came behind the
header is the session's. Nothing was counted or said before.
"""

import asyncio
from collections.abc import Callable
from typing import Final, cast

from msgspec import Struct

from postroad.listener.terms import Terms
from postroad.model.errors import PeerError
from postroad.model.records import ProxyRefused
from postroad.net.proxyproto import Behind, HeaderReader

HEADER_SECONDS: Final = 10.0


class Caller(Struct, frozen=True, gc=False):
    """Who a session is with; `is_known` unless it is behind a proxy that does not know who it is."""

    ip: str
    port: int
    is_known: bool = True


Begin = Callable[[Caller], asyncio.Protocol]


def caller_of(transport: asyncio.BaseTransport) -> Caller:
    """Who has connected; an IPv4 address mapped into IPv6 is itself."""
    address = transport.get_extra_info("peername") or ("", 0)
    return Caller(address[0].removeprefix("::ffff:"), address[1])


class Vestibule(asyncio.Protocol):
    """One connection until its header is complete."""

    def __init__(self, terms: Terms, trusts: Callable[[str], bool], begin: Begin) -> None:
        """`trusts` tells of an address whether it is that of a proxy; `begin` makes the session for who is behind."""
        self._terms = terms
        self._trusts = trusts
        self._begin = begin
        self._reader = HeaderReader()
        self._transport: asyncio.Transport | None = None
        self._proxy = Caller("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody connected: a proxy, or nobody we know."""
        self._transport = cast("asyncio.Transport", transport)
        self._proxy = caller_of(transport)
        if not self._trusts(self._proxy.ip):
            self._refuse("the address is in no network of proxies")
        else:
            self._terms.call_later(HEADER_SECONDS, self._late)

    def data_received(self, data: bytes) -> None:
        """Octets of the header, and maybe more."""
        transport = self._transport
        if transport is None:
            return
        try:
            behind = self._reader.receive(data)
        except PeerError as error:
            self._refuse(str(error))
            return
        if behind is None:
            return
        self._transport = None
        session = self._begin(self._caller(behind))
        transport.set_protocol(session)
        session.connection_made(transport)
        if rest := self._reader.rest:
            session.data_received(rest)

    def eof_received(self) -> None:
        """It ends before the header is complete; one that said nothing only looked whether we are here."""
        if self._reader.rest:
            self._refuse("the connection ended before the PROXY header")

    def connection_lost(self, _exc: Exception | None) -> None:
        """It is gone."""
        self._transport = None

    def _caller(self, behind: Behind) -> Caller:
        if behind.source:
            return Caller(behind.source, behind.source_port)
        return Caller(self._proxy.ip, self._proxy.port, is_known=behind.is_local)

    def _late(self) -> None:
        self._refuse(f"no PROXY header within {HEADER_SECONDS:g} s")

    def _refuse(self, reason: str) -> None:
        if self._transport is None:
            return
        transport, self._transport = self._transport, None
        terms, proxy = self._terms, self._proxy
        terms.emit(ProxyRefused(at=terms.now(), listener=terms.name, ip=proxy.ip, port=proxy.port, reason=reason))
        transport.abort()
