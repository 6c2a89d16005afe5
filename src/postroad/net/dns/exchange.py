"""Questions and answers on the wire with one DNS server, over UDP and TCP.

A forger who cannot see our questions has to guess the id and the source port (RFC 5452 4.4, 9.2): ids are
random, sockets connected (so the kernel drops what others send), and with a server that is not on this host
every question has a socket of its own, whose port the kernel chose at random.
"""

import asyncio
import secrets
from ipaddress import ip_address
from typing import Final, cast

from msgspec import Struct

from postroad.model.errors import PeerError
from postroad.net.dns.codec import Reading, encode_question, read_answer, read_id
from postroad.net.faults import describe_error
from postroad.net.stream import open_stream

SHARED_USES: Final = 1000  # questions that share a socket to a server on the loopback
_TCP_LIMIT: Final = 65535


class Exchange:
    """One server."""

    def __init__(self, address: str, port: int) -> None:
        """Ask the server at `address` and `port`."""
        self._address = address
        self._port = port
        self._uses = SHARED_USES if ip_address(address.partition("%")[0]).is_loopback else 1
        self._shared: _Channel | None = None
        self._opening = asyncio.Lock()

    def question(self, name: str, kind: str, *, edns: bool) -> bytes:
        """The octets of a question with an id that nobody can guess."""
        return encode_question(secrets.randbits(16), name, kind, edns=edns)

    async def over_udp(self, question: bytes, kind: str, timeout: float) -> Reading:
        """The answer; TimeoutError after `timeout` seconds, PeerError when the server cannot be reached."""
        async with asyncio.timeout(timeout):
            channel = await self._channel(question)
            return await channel.ask(question, kind)

    async def over_tcp(self, question: bytes, timeout: float) -> bytes:
        """The octets of the answer (RFC 7766 8); PeerError when they cannot be had in `timeout` seconds."""
        stream = await open_stream(self._address, self._port, timeout=timeout)
        try:
            async with asyncio.timeout(timeout):
                stream.write(len(question).to_bytes(2, "big") + question)
                data = b""
                while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "big"):
                    more = await stream.read(timeout)
                    if not more:
                        raise PeerError("DNS server closed the connection early")
                    data += more
        except TimeoutError:
            raise PeerError("DNS server took too long over TCP") from None
        finally:
            stream.abort()
        return data[2 : 2 + int.from_bytes(data[:2], "big")]

    def close(self) -> None:
        """Give up the shared socket."""
        if self._shared is not None:
            self._shared.retire(now=True)
            self._shared = None

    async def _channel(self, question: bytes) -> "_Channel":
        if self._uses == 1:
            return await self._open()
        async with self._opening:
            shared = self._shared
            if shared is None or shared.uses_left == 0 or shared.is_closed or shared.has(question):
                if shared is not None:
                    shared.retire()
                shared = self._shared = await self._open()
        return shared

    async def _open(self) -> "_Channel":
        loop = asyncio.get_running_loop()
        uses = self._uses
        try:
            _, channel = await loop.create_datagram_endpoint(
                lambda: _Channel(uses), remote_addr=(self._address, self._port)
            )
        except OSError as error:
            raise PeerError(describe_error(error)) from None
        return channel


class _Asked(Struct):
    question: bytes
    kind: str
    answered: "asyncio.Future[Reading]"


class _Channel(asyncio.DatagramProtocol):
    """One connected UDP socket, for `uses` questions."""

    def __init__(self, uses: int) -> None:
        """Not open yet: the event loop calls `connection_made`."""
        self.uses_left = uses
        self.is_closed = False
        self._transport = asyncio.DatagramTransport()
        self._asked: dict[int, _Asked] = {}

    def has(self, question: bytes) -> bool:
        """True when another question with the same id waits here."""
        return read_id(question) in self._asked

    async def ask(self, question: bytes, kind: str) -> Reading:
        """Send `question`, wait for its answer."""
        ident = read_id(question)
        asked = _Asked(question, kind, asyncio.get_running_loop().create_future())
        self._asked[ident] = asked
        self.uses_left -= 1
        try:
            self._transport.sendto(question)
            return await asked.answered
        finally:
            del self._asked[ident]
            if self.uses_left <= 0:
                self.retire()

    def retire(self, *, now: bool = False) -> None:
        """Close once nobody waits any more, or at once."""
        self.uses_left = 0
        if (now or not self._asked) and not self.is_closed:
            self.is_closed = True
            self._transport.close()
            self._fail("resolver was closed")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = cast(asyncio.DatagramTransport, transport)  # uvloop's own class has its methods, not its name

    def datagram_received(self, data: bytes, _addr: object) -> None:
        """An answer, or something that pretends to be one: then the true one may still come."""
        asked = self._asked.get(read_id(data))
        if asked is None or asked.answered.done():
            return
        try:
            reading = read_answer(data, asked.question, asked.kind)
        except ValueError:
            return
        asked.answered.set_result(reading)

    def error_received(self, exc: Exception) -> None:
        """The network says that nobody is there."""
        self._fail(describe_error(exc) if isinstance(exc, OSError) else str(exc))

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self.is_closed = True
        self._fail(str(exc or "socket closed"))

    def _fail(self, words: str) -> None:
        for asked in self._asked.values():
            if not asked.answered.done():
                asked.answered.set_exception(PeerError(words))
