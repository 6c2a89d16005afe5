"""What came in by the API: repeated requests, whose each message is, what became of its recipients. SQLite.

Calls run on the event loop: they write to the page cache alone (WAL, without a sync), so that what is written survives
a kill at once; `sync` waits in a thread until the disk has it. Before a message is given to the spool its row is here;
`accepted` is called in the instant in which the spool has it. So after a kill the spool itself tells which of the
messages of an unfinished request there are. Old rows go a few at a time.
"""

import asyncio
import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import apsw
from msgspec import Struct

from postroad.model.errors import SpoolError, SpoolFullError
from postroad.store.opening import open_shared

VERSION: Final = 1
FEW: Final = 500  # rows that go in one step
WAL_LIMIT: Final = 8 << 20  # octets of the log, after which it is taken into the database
_BUSY_MS: Final = 200  # the event loop waits; nobody else has business in this file
_SCHEMA: Final = f"""
CREATE TABLE request (num INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, token TEXT NOT NULL,
    digest BLOB NOT NULL, at INTEGER NOT NULL, status INTEGER, answer BLOB, UNIQUE (key, token));
CREATE TABLE message (num INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, key TEXT NOT NULL, at INTEGER NOT NULL,
    request INTEGER, place INTEGER, accepted INTEGER NOT NULL DEFAULT 0, gone INTEGER NOT NULL DEFAULT 0);
CREATE INDEX message_request ON message (request, place) WHERE request IS NOT NULL;
CREATE TABLE outcome (id TEXT NOT NULL, address TEXT NOT NULL, state TEXT NOT NULL, at INTEGER NOT NULL,
    attempts INTEGER NOT NULL, reply TEXT NOT NULL, PRIMARY KEY (id, address)) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
"""


class Earlier(Struct, frozen=True):
    """A request that was made before: `answer` once it is finished; the ids of its messages by place, if accepted."""

    num: int
    digest: bytes
    status: int
    answer: bytes | None
    accepted: dict[int, str]


class SentMessage(NamedTuple):
    """One message: whose it is, when it came, whether the spool took it, whether it is known to have left it."""

    key: str
    at: int
    accepted: bool
    gone: bool


class Outcome(NamedTuple):
    """What became of one recipient; `state` is delivered, failed or dropped."""

    id: str
    address: str
    state: str
    at: int
    attempts: int
    reply: str


