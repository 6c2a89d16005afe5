"""One outgoing connection as a stream of octets: connect, read, write, start TLS, close, each with its time-out.

A thin `asyncio.Protocol`: `read` gives whatever arrived and costs a future at most, one timer serves
all reads of a connection, and `write` hands over to the transport at once. What is buffered is bounded
both ways. Whatever goes wrong with the peer or the network becomes a PeerError in words for people.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Final, cast

from postroad.model.errors import DistrustError, EgressError, PeerError
from postroad.model.option import NEVER
from postroad.net.faults import describe_error
from postroad.net.proxy import Proxy, shake_hands
from postroad.net.tls.contexts import describe, why_distrusted

AtTurnEnd = Callable[[Callable[[], None]], object]

READ_LIMIT: Final = 256 * 1024  # unread octets above which we stop taking more from the peer
_CLOSE_TIMEOUT: Final = 5.0  # a peer that takes nothing any more must not hold a closed connection
_BIND_ADDRESS_NO_PORT: Final = 24  # IP_BIND_ADDRESS_NO_PORT of Linux, which the socket module does not name
_TIMER_SLACK: Final = 0.002  # loops round timers to milliseconds


class Stream(asyncio.Protocol):
    """One open connection, made by `open_stream`; for one reader and one writer at a time."""

    def __init__(self, at_turn_end: AtTurnEnd | None = None) -> None:
        """Not connected yet: the event loop calls `connection_made`. `at_turn_end`: see `open_stream`."""
        self._loop = asyncio.get_running_loop()
        self._at_turn_end = at_turn_end or self._loop.call_soon
        self._transport: asyncio.Transport = asyncio.Transport()
        self._buffer = b""
        self._eof = False
        self._error = ""
        self._closed: asyncio.Future[None] | None = None
        self._unsent: list[bytes] = []
        self._is_lost = False
        self._is_closing = False
        self._is_reading_paused = False
        self._is_writing_paused = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._deadline = 0.0
        self._timeout = 0.0
        self._tls = ""
        self._connection: ssl.SSLObject | None = None

    @property
    def peer(self) -> str:
        """The remote end: "192.0.2.1:25", "[2001:db8::1]:25", or a socket's path."""
        return _format_endpoint(self._transport.get_extra_info("peername"))

    @property
    def local(self) -> str:
        """This end, in the form of `peer`."""
        return _format_endpoint(self._transport.get_extra_info("sockname"))

    @property
    def tls(self) -> str:
        """Protocol and cipher after `start_tls`, "" before."""
        return self._tls

    @property
    def tls_connection(self) -> ssl.SSLObject | None:
        """The ssl module's view of it after `start_tls`."""
        return self._connection

    @property
    def is_open(self) -> bool:
        """True while neither end has closed and nothing unread waits: an idle connection that may be used again."""
        return not (self._eof or self._is_lost or self._is_closing or self._buffer)

    def write(self, data: bytes) -> None:
        """Send `data` as soon as the network takes it; on a broken connection nothing: `drain` and `read` tell."""
        if self._is_lost or self._is_closing:
            return
        if not self._unsent:
            self._at_turn_end(self._send)
        self._unsent.append(data)

    def _send(self) -> None:
        """Write what this turn of the event loop brought: small pieces leave as one, and all streams together."""
        unsent = self._unsent
        if unsent and not self._is_lost and not self._transport.is_closing():
            self._transport.write(unsent[0] if len(unsent) == 1 else b"".join(unsent))
        unsent.clear()

    async def drain(self, timeout: float) -> None:
        """Wait until little enough is unsent; PeerError when broken or after `timeout` seconds without room.

        What the peer said before it broke the connection can still be read afterwards.
        """
        self._send()
        if self._is_lost:
            raise PeerError(self._error or "connection closed by peer")
        if not self._is_writing_paused:
            return
        self._writer = self._loop.create_future()
        try:
            async with asyncio.timeout(None if timeout == NEVER else timeout):
                await self._writer
        except TimeoutError:
            raise PeerError(f"timed out after {_seconds(timeout)} while sending") from None
        finally:
            self._writer = None
        if self._is_lost:
            raise PeerError(self._error or "connection closed by peer")

    async def read(self, timeout: float) -> bytes:
        """Whatever arrived; b"" when the peer closed. PeerError when broken or nothing comes in `timeout` seconds."""
        if not self._buffer:
            if self._error:
                raise PeerError(self._error)
            if self._eof:
                return b""
            await self._wait_readable(timeout)
        data = self._buffer
        self._buffer = b""
        if self._is_reading_paused and not self._is_lost:
            self._is_reading_paused = False
            self._transport.resume_reading()
        if not data and self._error:
            raise PeerError(self._error)
        return data

    def unread(self, data: bytes) -> None:
        """Put `data` back before what is unread."""
        self._buffer = data + self._buffer

    async def start_tls(self, context: ssl.SSLContext, server_hostname: str | None, timeout: float) -> None:
        """Begin TLS as the client; PeerError when the handshake fails, and the connection is of no use then.

        Octets that came in plain text behind the reply to STARTTLS are an attack or a fault: they
        must never be taken for something said under TLS (RFC 3207 4.2).
        """
        if self._buffer:
            self.abort()
            raise PeerError("peer sent more than its reply before TLS began")
        if self._is_lost or self._eof:
            raise PeerError(self._error or "connection closed by peer")
        self._send()
        try:
            async with asyncio.timeout(timeout):
                transport = await self._loop.start_tls(
                    self._transport,
                    self,
                    context,
                    server_hostname=server_hostname,
                    ssl_handshake_timeout=timeout + 1,  # ours comes first and has the words
                    ssl_shutdown_timeout=_CLOSE_TIMEOUT,
                )
        except TimeoutError:
            raise self._broken_tls(f"TLS handshake timed out after {_seconds(timeout)}") from None
        except ssl.SSLCertVerificationError as error:
            words, result = why_distrusted(error.verify_code, error.verify_message)
            self._broken_tls(words)
            raise DistrustError(words, result) from None
        except OSError as error:
            words = describe_error(error)
            raise self._broken_tls(words if isinstance(error, ssl.SSLError) else f"TLS handshake: {words}") from None
        if transport is None:
            raise self._broken_tls("connection closed by peer during TLS handshake")
        self._transport = transport
        self._connection = transport.get_extra_info("ssl_object")
        self._tls = describe(self._connection)

    def close(self) -> None:
        """Send what is written, then close; cut off after a few seconds when the peer takes nothing."""
        if self._is_closing:
            return
        self._send()
        self._is_closing = True
        self._cancel_timer()
        if not self._is_lost:
            self._transport.close()
            self._timer = self._loop.call_later(_CLOSE_TIMEOUT, self._transport.abort)

    def abort(self) -> None:
        """Close at once; what is unsent is lost."""
        self._is_closing = True
        self._cancel_timer()
        if not self._is_lost:
            self._transport.abort()

    async def wait_closed(self) -> None:
        """After `close` or `abort`: wait until the connection is gone, a few seconds at most."""
        if not self._is_lost:
            self._closed = self._closed or self._loop.create_future()
            await asyncio.shield(self._closed)

    # What the event loop calls (asyncio.Protocol).

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is ready."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class has its methods, not its name

    def data_received(self, data: bytes) -> None:
        """Octets arrived."""
        self._buffer = self._buffer + data if self._buffer else bytes(data)
        reader = self._reader
        if reader is not None and not reader.done():
            reader.set_result(None)
        if len(self._buffer) > READ_LIMIT and not self._is_reading_paused:
            self._is_reading_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """The peer closed its side: ours closes too, an SMTP peer that cannot answer is of no use."""
        self._eof = True
        self._wake()

    def pause_writing(self) -> None:
        """Much is unsent."""
        self._is_writing_paused = True

    def resume_writing(self) -> None:
        """Little is unsent again."""
        self._is_writing_paused = False
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._is_lost = True
        self._eof = True
        if exc is not None and not self._error:
            self._error = describe_error(exc) if isinstance(exc, OSError) else str(exc)
        self._cancel_timer()
        self._wake()
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)

    def _broken_tls(self, words: str) -> PeerError:
        # A failed handshake does not reach connection_lost of this protocol on every event loop.
        self._error = words
        self.abort()
        self.connection_lost(None)
        return PeerError(words)

    def _wake(self) -> None:
        for waiter in (self._reader, self._writer):
            if waiter is not None and not waiter.done():
                waiter.set_result(None)

    async def _wait_readable(self, timeout: float) -> None:
        assert self._reader is None, "two readers of one stream"
        loop = self._loop
        waiter = self._reader = loop.create_future()
        self._timeout = timeout
        deadline = self._deadline = loop.time() + timeout
        # The timer of an earlier read stays armed and looks at the deadline when it fires: a read
        # that is answered in time, as nearly all are, neither makes nor cancels one.
        if timeout != NEVER and (self._timer is None or deadline < self._timer_at):
            self._arm(deadline)
        try:
            await waiter
        finally:
            self._reader = None

    def _arm(self, when: float) -> None:
        self._cancel_timer()
        self._timer_at = when
        self._timer = self._loop.call_at(when, self._expire)

    def _expire(self) -> None:
        self._timer = None
        waiter = self._reader
        if waiter is None or waiter.done() or self._timeout == NEVER:
            return
        if self._loop.time() < self._deadline - _TIMER_SLACK:
            self._arm(self._deadline)
        else:
            waiter.set_exception(PeerError(f"timed out after {_seconds(self._timeout)}"))

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def open_stream(
    address: str,
    port: int,
    *,
    source: str = "",
    proxy: Proxy | None = None,
    timeout: float,
    at_turn_end: AtTurnEnd | None = None,
) -> Stream:
    """Connect to the IP address `address` and `port`, or to the unix socket `address` when `port` is 0.

    `source` is the local IP address to connect from, or the one that HAProxy is to connect from; `proxy` is who
    connects for us; a unix socket needs neither. `at_turn_end` runs a callback at the end of the event loop's turn
    (`net.turn`), when what was written leaves. PeerError after `timeout` seconds or when refused; EgressError, which
    is one, when the source or the proxy is the reason.
    """
    loop = asyncio.get_running_loop()

    def make() -> Stream:
        return Stream(at_turn_end)

    if proxy is not None and port:
        return await _open_by_proxy(make, proxy, address, port, source=source, timeout=timeout)
    try:
        async with asyncio.timeout(timeout):
            if not port:
                _, stream = await loop.create_unix_connection(make, address)
            elif source:
                _, stream = await _connect_from(make, source, address, port)
            else:
                _, stream = await loop.create_connection(make, address, port)
    except TimeoutError:
        raise PeerError(f"connection timed out after {_seconds(timeout)}") from None
    except OSError as error:
        raise PeerError(describe_error(error)) from None
    return stream


