"""The HTTP listener of the desk: GET and HEAD of small pages, with a bound on everything.

Invariant: a client gets an answer or the end of its connection within seconds, whatever it sends or does not read;
no more than `connections` are served at one time; a page that fails is a 500 without a word of why, and a record.
RFC 9110 9.3.1 (GET), RFC 9110 9.3.2 (HEAD), RFC 9112 9.3 (persistence).
"""

import asyncio
import contextlib
import traceback
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Final

from msgspec import Struct

from postroad.desk.request import HEAD_LIMIT, BadRequest, Request, parse_request
from postroad.model.errors import ConfigError
from postroad.model.option import parse_endpoint
from postroad.model.records import DeskFaulted, Emit
from postroad.net.clock import Clock
from postroad.net.process.handover import copy_of
from postroad.net.process.inherited import Given, Inherited

DESK: Final = "desk"  # the name of its sockets when they are handed over
REQUESTS: Final = 1000  # in one connection
_BACKLOG: Final = 64
_PLAIN: Final = "text/plain; charset=utf-8"


class Deadlines(Struct, frozen=True):
    """Seconds for the whole head of a request (also between two of them), for a page, and for a client to take it."""

    head: float = 10.0
    page: float = 10.0
    write: float = 10.0


USUAL: Final = Deadlines()


class Page(Struct, frozen=True):
    """What a path gives."""

    status: int
    body: bytes
    content_type: str


Pages = Callable[[str], Awaitable[Page | None]]


class DeskServer:
    """Serves `pages`."""

    def __init__(  # noqa: PLR0913  two servers differ in name and pages, tests in deadlines
        self,
        bind: Sequence[str],
        pages: Pages,
        *,
        connections: int,
        clock: Clock,
        emit: Emit,
        deadlines: Deadlines = USUAL,
        name: str = DESK,
    ) -> None:
        """Nothing is bound before `bind`; `name` is that of the section, and of the sockets."""
        self._name = name
        self._bind = bind
        self._pages = pages
        self._limit = connections
        self._clock = clock
        self._emit = emit
        self._deadlines = deadlines
        self._servers: list[asyncio.Server] = []
        self._clients: set[asyncio.Task[None]] = set()

    async def bind(self, inherited: Inherited | None = None) -> list[str]:
        """Bind every address, as root where that is needed: "address:port" of each; ConfigError when one is taken.

        What is among `inherited` is bound already.
        """
        bound: list[str] = []
        for at, text in enumerate(self._bind):
            host, port = parse_endpoint(text)
            given = None if inherited is None else inherited.take(self._name, host, port)
            start = partial(asyncio.start_server, limit=HEAD_LIMIT, backlog=_BACKLOG, start_serving=False)
            try:
                if given is not None:
                    server = await start(self._serve, sock=given.socket)
                else:
                    server = await start(self._serve, host, port)
            except OSError as error:
                await self.stop()
                where = f"{self._name}.bind[{at}]: cannot listen on {text}"
                raise ConfigError([f"{where}: {error.strerror or error}; choose another port"]) from error
            self._servers.append(server)
            names = [sock.getsockname()[:2] for sock in server.sockets]
            bound += [f"[{name}]:{number}" if ":" in name else f"{name}:{number}" for name, number in names]
        return bound

    async def start(self) -> None:
        """Begin to answer."""
        for server in self._servers:
            await server.start_serving()

    def hand_over(self) -> list[Given]:
        """Copies of the listening sockets, for the next program; here nobody new is answered."""
        given = [copy_of(self._name, sock.fileno()) for server in self._servers for sock in server.sockets]
        for server in self._servers:
            server.close()
        return given

    async def stop(self) -> None:
        """Listen no more, and end every connection."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        clients = tuple(self._clients)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            return
        self._clients.add(task)
        try:
            if len(self._clients) > self._limit:
                await self._answer(writer, Page(503, b"too many connections\n", _PLAIN), None)
            else:
                await self._converse(reader, writer)
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass  # the client is gone or too slow, or we are going
        finally:
            self._clients.discard(task)
            if writer.transport.get_write_buffer_size():
                writer.transport.abort()  # closing would wait for a client that does not read
            else:
                writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(REQUESTS):
            try:
                async with asyncio.timeout(self._deadlines.head):
                    request = parse_request(await reader.readuntil(b"\r\n\r\n"))
            except asyncio.IncompleteReadError:
                return
            except asyncio.LimitOverrunError:
                await self._answer(writer, _error(431), None)
                return
            except BadRequest as error:
                await self._answer(writer, _error(error.status), None)
                return
            await self._answer(writer, await self._page(request), request)
            if not request.keeps_alive:
                return

    async def _answer(self, writer: asyncio.StreamWriter, page: Page, request: Request | None) -> None:
        await _send(writer, page, request, self._deadlines.write)

    async def _page(self, request: Request) -> Page:
        try:
            async with asyncio.timeout(self._deadlines.page):
                page = await self._pages(request.path)
        except TimeoutError:
            return _error(503)
        except Exception:  # noqa: BLE001  seam: a page that fails must not cost more than itself
            self._emit(DeskFaulted(at=self._clock.now(), page=request.path, detail=traceback.format_exc()))
            return _error(500)
        return _error(404) if page is None else page


def _error(status: int) -> Page:
    return Page(status, f"{HTTPStatus(status).phrase}\n".encode(), _PLAIN)


async def _send(writer: asyncio.StreamWriter, page: Page, request: Request | None, seconds: float) -> None:
    """Send `page` within `seconds`; without a request the connection ends after it."""
    keeps = request is not None and request.keeps_alive
    lines = [
        f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}",
        f"Content-Type: {page.content_type}",
        f"Content-Length: {len(page.body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        *(("Allow: GET, HEAD",) if page.status == 405 else ()),
        f"Connection: {'keep-alive' if keeps else 'close'}",
    ]
    writer.write("\r\n".join((*lines, "", "")).encode())
    if request is None or not request.is_head:
        writer.write(page.body)
    async with asyncio.timeout(seconds):
        await writer.drain()
    if not keeps:
        with contextlib.suppress(OSError):
            writer.write_eof()
