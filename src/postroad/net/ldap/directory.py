"""A directory: several LDAP servers behind one door, over a bounded pool of connections, within deadlines.

`search` and `bind` ask the first server that works. One that fails is passed over with growing pauses, and one
question at a time tries whether it is back. Invariant: what cannot be known now is a DirectoryError, never "there is
no such entry" and never "wrong password"; no text that this file makes has a password in it.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Generic, Protocol, TypeVar

from msgspec import Struct

from postroad.model.errors import DirectoryError, PeerError
from postroad.net.clock import Clock
from postroad.net.ldap.codec import (
    BASE,
    INVALID_CREDENTIALS,
    NO_SUCH_OBJECT,
    SIZE_LIMIT_EXCEEDED,
    SUBTREE,
    SUCCESS,
    Entry,
    Result,
)
from postroad.net.ldap.connection import Found, LdapConnection, Query, open_connection
from postroad.net.ldap.filters import pack_filter
from postroad.net.ldap.pool import Kept, Standing, is_stale
from postroad.net.ldap.server import LdapServer

NO_ATTRIBUTES: Final = "1.1"  # RFC 4511 4.5.1.8
_ANOTHER_SERVER: Final = frozenset({1, 51, 52, 80})  # it cannot, others may: operations error, busy, unavailable, other
_REFUSALS: Final = frozenset(
    {19, NO_SUCH_OBJECT, 34, 48, INVALID_CREDENTIALS, 50}
)  # of a bind: this name, this password
_INACTIVE: Final = "inactivated"  # how 389 Directory Server says in a 53 that an account is disabled

T = TypeVar("T")


class DirectoryTerms(Struct, frozen=True):
    """Which servers in which order, how they are reached, and how long each may take, in seconds.

    `bind_dn` is whom we search as, "" for nobody (anonymous). `context` is for TLS, with which a connection begins
    or to which it changes by StartTLS.
    """

    servers: tuple[LdapServer, ...]
    context: ssl.SSLContext | None
    starttls: bool = True
    bind_dn: str = ""
    connect_timeout: float = 3.0
    answer_timeout: float = 4.0
    timeout: float = 10.0
    connections: int = 8


class ServerFault(Struct, frozen=True, gc=False):
    """A server is passed over for `pause` seconds from now on, for `reason`; both are empty when it is back."""

    server: str
    reason: str
    pause: float


class Bound(Struct, frozen=True, gc=False):
    """Whether a bind succeeded; `result` has the server's own words where it did not."""

    is_bound: bool
    result: Result


NO_BIND: Final = Bound(False, Result(INVALID_CREDENTIALS, "no name or no password"))


class Search(Protocol):
    """How a directory is searched: as `Directory.search`."""

    def __call__(
        self, base: str, filter_text: str, attributes: tuple[str, ...] = (), *, limit: int = 2, scope: int = SUBTREE
    ) -> Awaitable[list[Entry]]:
        """The entries that match; DirectoryError when that cannot be known now."""


