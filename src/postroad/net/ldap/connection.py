"""One connection to a directory's server: TLS, bind, searches, one question at a time (RFC 4511).

Invariant: after a PeerError, a time-out or a cancellation in the middle of a question the connection is closed, so
that no answer is ever taken for that of another question. A simple bind without a password, which a server takes for
anonymous and answers with success, is never sent (RFC 4513 5.1.2).
"""

import contextlib
import ssl
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from postroad.model.errors import PeerError
from postroad.model.option import NEVER
from postroad.net.ldap.codec import (
    SUCCESS,
    Entry,
    Message,
    Reference,
    Result,
    bind_request,
    decode_message,
    search_request,
    start_tls_request,
    unbind_request,
    whole_message,
)
from postroad.net.ldap.server import LdapServer
from postroad.net.stream import Stream, open_stream

ANSWER_LIMIT: Final = 16 << 20  # octets of all entries of one answer
_LAST_NUMBER: Final = 2**31 - 1
_LONG: Final = 600.0  # seconds; whoever calls has a shorter deadline around the whole


class Query(Struct, frozen=True):
    """What a search asks for; at most `limit` entries."""

    base: str
    scope: int
    packed_filter: bytes
    attributes: tuple[str, ...]
    limit: int


class Found(Struct, frozen=True):
    """What a search gave, and how it ended."""

    entries: list[Entry]
    result: Result


class LdapConnection:
    """An open connection; `bound` is the name that it is bound as, "" for nobody."""

    def __init__(self, server: LdapServer, stream: Stream, opened: float) -> None:
        """Made by `open_connection`; `opened` is when, by the monotonic clock."""
        self.server = server
        self.opened = opened
        self.used = opened
        self.bound = ""
        self._stream = stream
        self._number = 0
        self._buffer = b""
        self._at = 0  # up to where it is read

    @property
    def is_open(self) -> bool:
        """True while it can be asked something, as far as we know."""
        return self._stream.is_open and self._at == len(self._buffer)

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """StartTLS, then the handshake; PeerError when either is refused (RFC 4511 4.14, RFC 4513 3.1)."""
        result = await self._ask(start_tls_request(self._next()))
        if result.code != SUCCESS:
            raise PeerError(f"StartTLS was refused: {result}")
        await self.begin_tls(context)

    async def begin_tls(self, context: ssl.SSLContext) -> None:
        """The handshake alone; what the certificate says is checked by `context` (RFC 4513 3.1.3)."""
        await self._stream.start_tls(context, self.server.host, _LONG)

    async def bind(self, dn: str, password: str) -> Result:
        """A simple bind; whatever the answer, what was bound before is no more (RFC 4511 4.2.1)."""
        assert dn, "a bind without a name"
        assert password, "a bind without a password says nothing about anybody"
        self.bound = ""
        result = await self._ask(bind_request(self._next(), dn, password))
        if result.code == SUCCESS:
            self.bound = dn
        return result

    async def search(self, query: Query, seconds: float) -> Found:
        """All entries of the answer; the server is told to take no more than `seconds`."""
        limits = (query.limit, max(1, int(seconds)))
        number = self._next()
        entries: list[Entry] = []
        with self._closed_unless_done():
            self._stream.write(
                search_request(number, query.base, query.scope, query.packed_filter, query.attributes, limits)
            )
            octets = 0
            while True:
                message, size = await self._read(number)
                octets += size
                if octets > ANSWER_LIMIT:
                    raise PeerError(f"an answer of more than {ANSWER_LIMIT} octets")
                match message.body:
                    case Entry() as entry:
                        entries.append(entry)
                    case Result() as result:
                        return Found(entries, result)
                    case Reference():
                        continue

    def abort(self) -> None:
        """Close at once."""
        self._stream.abort()

    def close(self) -> None:
        """Say good-bye and close; waits for nothing."""
        self._stream.write(unbind_request(self._next()))
        self._stream.close()

    async def wait_closed(self) -> None:
        """After `close` or `abort`: wait until the connection is gone, a few seconds at most."""
        await self._stream.wait_closed()

    def _next(self) -> int:
        self._number = self._number % _LAST_NUMBER + 1
        return self._number

    async def _ask(self, request: bytes) -> Result:
        with self._closed_unless_done():
            self._stream.write(request)
            message, _ = await self._read(self._number)
            if not isinstance(message.body, Result):
                raise PeerError("an entry where the result of an operation belongs")
            return message.body

    async def _read(self, number: int) -> tuple[Message, int]:
        """The next message, and its size; PeerError when the server closes or speaks of something else."""
        while not (size := whole_message(self._buffer, self._at)):
            data = await self._stream.read(NEVER)
            if not data:
                raise PeerError("connection closed by the directory's server")
            self._buffer = self._buffer[self._at :] + data
            self._at = 0
        message = decode_message(self._buffer[self._at : self._at + size])
        self._at += size
        if message.number == 0 and isinstance(message.body, Result):
            raise PeerError(f"the directory's server closes the connection: {message.body}")
        if message.number != number:
            raise PeerError("an answer to another question")
        return message, size

    @contextlib.contextmanager
    def _closed_unless_done(self) -> Iterator[None]:
        done = False
        try:
            yield
            done = True
        finally:
            if not done:
                self._stream.abort()


async def open_connection(server: LdapServer, context: ssl.SSLContext | None, opened: float) -> LdapConnection:
    """A connection under TLS, by StartTLS where the server's URL does not begin with it; None: in the clear.

    It takes as long as it takes: a deadline is the caller's.
    """
    connection = LdapConnection(server, await open_stream(server.host, server.port, timeout=_LONG), opened)
    done = False
    try:
        if context is not None:
            await (connection.begin_tls(context) if server.is_implicit else connection.start_tls(context))
        done = True
    finally:
        if not done:
            connection.abort()
    return connection
