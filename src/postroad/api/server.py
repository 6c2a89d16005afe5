"""The HTTP listener of the API, on aiohttp's server: connections, heads and bodies, with a bound on everything.

Invariant: a client gets an answer or the end of its connection in time, whatever it sends or does not read; what fails
on our side is a 500 without a word of why, and a record. A body is read when the service asks for it, never before.
RFC 9112 9.3 (persistence), RFC 9110 10.1.1 (Expect).
"""

import asyncio
import contextlib
import logging
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final, cast

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from msgspec import Struct

from postroad.api.exchange import Asked, Headers, Told, problem_told
from postroad.api.problem import (
    BUSY,
    CONTENT_TYPE,
    EXPECTATION,
    FAULT,
    MALFORMED,
    TOO_LARGE,
    TOO_SLOW,
    ApiError,
    told,
)
from postroad.api.serving import Answer, MakeServer
from postroad.model.errors import ConfigError
from postroad.model.option import parse_endpoint
from postroad.model.records import DeskFaulted, Emit
from postroad.net.clock import Clock
from postroad.net.process.handover import copy_of
from postroad.net.process.inherited import Given, Inherited

API: Final = "api"  # the name of its sockets when they are handed over
LINE: Final = 16 << 10  # octets of the request's line: envelopes stand there
FIELD: Final = 8 << 10
FIELDS: Final = 64
BACKLOG: Final = 128
LOOK: Final = 0.01  # seconds
_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n"
)
SAFE: Final = MappingProxyType({"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Server": "Postroad"})


class Deadlines(Struct, frozen=True):
    """Seconds for a whole head (also between two requests), for an answer to be taken, for a body nobody reads.

    `first` is for the first request of a connection, once another program listens.
    """

    idle: float = 30.0
    answer: float = 30.0
    linger: float = 2.0
    first: float = 1.0


USUAL: Final = Deadlines()


class _Connection(web.RequestHandler):
    """One connection; what is no HTTP gets a problem, too, and so does a connection too many."""

    __slots__ = ("has_asked", "limit")
    limit: int  # of connections
    has_asked: bool  # there was a request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or say that there are enough."""
        if self._manager is None or len(self._manager.connections) < self.limit:
            super().connection_made(transport)
            return
        self._manager = None
        body = msgspec.json.encode(BUSY)
        one = cast("asyncio.Transport", transport)
        one.write(_FULL % len(body) + body)
        one.close()

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002  all three are as aiohttp has them
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """What is told of a head that cannot be read."""
        problem = told(MALFORMED, "is not HTTP/1.1 as it should be") if status < 500 else FAULT
        response = web.Response(
            status=problem.status, body=msgspec.json.encode(problem), headers=SAFE, content_type=CONTENT_TYPE
        )
        response.force_close()
        return response


