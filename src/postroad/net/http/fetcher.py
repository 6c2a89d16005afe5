"""Outgoing HTTP: questions to several addresses, each with its whole answer, within a deadline and a bound.

Redirects are not followed, cookies not kept, proxies of the environment not used, compression not offered. A question
over a kept connection that has died meanwhile is sent again, so it must be one that may be repeated. Invariant:
whatever the peer or the network does is an `Answer`, never an exception.
"""

import asyncio
import socket
import ssl
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from postroad.model.dns import Lookup
from postroad.net.http.faultwords import words_of
from postroad.net.http.fetching import Answer, MakeFetcher
from postroad.net.http.poster import BODY_LIMIT

_ACCEPT: Final = "application/json, text/plain;q=0.9, */*;q=0.1"
CONNECTIONS: Final = 10  # of one Fetcher
_UNTIL: Final = (3, 12, 7)
_LINGERS: Final = sys.version_info < _UNTIL  # connections under TLS outlive their closing until the peer closes, too


class Fetcher:
    """GETs and POSTs; used on one event loop. `ca` is a file of certificates, "" for the system's."""

    def __init__(self, *, timeout: float, agent: str, limit: int, ca: str = "", lookup: Lookup | None = None) -> None:
        """Nothing is opened before the first question; no more than `limit` octets are taken of an answer.

        Names are looked up by `lookup`, without it as the system does.
        """
        self._lookup = lookup
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
                with suppress(AttributeError):  # asyncio of Python 3.11 stumbles over what is closed already
                    await session.connector.close(abort_ssl=True)  # or sockets stay until the peer has said goodbye
            await session.close()

    async def _ask(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        try:
            async with asyncio.timeout(self._timeout):
                try:
                    return await self._exchange(method, url, body, headers)
                except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                    if isinstance(error, aiohttp.ClientConnectorError):
                        raise
                    return await self._exchange(method, url, body, headers)
        except TimeoutError:
            return Answer(0, f"no answer within {self._timeout:g}s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            untrusted = isinstance(error, aiohttp.ClientConnectorCertificateError)
            return Answer(0, words_of(error), untrusted=untrusted)

    async def _exchange(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        session = self._opened()
        async with session.request(method, url, data=body, headers=headers, allow_redirects=False) as got:
            taken = bytearray()
            async for part in got.content.iter_chunked(BODY_LIMIT):
                taken += part
                if len(taken) > self._limit:
                    got.close()
                    return Answer(0, f"an answer of more than {self._limit} octets")
            kind = got.headers.get("Content-Type", "")
            return Answer(got.status, got.reason or "", body=bytes(taken), content_type=kind)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            context: ssl.SSLContext | bool = ssl.create_default_context(cafile=self._ca) if self._ca else True
            names = None if self._lookup is None else _Names(self._lookup)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=CONNECTIONS, ssl=context, enable_cleanup_closed=_LINGERS, resolver=names
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": self._agent, "Accept": _ACCEPT, "Accept-Encoding": "identity"},
                auto_decompress=False,
            )
        return self._session


class _Names(AbstractResolver):
    """Names by our own look-up, which has a deadline and a cache."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of `host`; OSError without any."""
        del family  # both: the connector tries one after the other
        ipv4, ipv6 = await asyncio.gather(self._lookup(host, "A"), self._lookup(host, "AAAA"))
        kinds = ((ipv6, socket.AF_INET6), (ipv4, socket.AF_INET))
        found = [(str(one), kind) for answer, kind in kinds for one in answer.records]
        if not found:
            raise OSError(f"{host}: {ipv4.status.value}")
        return [
            ResolveResult(hostname=host, host=one, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for one, kind in found
        ]

    async def close(self) -> None:
        """Nothing is open."""


make_fetcher: Final[MakeFetcher] = Fetcher