class Sent:
    """The tables in the file at `path`."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened yet."""
        self._path = path
        self._db: apsw.Connection | None = None
        self._wal = -1
        self._syncing: asyncio.Future[None] | None = None
        self._next: asyncio.Future[None] | None = None

    def open(self) -> None:
        """Open or make the file; SpoolError when that cannot be, or another version made it. Blocks."""
        try:
            db, version = open_shared(self._path, _BUSY_MS, _SCHEMA, "PRAGMA wal_autocheckpoint = 0")
            if version not in (0, VERSION):
                raise SpoolError(f"{self._path} is of another version of this program; set it aside")
            self._wal = os.open(f"{self._path}-wal", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except (apsw.Error, OSError) as error:
            raise SpoolError(f"{self._path} cannot be opened: {error}; set it aside to begin anew") from error
        self._db = db

    def close(self) -> None:
        """Let go; what was written stays."""
        if self._wal >= 0:
            os.close(self._wal)
            self._wal = -1
        if self._db is not None:
            with contextlib.suppress(apsw.Error):
                self._db.close()
            self._db = None

    # -- requests ------------------------------------------------------------------------------

    def earlier(self, key: str, token: str, since: int) -> Earlier | None:
        """The request that `key` made with `token` at `since` or later."""
        rows = list(
            self._run(
                "SELECT num, digest, status, answer FROM request WHERE key = ? AND token = ? AND at >= ?",
                (key, token, since),
            )
        )
        if not rows:
            return None
        num, digest, status, answer = rows[0]
        found = self._run("SELECT place, id FROM message WHERE request = ? AND accepted", (num,))
        return Earlier(
            int(str(num)),
            _octets(digest),
            int(str(status or 0)),
            None if answer is None else _octets(answer),
            {int(str(place)): str(queue_id) for place, queue_id in found},
        )

    def begin(self, key: str, token: str, digest: bytes, now: int) -> int:
        """Remember a request before anything is done for it; its number."""
        with self._transaction():
            self._run("DELETE FROM request WHERE key = ? AND token = ?", (key, token))
            self._run("INSERT INTO request (key, token, digest, at) VALUES (?, ?, ?, ?)", (key, token, digest, now))
        return 0 if self._db is None else self._db.last_insert_rowid()

    def finish(self, num: int, status: int, answer: bytes) -> None:
        """The request has its answer, which its repetitions get too."""
        self._run("UPDATE request SET status = ?, answer = ? WHERE num = ?", (status, answer, num))

    # -- messages ------------------------------------------------------------------------------

    def expect(self, key: str, messages: Sequence[tuple[str, int]], request: int, now: int) -> None:
        """Messages, as (queue id, place in the request), are about to be given to the spool; `request` 0: of none."""
        with self._transaction():
            for queue_id, place in messages:
                self._run(
                    "INSERT INTO message (id, key, at, request, place) VALUES (?, ?, ?, ?, ?)",
                    (queue_id, key, now, request or None, place),
                )

    def accepted(self, queue_id: str) -> None:
        """The spool has the message."""
        self._run("UPDATE message SET accepted = 1 WHERE id = ?", (queue_id,))

    def unfinished(self) -> list[str]:
        """Ids of messages of requests without an answer, of which it is not known whether the spool has them."""
        text = """SELECT m.id FROM message AS m JOIN request AS r ON r.num = m.request
            WHERE r.answer IS NULL AND NOT m.accepted"""
        return [str(row[0]) for row in self._run(text, ())]

    def message(self, queue_id: str) -> SentMessage | None:
        """One message; None when it did not come in by the API, or too long ago."""
        for key, at, accepted, gone in self._run(
            "SELECT key, at, accepted, gone FROM message WHERE id = ?", (queue_id,)
        ):
            return SentMessage(str(key), int(str(at)), bool(accepted), bool(gone))
        return None

    def waiting(self, most: int) -> list[str]:
        """Ids of the newest messages that are not known to have left the spool."""
        text = "SELECT id FROM message WHERE accepted AND NOT gone ORDER BY num DESC LIMIT ?"
        return [str(row[0]) for row in self._run(text, (most,))]

    # -- outcomes ------------------------------------------------------------------------------

    def note(self, outcomes: Sequence[Outcome], gone: Sequence[str]) -> None:
        """What became of recipients, and which messages left the spool."""
        with self._transaction():
            for one in outcomes:
                self._run("INSERT OR REPLACE INTO outcome VALUES (?, ?, ?, ?, ?, ?)", tuple(one))
            for queue_id in gone:
                self._run("UPDATE message SET gone = 1 WHERE id = ?", (queue_id,))

    def outcomes(self, queue_id: str) -> list[Outcome]:
        """What became of the recipients of a message."""
        rows = self._run("SELECT id, address, state, at, attempts, reply FROM outcome WHERE id = ?", (queue_id,))
        return [
            Outcome(str(name), str(address), str(state), int(str(at)), int(str(tries)), str(reply))
            for name, address, state, at, tries, reply in rows
        ]

    # -- housekeeping --------------------------------------------------------------------------

    def expire(self, requests: int, messages: int) -> bool:
        """Forget a few of what is older than these instants; True when there may be more."""
        aged = [row[:1] for row in self._oldest("SELECT num, at FROM request ORDER BY num LIMIT ?", requests)]
        found = self._oldest("SELECT num, at, id FROM message ORDER BY num LIMIT ?", messages)
        if not aged and not found:
            return False
        with self._transaction():
            for row in aged:
                self._run("DELETE FROM request WHERE num = ?", row)
            for num, _, queue_id in found:
                self._run("DELETE FROM message WHERE num = ?", (num,))
                self._run("DELETE FROM outcome WHERE id = ?", (queue_id,))
        return max(len(aged), len(found)) == FEW

    def _oldest(self, text: str, since: int) -> list[tuple[object, ...]]:
        """Of the rows that came first those that are too old, as (number, time, ...)."""
        if not any(int(str(row[1])) < since for row in self._run(text, (1,))):  # numbers grow as time does
            return []
        return [row for row in self._run(text, (FEW,)) if int(str(row[1])) < since]

    async def sync(self) -> None:
        """Return when the disk has what was written before; SpoolError when it does not take it."""
        if self._syncing is not None:  # one runs that may have begun too early: share the one after it
            if self._next is None:
                self._next = asyncio.get_running_loop().create_future()
                self._next.add_done_callback(_looked_at)
            await asyncio.shield(self._next)
            return
        await self._sync_once()

    async def _sync_once(self) -> None:
        loop = asyncio.get_running_loop()
        mine = self._syncing = self._next or loop.create_future()
        mine.add_done_callback(_looked_at)
        self._next = None
        try:
            await loop.run_in_executor(None, os.fdatasync, self._wal)
        except OSError as error:
            fault = _fault(error)
            mine.set_exception(fault)
            raise fault from error
        else:
            mine.set_result(None)
        finally:
            self._syncing = None
            if self._is_wanted():
                self._again = asyncio.ensure_future(self._sync_quietly())

    def _is_wanted(self) -> bool:
        return self._next is not None

    async def _sync_quietly(self) -> None:
        with contextlib.suppress(SpoolError):  # who waits hears of it
            await self._sync_once()

    async def tidy(self) -> None:
        """Take the log into the database when it has grown."""
        if self._wal >= 0 and os.fstat(self._wal).st_size > WAL_LIMIT:
            await asyncio.get_running_loop().run_in_executor(None, self._checkpoint)

    def _checkpoint(self) -> None:
        with contextlib.suppress(apsw.Error):  # it is tried again
            db = apsw.Connection(str(self._path))
            try:
                db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            finally:
                db.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._run("BEGIN IMMEDIATE", ())
        try:
            yield
        except BaseException:
            with contextlib.suppress(SpoolError):
                self._run("ROLLBACK", ())
            raise
        self._run("COMMIT", ())

    def _run(self, text: str, values: Sequence[object]) -> Iterator[tuple[object, ...]]:
        if self._db is None:
            raise SpoolError(f"{self._path} is not open")
        try:
            return iter(self._db.execute(text, tuple(values)).fetchall())
        except apsw.Error as error:
            raise _fault(error) from error


def _octets(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


def _fault(error: Exception) -> SpoolError:
    text = f"what came in by the API cannot be written down: {error}"
    full = isinstance(error, apsw.FullError) or (isinstance(error, OSError) and error.errno == 28)
    return SpoolFullError(text) if full else SpoolError(text)


def _looked_at(future: "asyncio.Future[None]") -> None:
    if not future.cancelled():
        future.exception()