async def _connect_from(
    make: Callable[[], Stream], source: str, address: str, port: int
) -> tuple[asyncio.Transport, Stream]:
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    ours = socket.socket(family, socket.SOCK_STREAM)
    try:
        ours.setblocking(False)
        ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ours.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)  # or each connection would use up a port
        try:
            ours.bind((source, 0))
        except OSError as error:
            words = "is not on this host" if error.errno == errno.EADDRNOTAVAIL else describe_error(error)
            raise EgressError(f"{source} {words}") from None
        await loop.sock_connect(ours, (address, port))
        return await loop.create_connection(make, sock=ours)
    except BaseException:
        ours.close()
        raise


async def _open_by_proxy(
    make: Callable[[], Stream], proxy: Proxy, address: str, port: int, *, source: str, timeout: float
) -> Stream:
    """`timeout` for the connection to the proxy, and again for what it does for us."""
    words = f"timed out after {_seconds(timeout)}"
    try:
        async with asyncio.timeout(timeout):
            _, stream = await asyncio.get_running_loop().create_connection(make, proxy.host, proxy.port)
    except TimeoutError:
        raise EgressError(f"{proxy}: connection {words}") from None
    except OSError as error:
        raise EgressError(f"{proxy}: {describe_error(error)}") from None
    done = False
    try:
        async with asyncio.timeout(timeout):
            await shake_hands(stream, proxy, address, port, source=source, timeout=timeout)
        done = True
    except TimeoutError:
        raise PeerError(f"connection {words}") from None
    except EgressError as error:
        raise EgressError(f"{proxy} {error}") from None
    finally:
        if not done:
            stream.abort()
    return stream


def _seconds(timeout: float) -> str:
    return f"{timeout:g}s"


def _format_endpoint(endpoint: object) -> str:
    if isinstance(endpoint, tuple):
        host, port = str(endpoint[0]), endpoint[1]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return endpoint.decode(errors="replace") if isinstance(endpoint, bytes) else str(endpoint or "")