class ApiServer:
    """Serves `answer`."""

    def __init__(  # noqa: PLR0913  the composition root passes the parts by name
        self,
        bind: Sequence[str],
        answer: Answer,
        *,
        connections: int,
        timeout: Callable[[], float],
        clock: Clock,
        emit: Emit,
        deadlines: Deadlines = USUAL,
    ) -> None:
        """Nothing is bound before `bind`; a body may take `timeout` seconds."""
        self._deadlines = deadlines
        self._bind = bind
        self._answer = answer
        self._limit = connections
        self._timeout = timeout
        self._clock = clock
        self._emit = emit
        self._servers: list[asyncio.Server] = []
        self._running = 0
        self._ended = asyncio.Event()
        self._is_leaving = False  # each connection ends with its answer
        self._is_draining = False
        # What aiohttp would tell a record tells, or nobody needs to know; it would repeat what clients send.
        self._silent = logging.Logger("postroad.api", logging.CRITICAL + 1)  # noqa: LOG001  nobody else's
        self._http = web.Server(self._handle)

    async def bind(self, inherited: Inherited | None = None) -> list[str]:
        """Bind every address, as root where that is needed: "address:port" of each; ConfigError when one is taken.

        What is among `inherited` is bound already.
        """
        loop = asyncio.get_running_loop()
        bound: list[str] = []
        for at, text in enumerate(self._bind):
            host, port = parse_endpoint(text)
            given = None if inherited is None else inherited.take(API, host, port)
            start = partial(loop.create_server, self._meet, backlog=BACKLOG, start_serving=False)
            try:
                server = await (start(host, port) if given is None else start(sock=given.socket))
            except OSError as error:
                self._close()
                raise ConfigError(
                    [f"api.bind[{at}]: cannot listen on {text}: {error.strerror or error}; choose another port"]
                ) from error
            self._servers.append(server)
            names = [sock.getsockname()[:2] for sock in server.sockets]
            bound += [f"[{name}]:{number}" if ":" in name else f"{name}:{number}" for name, number in names]
        return bound

    async def start(self) -> None:
        """Begin to answer."""
        for server in self._servers:
            await server.start_serving()

    async def hand_over(self, seconds: float) -> list[Given]:
        """Copies of the listening sockets, for the next program, once a drain within `seconds` is over.

        Who was accepted by us and has not asked yet cannot ask the next program: that request is still answered.
        """
        given = [copy_of(API, sock.fileno()) for server in self._servers for sock in server.sockets]
        self._close()
        self._is_leaving = True
        waits = self._deadlines.first
        while waits > 0:
            await self._clock.sleep(LOOK)  # at first for those who are being accepted in this turn of the event loop
            waits -= LOOK
            if all(cast("_Connection", one).has_asked for one in self._http.connections):
                break
        await self.drain(seconds)
        return given

    async def drain(self, seconds: float) -> None:
        """Listen no more, and begin no more requests; those that run may end within `seconds`."""
        self._close()
        self._is_leaving = self._is_draining = True
        if self._running:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._ended.wait()

    async def close(self) -> None:
        """End every connection."""
        self._close()
        self._http.pre_shutdown()
        await self._http.shutdown(self._deadlines.linger)

    def _close(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()

    def _meet(self) -> asyncio.Protocol:
        one = _Connection(
            self._http,
            loop=asyncio.get_running_loop(),
            access_log=self._silent,
            logger=self._silent,
            keepalive_timeout=self._deadlines.idle,
            lingering_time=self._deadlines.linger,
            max_line_size=LINE,
            max_field_size=FIELD,
            max_headers=FIELDS,
            auto_decompress=False,
        )
        one.limit = self._limit
        one.has_asked = False
        return one

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._running += 1
        cast("_Connection", request.protocol).has_asked = True
        try:
            answer = problem_told(ApiError(BUSY, 1)) if self._is_draining else await self._told(request)
            response = web.Response(
                status=answer.status,
                body=answer.body,
                headers={**SAFE, **dict(answer.headers)},
                content_type=answer.content_type,
            )
            if self._is_leaving or (request.can_read_body and not request.content.is_eof()):
                response.force_close()  # the rest of the body is not waited for
            async with asyncio.timeout(self._deadlines.answer):
                await response.prepare(request)
                await response.write_eof()
            return response
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            raise asyncio.CancelledError from None
        finally:
            self._running -= 1
            if self._is_draining and not self._running:
                self._ended.set()

    async def _told(self, request: web.BaseRequest) -> Told:
        try:
            return await self._answer(self._asked(request))
        except ApiError as error:
            return problem_told(error)
        except ConnectionError:
            raise
        except Exception:  # noqa: BLE001  seam: a request that hits a bug must not cost more than itself
            page = f"{request.method} {request.path}"
            self._emit(DeskFaulted(at=self._clock.now(), page=page, detail=traceback.format_exc()))
            return Told(FAULT.status, msgspec.json.encode(FAULT), CONTENT_TYPE)

    def _asked(self, request: web.BaseRequest) -> Asked:
        peer = request.transport.get_extra_info("peername") if request.transport is not None else None
        fields = request.headers
        if fields.get("Expect", "100-continue").lower() != "100-continue":
            raise ApiError(EXPECTATION)
        headers = Headers(
            fields.get("Authorization", ""),
            fields.get("Content-Type", ""),
            fields.get("Content-Encoding", "").strip().lower(),
            fields.get("Idempotency-Key"),
            request.content_length,
        )
        try:
            query = list(request.query.items())
        except ValueError:
            raise ApiError(told(MALFORMED, "the query cannot be read")) from None

        async def read(most: int) -> bytes:
            return await self._read(request, most)

        return Asked(
            method=request.method,
            path=request.path,
            query=query,
            headers=headers,
            ip=peer[0] if peer else "",
            port=peer[1] if peer else 0,
            read=read,
        )

    async def _read(self, request: web.BaseRequest, most: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._timeout()):
                if "Expect" in request.headers:
                    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                    request.writer.output_size = 0
                while piece := await request.content.readany():
                    size += len(piece)
                    if size > most:
                        raise ApiError(told(TOO_LARGE, f"a request has at most {most} octets"))
                    pieces.append(piece)
        except TimeoutError:
            raise ApiError(TOO_SLOW) from None
        except (HttpProcessingError, web.RequestPayloadError) as error:
            raise ApiError(told(MALFORMED, f"the body cannot be read: {error}")) from None
        return b"".join(pieces)


make_server: Final[MakeServer] = ApiServer
