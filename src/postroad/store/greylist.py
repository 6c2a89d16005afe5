"""What greylisting remembers, in one SQLite file that all edges of this machine share.

Every try is one short transaction in a thread of its own: sessions wait for it, the event loop does not. No try
is synced (a power cut may cost the latest, which then wait again), but a killed process loses nothing. The file has
a bound: what is forgotten goes, and beyond it what would be forgotten first. A file that is damaged is begun anew.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import apsw

from postroad.model.errors import TableError
from postroad.model.greylisting import Ruling, Seen, Standing, Terms, key_of, rule
from postroad.store.opening import open_shared

VERSION: Final = 1
PATIENCE: Final = 20.0  # seconds for one try, after which it is judged without us
TIDY_EVERY: Final = 500  # tries between two looks for what is to go
FEW: Final = 2000  # rows that go in one look
_BUSY_MS: Final = 10_000  # for other edges
_SCHEMA: Final = f"""
CREATE TABLE pair (key BLOB PRIMARY KEY, first INTEGER NOT NULL, latest INTEGER NOT NULL, passed INTEGER NOT NULL,
    until INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX pair_until ON pair (until);
CREATE TABLE party (name TEXT PRIMARY KEY, passes INTEGER NOT NULL, latest INTEGER NOT NULL, until INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE INDEX party_until ON party (until);
PRAGMA user_version = {VERSION};
"""


class GreylistFile:
    """The file at `path`, with at most about `size` pairs; implements `postroad.model.greylisting.Greylist`."""

    def __init__(self, path: Path, size: int, now: Callable[[], int]) -> None:
        """Nothing is opened before the first try; `now` is the clock, in microseconds since 1970."""
        self._path = path
        self._size = size
        self._now = now
        self._thread = ThreadPoolExecutor(1, "greylist")
        self._db: apsw.Connection | None = None
        self._tries = 0

    async def judge(self, parties: Sequence[str], pair: tuple[str, str], terms: Terms) -> Ruling:
        """The ruling on a try of `pair` by a client that is `parties`; TableError when there is none in time."""
        work = (tuple(parties), pair, terms, self._now())
        try:
            async with asyncio.timeout(PATIENCE):
                return await asyncio.get_running_loop().run_in_executor(self._thread, self._judge, *work)
        except TimeoutError:
            raise TableError(f"{self._path}: no answer within {PATIENCE:g} s") from None

    def close(self) -> None:
        """Let go of the file, after what is still asked."""
        self._thread.submit(self._shut)
        self._thread.shutdown(wait=False)

    # -- in the thread -------------------------------------------------------------------------

    def _judge(self, parties: tuple[str, ...], pair: tuple[str, str], terms: Terms, now: int) -> Ruling:
        try:
            try:
                return self._try(self._open(), parties, pair, terms, now)
            except (apsw.CorruptError, apsw.NotADBError):
                self._begin_anew()
                return self._try(self._open(), parties, pair, terms, now)
        except (apsw.Error, OSError) as error:
            self._shut()
            raise TableError(f"{self._path}: {error}") from None

    def _try(
        self, db: apsw.Connection, parties: tuple[str, ...], pair: tuple[str, str], terms: Terms, now: int
    ) -> Ruling:
        db.execute("BEGIN IMMEDIATE")
        try:
            keys = [key_of(party, pair) for party in parties]
            known = [_seen(db, key) for key in keys]
            ruling = rule(known, [_standing(db, party) for party in parties], terms, now)
            if ruling.state == "proven":
                _touch(db, parties, now, now + terms.life)
            else:
                passed = ruling.state == "passed"
                until = now + terms.life if passed else ruling.first + terms.window
                for key in keys:
                    db.execute(
                        "INSERT OR REPLACE INTO pair VALUES (?, ?, ?, ?, ?)", (key, ruling.first, now, passed, until)
                    )
                if ruling.counts:
                    _credit(db, parties, now, now + terms.life)
            self._tries += 1
            if self._tries % TIDY_EVERY == 0:
                self._tidy(db, now)
        except BaseException:
            with contextlib.suppress(apsw.Error):
                db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")
        return ruling

    def _tidy(self, db: apsw.Connection, now: int) -> None:
        """A few of what is forgotten go; and of what is too many, the first to be forgotten."""
        for table, name in (("pair", "key"), ("party", "name")):
            oldest = f"SELECT {name} FROM {table}"  # noqa: S608  names of our own
            gone = f"DELETE FROM {table} WHERE {name} IN ({oldest}"  # noqa: S608
            db.execute(f"{gone} WHERE until < ? ORDER BY until LIMIT {FEW})", (now,))
            rows = db.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
            over = (int(str(rows[0])) if rows else 0) - self._size
            if over > 0:
                db.execute(f"{gone} ORDER BY until LIMIT ?)", (min(over, FEW),))

    def _open(self) -> apsw.Connection:
        if self._db is not None:
            return self._db
        self._db, version = open_shared(self._path, _BUSY_MS, _SCHEMA, "PRAGMA cache_size = -8192")
        if version not in (0, VERSION):
            raise apsw.NotADBError("it is of another version of this program")
        return self._db

    def _begin_anew(self) -> None:
        self._shut()
        for name in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + name).unlink(missing_ok=True)

    def _shut(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with contextlib.suppress(apsw.Error):
                db.close(force=True)


def _seen(db: apsw.Connection, key: bytes) -> Seen | None:
    row = db.execute("SELECT first, latest, passed FROM pair WHERE key = ?", (key,)).fetchone()
    return None if row is None else Seen(int(str(row[0])), int(str(row[1])), bool(row[2]))


def _standing(db: apsw.Connection, party: str) -> Standing | None:
    row = db.execute("SELECT passes, latest FROM party WHERE name = ?", (party,)).fetchone()
    return None if row is None else Standing(int(str(row[0])), int(str(row[1])))


def _touch(db: apsw.Connection, parties: Sequence[str], now: int, until: int) -> None:
    for party in parties:
        db.execute("UPDATE party SET latest = ?, until = ? WHERE name = ?", (now, until, party))


def _credit(db: apsw.Connection, parties: Sequence[str], now: int, until: int) -> None:
    for party in parties:
        db.execute(
            "INSERT INTO party VALUES (?, 1, ?, ?) ON CONFLICT (name) DO UPDATE SET "
            "passes = CASE WHEN until < excluded.latest THEN 1 ELSE passes + 1 END, "
            "latest = excluded.latest, until = excluded.until",
            (party, now, until),
        )
