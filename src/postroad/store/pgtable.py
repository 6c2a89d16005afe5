"""A table in a PostgreSQL database: one query, asked over a few connections of ours, with a deadline.

The database belongs to somebody else: the query runs in a transaction that may only read, connections are made when
they are needed and again after any fault. Whatever goes wrong is a TableError: not now, never "no such name". The
password is in no text that this file makes.
"""

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import asyncpg

from postroad.model.errors import TableError
from postroad.store.sqltable import ROWS_LIMIT, MakeTable, first_texts

CONNECTIONS: Final = 4
GRACE: Final = 1.0  # seconds in which a server may still hear that nobody waits for its answer
_FAULTS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, ValueError)


class PostgresTable:
    """The query `query` to the database at `url`, for one text each time."""

    def __init__(self, url: str, query: str, timeout: float, password: str) -> None:
        """Nothing is opened before the first question; an answer may take `timeout` seconds, connecting included."""
        self._url = url
        self._query = query
        self._timeout = timeout
        self._password = password
        self._pool: asyncpg.Pool | None = None

    async def find(self, key: str) -> list[str]:
        """The first column of every row for `key`; TableError when there is no answer in time."""
        return first_texts(await self._rows(key), self._url, key)

    async def has(self, key: str) -> bool:
        """True when there is any row for `key`, whatever is in it; TableError when there is no answer in time."""
        return bool(await self._rows(key))

    async def _rows(self, key: str) -> list[asyncpg.Record]:
        try:
            # At the deadline asyncpg waits until the server has heard of it; one that is frozen never does.
            async with asyncio.timeout(self._timeout + GRACE), asyncio.timeout(self._timeout):
                return await self._ask(key)
        except TimeoutError:
            raise TableError(f"{self._url}: no answer within {self._timeout:g} s") from None
        except _FAULTS as error:
            raise TableError(f"{self._url}: {_words(error)}") from None

    def inspect(self) -> str:
        """What is wrong with the query, in words, or ""; TableError when the database cannot be reached. Blocks."""
        with ThreadPoolExecutor(1, "inspect") as thread:  # whoever asks may be on an event loop of their own
            return thread.submit(asyncio.run, self._inspect()).result()

    def close(self) -> None:
        """Let go of the connections; what is still asked gets no answer."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.terminate()

    async def _ask(self, key: str) -> list[asyncpg.Record]:
        if self._pool is None:
            self._pool = asyncpg.create_pool(
                self._url, password=self._password or None, min_size=0, max_size=CONNECTIONS, statement_cache_size=0
            )
        pool = await self._pool
        connection = await pool.acquire()
        try:
            async with connection.transaction(readonly=True):
                cursor = await connection.cursor(self._query, key)
                rows: list[asyncpg.Record] = await cursor.fetch(ROWS_LIMIT + 1)
                return rows
        finally:
            await pool.release(connection, timeout=GRACE)

    async def _inspect(self) -> str:
        try:
            async with asyncio.timeout(self._timeout):
                connection = await asyncpg.connect(self._url, password=self._password or None)
        except TimeoutError:
            raise TableError(f"{self._url}: no connection within {self._timeout:g} s") from None
        except _FAULTS as error:
            raise TableError(f"{self._url}: {_words(error)}") from None
        try:
            async with asyncio.timeout(self._timeout):
                statement = await connection.prepare(self._query)
            columns, parameters = len(statement.get_attributes()), len(statement.get_parameters())
        except (TimeoutError, *_FAULTS) as error:
            return f"the query cannot be used: {_words(error)}"
        finally:
            with contextlib.suppress(TimeoutError, *_FAULTS):
                async with asyncio.timeout(GRACE):  # its own one does not bound all it waits for
                    await connection.close()
        if not columns:
            return "the query must be one SELECT"
        return "" if parameters == 1 else f'the query has {parameters} parameters; it needs one "$1", for the address'


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__


make_postgres: Final[MakeTable] = PostgresTable
