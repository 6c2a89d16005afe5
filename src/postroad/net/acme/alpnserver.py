"""A listener that proves names by TLS (tls-alpn-01) and does nothing else: a handshake, then the end.

Invariant: who connects is gone within seconds, no more than `PEERS` are there at one time, and nothing is read or
written beside the handshake. Names that no order is under way for are refused. RFC 8737 3, RFC 6066 3 (SNI).
"""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Final, cast

from postroad.model.errors import ConfigError, PeerError
from postroad.model.option import parse_endpoint
from postroad.net.acme.challenges import ALPN, Challenges
from postroad.net.process.handover import copy_of
from postroad.net.process.inherited import Given, Inherited
from postroad.net.tls.handshake import secure

ACME: Final = "acme"  # the name of its sockets when they are handed over
PEERS: Final = 64
SECONDS: Final = 10.0
_BACKLOG: Final = 64
_EARLY: Final = 16 << 10


class AlpnServer:
    """Listens at `bind`."""

    def __init__(self, bind: Sequence[str], shown: Challenges) -> None:
        """Nothing is bound before `bind`."""
        self._bind = bind
        self._shown = shown
        self._servers: list[asyncio.Server] = []
        self.peers: set[asyncio.Task[None]] = set()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # proves nothing by itself
        self.context.set_alpn_protocols([ALPN])
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> int | None:
        found = self._shown.context((name or "").lower().rstrip("."))
        if found is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        connection.context = found
        return None

    async def bind(self, inherited: Inherited) -> list[str]:
        """Bind every address but those of `inherited`, which are: each as text; ConfigError when one cannot be."""
        loop = asyncio.get_running_loop()
        for text in self._bind:
            host, port = parse_endpoint(text)
            given = inherited.take(ACME, host, port)
            try:
                if given is not None:
                    made = await loop.create_server(self._peer, sock=given.socket, start_serving=False)
                else:
                    made = await loop.create_server(self._peer, host, port, backlog=_BACKLOG, start_serving=False)
            except OSError as error:
                await self.stop()
                why = error.strerror or str(error)
                raise ConfigError([f"acme.bind: cannot listen on {text}: {why}; set acme.bind"]) from error
            self._servers.append(made)
        names = [sock.getsockname()[:2] for server in self._servers for sock in server.sockets]
        return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in names]

    def _peer(self) -> "_Peer":
        return _Peer(self)

    async def start(self) -> None:
        """Begin to answer."""
        for server in self._servers:
            await server.start_serving()

    def hand_over(self) -> list[Given]:
        """Copies of the listening sockets, for the next program; here nobody new is answered."""
        given = [copy_of(ACME, sock.fileno()) for server in self._servers for sock in server.sockets]
        for server in self._servers:
            server.close()
        return given

    async def stop(self) -> None:
        """Listen no more, and end every connection."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        peers = tuple(self.peers)
        for peer in peers:
            peer.cancel()
        await asyncio.gather(*peers, return_exceptions=True)


class _Peer(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: AlpnServer) -> None:
        self._server = server
        self._early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        peers, transport = self._server.peers, cast("asyncio.Transport", transport)  # uvloop's is none by type
        if len(peers) >= PEERS:
            transport.abort()
            return
        task = asyncio.ensure_future(self._serve(transport))
        peers.add(task)
        task.add_done_callback(peers.discard)

    def data_received(self, data: bytes) -> None:
        """What comes before the handshake can begin belongs to it."""
        self._early = (self._early + data)[:_EARLY]

    def _take_early(self) -> bytes:
        octets, self._early = self._early, b""
        return octets

    async def _serve(self, transport: asyncio.Transport) -> None:
        try:
            context = self._server.context
            secured = await secure(transport, self, context, seconds=SECONDS, early=self._take_early)
            secured.transport.close()
        except PeerError:
            transport.abort()
        except asyncio.CancelledError:
            transport.abort()
            raise
