"""Outgoing HTTP: POSTs one at a time to one address over a kept connection, or questions to several; with deadlines.

Redirects are not followed, cookies not kept, proxies of the environment not used; of an answer's body no more than a
bound is read. Invariant: whatever the peer or the network does is an `Answer`, never an exception.
"""

import ssl
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

import aiohttp
from msgspec import Struct

BODY_LIMIT: Final = 64 << 10  # octets read of an answer's body, so that the connection can be used again
CONNECTIONS: Final = 10  # of one Fetcher
_LINGERS: Final = sys.version_info < (
    3,
    12,
    7,
)  # connections under TLS outlive their closing until the peer closes, too
FIRST_PAUSE: Final = 1.0  # seconds before a second attempt


class Answer(Struct, frozen=True):
    """An HTTP status, or 0 and why there is none; `retry_after` in seconds when the peer asked for it.

    `body` is the beginning of the answer's body.
    """

    status: int
    reason: str = ""
    retry_after: float = 0.0
    body: bytes = b""

    def __str__(self) -> str:
        """As people write it."""
        return f"HTTP {self.status} {self.reason}".rstrip() if self.status else self.reason


def pause_after(tries: int, answer: Answer, *, longest: float) -> float:
    """Seconds before the next attempt: doubled each time, or what the receiver asks for, at most `longest`."""
    grown = FIRST_PAUSE * 2.0 ** min(tries - 1, 30)
    return min(max(grown, answer.retry_after), longest)


class Poster:
    """POSTs to `url`; used by one event loop, within `async with`. `ca` is a file of certificates."""

    def __init__(self, url: str, *, timeout: float, agent: str, ca: str = "") -> None:
        """`timeout` is that of a whole exchange, the look-up of the name included."""
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._agent = agent
        self._ca = ca
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Read the certificates."""
        context: ssl.SSLContext | bool = ssl.create_default_context(cafile=self._ca) if self._ca else True
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1, ssl=context),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": self._agent},
            timeout=self._timeout,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        if self._session is not None:
            await self._session.close()

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send `body`."""
        assert self._session is not None
        try:
            async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as got:
                body = await got.content.read(BODY_LIMIT)
                return Answer(got.status, got.reason or "", _seconds(got.headers.get("Retry-After", "")), body)
        except TimeoutError:
            return Answer(0, f"no answer within {self._timeout.total:g}s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(0, str(error) or type(error).__name__)


class Fetcher:
    """GETs and POSTs to whatever address is asked for, each whole answer within `timeout`; used on one event loop.

    No more than `limit` octets are taken of an answer, and none that is compressed. `ca` is a file of certificates.
    """

    def __init__(self, *, timeout: float, agent: str, limit: int, ca: str = "") -> None:
        """Nothing is opened before the first question."""
        self._timeout = timeout
        self._agent = agent
        self._limit = limit
        self._ca = ca
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str) -> Answer:
        """What is at `url`."""
        return await self._ask("GET", url, None, {})

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """The answer to `body`."""
        return await self._ask("POST", url, body, headers)

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            if session.connector is not None:
                await session.connector.close(abort_ssl=True)  # or sockets stay until the peer has said goodbye
            await session.close()

    async def _ask(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        try:
            session = self._opened()
            async with session.request(method, url, data=body, headers=headers, allow_redirects=False) as got:
                taken = bytearray()
                async for part in got.content.iter_chunked(BODY_LIMIT):
                    taken += part
                    if len(taken) > self._limit:
                        return Answer(0, f"an answer of more than {self._limit} octets")
                return Answer(got.status, got.reason or "", body=bytes(taken))
        except TimeoutError:
            return Answer(0, f"no answer within {self._timeout:g}s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(0, str(error) or type(error).__name__)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            context: ssl.SSLContext | bool = ssl.create_default_context(cafile=self._ca) if self._ca else True
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=context, enable_cleanup_closed=_LINGERS),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": self._agent, "Accept": "application/json", "Accept-Encoding": "identity"},
                timeout=aiohttp.ClientTimeout(total=self._timeout),
                auto_decompress=False,
            )
        return self._session


def _seconds(text: str) -> float:
    """Retry-After in seconds (RFC 9110 10.2.3); a date counts as not given."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0.0