def client_context(ca: str = "") -> ssl.SSLContext:
    """TLS 1.2 or later that checks chain and name; `ca` is a file of certificates, "" for the system's. OSError."""
    context = ssl.create_default_context(cafile=ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Directory:
    """The servers of one directory; used on one event loop. `told` hears of servers that fail and come back."""

    def __init__(self, terms: DirectoryTerms, password: str, clock: Clock) -> None:
        """Nothing is opened yet; `password` is that of `terms.bind_dn`."""
        assert not terms.bind_dn or password, "a name to bind as, without a password"
        self.told: Callable[[ServerFault], None] | None = None
        self._terms = terms
        self._password = password
        self._clock = clock
        self._standing = [Standing(server) for server in terms.servers]
        self._turns = asyncio.Semaphore(terms.connections)
        self._searchers = Kept()
        self._binders = Kept()
        self._leaving: deque[LdapConnection] = deque(maxlen=2 * terms.connections)  # closed, though not yet gone
        self._is_closed = False

    def __str__(self) -> str:
        """Its servers."""
        return " ".join(map(str, self._terms.servers))

    async def search(
        self, base: str, filter_text: str, attributes: tuple[str, ...] = (), *, limit: int = 2, scope: int = SUBTREE
    ) -> list[Entry]:
        """At most `limit` entries that match `filter_text`, with these attributes.

        Text of others is in the filter by `fill` alone. The scope BASE looks at the entry `base` alone, and finds
        nothing when there is none. DirectoryError: it cannot be known now; ValueError: the filter is none.
        """
        query = _query(base, filter_text, attributes, limit, scope)
        return _entries(query, await self._ask(self._searchers, lambda connection: self._search(connection, query)))

    async def bind(self, dn: str, password: str) -> Bound:
        """Whether `password` is that of `dn`, which may be a name of Active Directory's (user@domain) too.

        An empty one never is, and nobody is asked (RFC 4513 5.1.2). DirectoryError when it cannot be known now.
        """
        if _is_no_bind(dn, password):
            return NO_BIND
        return await self._ask(self._binders, lambda connection: self._bind(connection, dn, password))

    async def bind_and(self, dn: str, password: str, then: Callable[[Search], Awaitable[T]]) -> tuple[Bound, T | None]:
        """The same, and what `then` makes of searches as `dn`, which it is given; nothing when the bind is refused."""
        if _is_no_bind(dn, password):
            return NO_BIND, None

        async def ask(connection: LdapConnection) -> tuple[Bound, T | None, DirectoryError | None]:
            async def search(
                base: str, filter_text: str, attributes: tuple[str, ...] = (), *, limit: int = 2, scope: int = SUBTREE
            ) -> list[Entry]:
                query = _query(base, filter_text, attributes, limit, scope)
                return _entries(query, await self._search(connection, query))

            bound = await self._bind(connection, dn, password)
            if not bound.is_bound:
                return bound, None, None
            try:
                return bound, await then(search), None
            except DirectoryError as error:  # an answer of this server, which another one would give too
                return bound, None, error

        bound, value, error = await self._ask(self._binders, ask)
        if error is not None:
            raise error
        return bound, value

    async def probe(self) -> dict[int, str]:
        """What is wrong with a server, by its place among them; all are asked at once."""

        async def ask(server: LdapServer) -> str:
            try:
                async with asyncio.timeout(self._terms.timeout):
                    self._leave([await self._connect(server, is_searcher=True)])
            except TimeoutError:
                return f"no answer within {self._terms.timeout:g} s"
            except PeerError as error:
                return str(error)
            return ""

        words = await asyncio.gather(*(ask(server) for server in self._terms.servers))
        return {at: text for at, text in enumerate(words) if text}

    async def close(self) -> None:
        """Close the connections that nobody uses; those in use are closed when their question is answered."""
        self._is_closed = True
        for kept in (self._searchers, self._binders):
            self._leave(kept.drop(lambda _: True))
        for connection in self._leaving:
            await connection.wait_closed()

    # -- one question ------------------------------------------------------------------------------

    async def _ask(self, kept: Kept, ask: Callable[[LdapConnection], Awaitable[T]]) -> T:
        """The answer of the first server that has one."""
        timeout = self._terms.timeout
        try:
            async with asyncio.timeout(timeout), self._turns:
                answer = await self._ask_kept(kept, ask)
                return answer.value if answer is not None else await self._ask_servers(kept, ask)
        except TimeoutError:
            raise DirectoryError(f"{self}: no answer within {timeout:g} s") from None

    async def _ask_kept(self, kept: Kept, ask: Callable[[LdapConnection], Awaitable[T]]) -> "_Answer[T] | None":
        """The answer over a connection that is open already; None when there is none that works."""
        now = self._clock.monotonic()
        self._leave(kept.drop(lambda one: is_stale(one, now)))
        while (connection := kept.take()) is not None:
            standing = self._standing_of(connection)
            try:
                answer = await self._use(connection, kept, ask)
            except TimeoutError:
                self._failed(standing, f"no answer within {self._terms.answer_timeout:g} s")
            except DirectoryError as error:
                self._failed(standing, str(error))
            except PeerError:
                continue  # closed while nobody used it, which is no fault; a new connection will show
            else:
                self._works(standing)
                return _Answer(answer)
        return None

    async def _ask_servers(self, kept: Kept, ask: Callable[[LdapConnection], Awaitable[T]]) -> T:
        """The answer over a new connection."""
        for standing in self._standing:
            if not standing.may_be_tried(self._clock.monotonic(), self._terms.connect_timeout):
                continue
            words = f"no connection within {self._terms.connect_timeout:g} s"
            try:
                async with asyncio.timeout(self._terms.connect_timeout):
                    connection = await self._connect(standing.server, is_searcher=kept is self._searchers)
                words = f"no answer within {self._terms.answer_timeout:g} s"
                answer = await self._use(connection, kept, ask)
            except TimeoutError:
                self._failed(standing, words)
            except (PeerError, DirectoryError) as error:
                self._failed(standing, str(error))
            else:
                self._works(standing)
                return answer
        raise DirectoryError("; ".join(f"{one.server}: {one.reason or 'is being tried'}" for one in self._standing))

    async def _use(self, connection: LdapConnection, kept: Kept, ask: Callable[[LdapConnection], Awaitable[T]]) -> T:
        """Ask over `connection`, and keep it if it still can be asked something."""
        is_done = False
        try:
            answer = await ask(connection)
            is_done = True
        finally:
            if is_done and connection.is_open and not self._is_closed:
                self._make_room(kept)
                kept.put(connection, self._clock.monotonic())
            else:
                self._leave([connection])
        return answer

    async def _search(self, connection: LdapConnection, query: Query) -> Found:
        async with asyncio.timeout(self._terms.answer_timeout):
            found = await connection.search(query, self._terms.answer_timeout)
        if found.result.code in _ANOTHER_SERVER:
            raise DirectoryError(f"search: {found.result}")
        return found

    async def _bind(self, connection: LdapConnection, dn: str, password: str) -> Bound:
        async with asyncio.timeout(self._terms.answer_timeout):
            result = await connection.bind(dn, password)
        refused = result.code in _REFUSALS or (result.code == 53 and _INACTIVE in result.text.lower())
        if result.code != SUCCESS and not refused:
            raise DirectoryError(f"bind: {result}")
        return Bound(result.code == SUCCESS, result)

    async def _connect(self, server: LdapServer, *, is_searcher: bool) -> LdapConnection:
        """A new connection; one to search over is bound as whom the configuration says."""
        terms = self._terms
        context = terms.context if terms.starttls or server.is_implicit else None
        connection = await open_connection(server, context, self._clock.monotonic())
        if is_searcher and terms.bind_dn:
            result = await connection.bind(terms.bind_dn, self._password)
            if result.code != SUCCESS:
                self._leave([connection])
                raise PeerError(f"bind as {terms.bind_dn}: {result}")
        return connection

    def _make_room(self, kept: Kept) -> None:
        """Close a connection of the other kind when all together would be too many."""
        other = self._binders if kept is self._searchers else self._searchers
        if kept.size + other.size >= self._terms.connections:
            self._leave(other.drop_oldest())

    def _leave(self, connections: Iterable[LdapConnection]) -> None:
        for connection in connections:
            connection.close()
            self._leaving.append(connection)

    # -- who works ---------------------------------------------------------------------------------

    def _standing_of(self, connection: LdapConnection) -> Standing:
        return next(standing for standing in self._standing if standing.server is connection.server)

    def _failed(self, standing: Standing, reason: str) -> None:
        """Pass the server over for a while, and forget its connections."""
        pause = standing.fail(self._clock.monotonic(), reason)
        for kept in (self._searchers, self._binders):
            self._leave(kept.drop(lambda connection: connection.server is standing.server))
        if pause and self.told is not None:
            self.told(ServerFault(str(standing.server), reason, pause))

    def _works(self, standing: Standing) -> None:
        if standing.succeed() and self.told is not None:
            self.told(ServerFault(str(standing.server), "", 0.0))


def _query(base: str, filter_text: str, attributes: tuple[str, ...], limit: int, scope: int) -> Query:
    assert limit > 0, "answers are bounded"
    return Query(base, scope, pack_filter(filter_text), attributes or (NO_ATTRIBUTES,), limit)


def _entries(query: Query, found: Found) -> list[Entry]:
    code = found.result.code
    if code in {SUCCESS, SIZE_LIMIT_EXCEEDED}:
        return found.entries[: query.limit]
    if code == NO_SUCH_OBJECT and query.scope == BASE:
        return []
    raise DirectoryError(f"search below {query.base or 'the root'}: {found.result}")


def _is_no_bind(dn: str, password: str) -> bool:
    return not dn or not password or "\0" in dn or "\0" in password


class _Answer(Struct, Generic[T], frozen=True):
    value: T
