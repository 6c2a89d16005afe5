"""A table in an SQLite database: one query, asked in a thread of its own, with a deadline.

The database belongs to somebody else: it is opened for reading alone, opened again after any fault and when
another file has taken its place. Whatever goes wrong is a TableError: not now, never "no such name".
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

import apsw
import apsw.ext

from postroad.model.errors import TableError
from postroad.store.tablefile import stamp_of

ROWS_LIMIT: Final = 10_000  # of one answer


def first_texts(rows: Sequence[Iterable[object]], where: object, key: str) -> list[str]:
    """The first column of `rows`, which `where` gave for `key`, without NULL; TableError for too many or no text."""
    if len(rows) > ROWS_LIMIT:
        raise TableError(f"{where}: more than {ROWS_LIMIT} rows for {key}")
    out = []
    for row in rows:
        value = next(iter(row), 0)  # a SELECT of no columns is SQL, too
        if isinstance(value, str):
            out.append(value)
        elif value is not None:
            raise TableError(f"{where}: the answer for {key} is not text")
    return out


class SqlTable(Protocol):
    """One query to one database."""

    async def find(self, key: str) -> list[str]:
        """The first column of every row for `key`; TableError when there is no answer in time."""

    async def has(self, key: str) -> bool:
        """True when there is any row for `key`, whatever is in it; TableError when there is no answer in time."""

    def inspect(self) -> str:
        """What is wrong with the query, in words, or ""; TableError when the database cannot be reached. Blocks."""

    def close(self) -> None:
        """Let go of the database."""


# From its address, the query, the seconds for an answer and the password.
MakeTable = Callable[[str, str, float, str], SqlTable]


class SqliteTable:
    """The query `query` to the database at `path`, for one text each time."""

    def __init__(self, path: Path, query: str, timeout: float) -> None:
        """Nothing is opened before the first question; an answer may take `timeout` seconds."""
        self._path = path
        self._query = query
        self._timeout = timeout
        self._thread = ThreadPoolExecutor(1, "table")
        self._db: apsw.Connection | None = None
        self._inode = -1
        self._asking: object = None  # whose question the thread is at

    async def find(self, key: str) -> list[str]:
        """The first column of every row for `key`; TableError when there is no answer in time."""
        return first_texts(await self._rows(key), self._path, key)

    async def has(self, key: str) -> bool:
        """True when there is any row for `key`, whatever is in it; TableError when there is no answer in time."""
        return bool(await self._rows(key))

    async def _rows(self, key: str) -> list[tuple[object, ...]]:
        token = object()
        answer = asyncio.get_running_loop().run_in_executor(self._thread, self._ask, key, token)
        try:
            async with asyncio.timeout(self._timeout):
                return await answer
        except TimeoutError:
            db = self._db
            if db is not None and self._asking is token:
                db.interrupt()
            raise TableError(f"{self._path}: no answer within {self._timeout:g} s") from None

    def inspect(self) -> str:
        """What is wrong with the query, in words, or ""; TableError when the database cannot be opened."""
        db = self._open()
        try:
            found = apsw.ext.query_info(db, self._query)
        except apsw.Error as error:
            return f"the query cannot be used: {error}"
        if found.query_remaining or not found.is_readonly or not found.description:
            return "the query must be one SELECT"
        if found.bindings_count != 1:
            return f'the query has {found.bindings_count} parameters; it needs one "?", for the address'
        return ""

    def close(self) -> None:
        """Let go of the database; what is still asked gets no answer."""
        db = self._db
        if db is not None:
            db.interrupt()
        self._thread.submit(self._shut)
        self._thread.shutdown()

    def _ask(self, key: str, token: object) -> list[tuple[object, ...]]:
        self._asking = token
        try:
            return list(islice(self._open().execute(self._query, (key,)), ROWS_LIMIT + 1))
        except apsw.Error as error:
            self._shut()
            raise TableError(f"{self._path}: {error}") from None
        finally:
            self._asking = None

    def _open(self) -> apsw.Connection:
        stamp = stamp_of(self._path)
        inode = -1 if stamp is None else stamp.inode
        if self._db is not None and inode == self._inode:
            return self._db
        self._shut()
        try:
            db = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
        except apsw.Error as error:
            raise TableError(f"{self._path}: {error}") from None
        db.set_busy_timeout(int(self._timeout * 1000))
        self._db, self._inode = db, inode
        return db

    def _shut(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.close(force=True)
