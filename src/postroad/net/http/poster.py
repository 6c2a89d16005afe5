"""Outgoing HTTP: POSTs to one address, over kept connections, one unless told otherwise, each within a deadline.

Redirects are not followed, cookies not kept, proxies of the environment not used; of an answer's body no more than
64 KiB is read. Invariant: whatever the peer or the network does is an `Answer`, never an exception.
"""

import asyncio
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

import aiohttp

from postroad.net.http.faultwords import words_of
from postroad.net.http.fetching import Answer

BODY_LIMIT: Final = 64 << 10  # octets read of an answer's body, so that the connection can be used again
FIRST_PAUSE: Final = 1.0  # seconds before a second attempt


def pause_after(tries: int, answer: Answer, *, longest: float) -> float:
    """Seconds before the next attempt: doubled each time, or what the receiver asks for, at most `longest`."""
    grown = FIRST_PAUSE * 2.0 ** min(tries - 1, 30)
    return min(max(grown, answer.retry_after), longest)


class Poster:
    """POSTs to `url`; used by one event loop, within `async with`. `ca` is a file of certificates."""

    def __init__(self, url: str, *, timeout: float, agent: str, ca: str = "", connections: int = 1) -> None:
        """`timeout` is that of a whole exchange, the look-up of the name included."""
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._agent = agent
        self._ca = ca
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """As `open`."""
        self.open()
        return self

    def open(self) -> None:
        """Read the certificates; OSError when that fails."""
        context: ssl.SSLContext | bool = ssl.create_default_context(cafile=self._ca) if self._ca else True
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, ssl=context),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": self._agent},
            timeout=self._timeout,
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """As `close`."""
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
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
            return Answer(0, words_of(error))

    async def ask(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """The same, with the whole body of the answer; one that is longer than 64 KiB is no answer.

        To be used where a repetition does no harm: over a kept connection that has died meanwhile `body` is sent again.
        """
        assert self._session is not None
        try:
            async with asyncio.timeout(self._timeout.total):
                try:
                    return await self._exchange(self._session, body, headers)
                except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                    if isinstance(error, aiohttp.ClientConnectorError):
                        raise
                    return await self._exchange(self._session, body, headers)
        except TimeoutError:
            return Answer(0, f"no answer within {self._timeout.total:g}s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(0, words_of(error))

    async def _exchange(self, session: aiohttp.ClientSession, body: bytes, headers: Mapping[str, str]) -> Answer:
        async with session.post(self._url, data=body, headers=headers, allow_redirects=False) as got:
            parts: list[bytes] = []
            size = 0
            while part := await got.content.read(BODY_LIMIT + 1 - size):
                parts.append(part)
                size += len(part)
                if size > BODY_LIMIT:
                    got.close()
                    return Answer(0, f"an answer of more than {BODY_LIMIT >> 10} KiB")
            retry = _seconds(got.headers.get("Retry-After", ""))
            return Answer(got.status, got.reason or "", retry, b"".join(parts))


def _seconds(text: str) -> float:
    """Retry-After in seconds (RFC 9110 10.2.3); a date counts as not given."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0.0
