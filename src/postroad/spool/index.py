"""The index: recipients by due time, lane and deadline, in SQLite. A cache of the journals.

Written by one thread, in bulk statements, because each step of SQLite gives the GIL away. A lane's `next_due`
is a lower bound, made exact when the lane is looked at; so a lease finds work without walking over rows
that wait for closed lanes. `synchronous=NORMAL`: a power cut may cost the newest transactions, which the
journals then give again; `apply(full=True)` waits for the disk.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Final, TypeVar
from zlib import crc32

import apsw
import msgspec

from postroad.spool.ops import Ops, Position, RecipientRow, Update
from postroad.spool.shut import ShutLanes

VERSION: Final = 2  # an index of another version is made anew from the journals
CACHE_KIB: Final = 64 * 1024
NAMES_KEPT: Final = 65_536  # numbers of lanes and of domains remembered, so that most rows need no look-up
IN_MEMORY: Final = ":memory:"
_BLOCKS: Final = (64, 16, 4, 1)  # rows in one statement

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS position (journal TEXT PRIMARY KEY, segment INTEGER, offset INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lane (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, next_due INTEGER);
CREATE TABLE IF NOT EXISTS domain (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE INDEX IF NOT EXISTS lane_due ON lane (next_due) WHERE next_due IS NOT NULL;
CREATE TABLE IF NOT EXISTS message (
    num INTEGER PRIMARY KEY, id TEXT NOT NULL, journal TEXT NOT NULL, segment INTEGER NOT NULL,
    offset INTEGER NOT NULL, length INTEGER NOT NULL, sender TEXT NOT NULL, size INTEGER NOT NULL,
    arrived INTEGER NOT NULL, recipients INTEGER NOT NULL, file INTEGER NOT NULL, domain INTEGER NOT NULL,
    mark INTEGER NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS message_id ON message (id);
CREATE INDEX IF NOT EXISTS message_place ON message (journal, segment, offset, length);
CREATE INDEX IF NOT EXISTS message_file ON message (id) WHERE file;
CREATE INDEX IF NOT EXISTS message_sender ON message (mark);
CREATE INDEX IF NOT EXISTS message_domain ON message (domain);
CREATE INDEX IF NOT EXISTS message_arrived ON message (arrived);
CREATE INDEX IF NOT EXISTS message_size ON message (size) WHERE size > 1048576;
CREATE TABLE IF NOT EXISTS recipient (
    num INTEGER NOT NULL, idx INTEGER NOT NULL, address TEXT NOT NULL, lane INTEGER NOT NULL,
    due INTEGER NOT NULL, deadline INTEGER, status INTEGER NOT NULL, attempts INTEGER NOT NULL,
    warned INTEGER NOT NULL, reply TEXT NOT NULL, leased INTEGER NOT NULL, moved INTEGER NOT NULL,
    domain INTEGER NOT NULL, mark INTEGER NOT NULL, PRIMARY KEY (num, idx)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trail (num INTEGER NOT NULL, idx INTEGER NOT NULL, trail TEXT NOT NULL,
    PRIMARY KEY (num, idx)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS recipient_due ON recipient (lane, due) WHERE leased = 0 AND status = 0;
CREATE INDEX IF NOT EXISTS recipient_deadline ON recipient (deadline)
    WHERE leased = 0 AND status = 0 AND deadline IS NOT NULL;
CREATE INDEX IF NOT EXISTS recipient_leased ON recipient (leased) WHERE leased = 1;
CREATE INDEX IF NOT EXISTS recipient_held ON recipient (num) WHERE status = 1;
CREATE INDEX IF NOT EXISTS recipient_lane ON recipient (lane, num, status);
CREATE INDEX IF NOT EXISTS recipient_domain ON recipient (domain, num, status);
CREATE INDEX IF NOT EXISTS recipient_address ON recipient (mark);
"""
_INSERT_MESSAGE: Final = "INSERT OR REPLACE INTO message VALUES {}"
_INSERT_RECIPIENT: Final = "INSERT OR REPLACE INTO recipient VALUES {}"
_UPDATE: Final = """UPDATE recipient SET status = v.column3, due = v.column4, deadline = v.column5,
    attempts = v.column6, warned = v.column7, reply = v.column8, leased = coalesce(v.column9, leased),
    lane = coalesce(v.column10, lane), moved = v.column11
    FROM (VALUES {}) AS v WHERE recipient.num = v.column1 AND recipient.idx = v.column2"""
_MOVE: Final = """UPDATE message SET journal = v.column2, segment = v.column3, offset = v.column4, length = v.column5
    FROM (VALUES {}) AS v WHERE message.num = v.column1"""
_LOWER_LANE: Final = """UPDATE lane SET next_due = v.column2 FROM (VALUES {}) AS v
    WHERE lane.id = v.column1 AND (lane.next_due IS NULL OR lane.next_due > v.column2)"""
_TRAIL: Final = "INSERT OR REPLACE INTO trail VALUES {}"
_POSITION: Final = "INSERT OR REPLACE INTO position VALUES {}"

Value = int | str | None
T = TypeVar("T")


def connect(path: Path) -> apsw.Connection:
    """The index at `path` for reading and writing, made when it is missing; apsw.Error when it is none of ours."""
    if str(path) != IN_MEMORY:
        path.touch(mode=0o600)  # SQLite gives the files beside it the same mode
    db = apsw.Connection(str(path))
    try:
        db.set_busy_timeout(5000)
        for pragma in (
            "journal_mode = WAL",
            "synchronous = NORMAL",
            f"cache_size = -{CACHE_KIB}",
            "temp_store = MEMORY",
            "wal_autocheckpoint = 4000",
            "journal_size_limit = 67108864",
        ):
            db.execute(f"PRAGMA {pragma}").fetchall()
        version = db.pragma("user_version")
        if version not in (0, VERSION):
            raise apsw.NotADBError(f"the index has version {version}, this program writes {VERSION}")
        db.execute(SCHEMA)
        db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("SELECT max(num) FROM message").fetchall()
    except BaseException:
        db.close()
        raise
    return db


def is_outdated(path: Path) -> bool:
    """True when the index at `path` can be read, but has another form than this program's."""
    if not path.exists():
        return False
    try:
        db = apsw.Connection(str(path))
        try:
            return db.pragma("user_version") not in (0, VERSION)
        finally:
            db.close()
    except apsw.Error:
        return False


class Index:
    """The writing end; every method belongs to the index thread."""

    def __init__(self, db: apsw.Connection) -> None:
        """Take the connection over."""
        self.db = db
        self._lanes = _Names(self, "lane")
        self._domains = _Names(self, "domain")
        self.shut = ShutLanes(db)
        self._waiting: list[Ops] = []  # handed over, not yet committed: the newest commit failed

    def close(self) -> None:
        """Fold the WAL in and close."""
        self.db.execute("PRAGMA optimize")
        self.db.close()

    def last_num(self) -> int:
        """The highest number given to a message."""
        return number(self.db, "SELECT coalesce(max(num), 0) FROM message")

    def positions(self) -> dict[str, Position]:
        """Up to where each journal is applied."""
        found = select(self.db, Position, "SELECT journal, segment, offset FROM position")
        return {position.journal: position for position in found}

    def apply(self, ops: Ops | None = None, *, full: bool = False) -> None:
        """Commit `ops` and what earlier calls could not; apsw.Error: all of it is kept for the next call.

        `full` waits until this and every earlier commit is on the disk; `ops` must then have a position to write.
        """
        if ops is not None and not (ops.is_empty and ops.position is None):
            self._waiting.append(ops)
        if not self._waiting:
            return
        if full:
            self.db.execute("PRAGMA synchronous = FULL")
        try:
            self._transact()
        finally:
            if full:
                self.db.execute("PRAGMA synchronous = NORMAL")
        self._waiting.clear()

    def _transact(self) -> None:
        self.db.execute("BEGIN IMMEDIATE")
        try:
            for ops in self._waiting:
                self._apply(ops)
            self.db.execute("COMMIT")
        except BaseException:
            self._lanes.clear()  # numbers that the failed transaction gave out
            self._domains.clear()
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise

    def _apply(self, ops: Ops) -> None:
        wanted = {row.lane for row in ops.recipients}
        wanted.update(row.lane for row in ops.updates.values() if row.lane is not None)
        lanes = self._lanes.numbers(wanted)
        lowest: dict[int, int] = {}
        if ops.messages:
            senders = [(row, domain_of(row.sender)) for row in ops.messages]
            addresses = [(row, domain_of(row.address)) for row in ops.recipients]
            domains = self._domains.numbers({domain for _, domain in (*senders, *addresses)})
            self.bulk(_INSERT_MESSAGE, [(*row, domains[name], mark_of(row.sender)) for row, name in senders])
            rows = [_recipient(row, lanes[row.lane], domains[name], lowest) for row, name in addresses]
            self.bulk(_INSERT_RECIPIENT, rows)
        if ops.updates:
            self.bulk(_UPDATE, [_update(row, lanes, lowest) for row in ops.updates.values()])
        if ops.trails:
            self.bulk(_TRAIL, [(*key, trail) for key, trail in ops.trails.items()])
        if ops.moved:
            self.bulk(_MOVE, [(num, p.journal, p.segment, p.offset, p.length) for num, p in ops.moved.items()])
        if ops.removed:
            self.remove(ops.removed)
        if lowest:
            self.bulk(_LOWER_LANE, list(lowest.items()))
        if ops.position is not None:
            self.bulk(_POSITION, [ops.position, *ops.others])

    def remove(self, nums: Sequence[int]) -> None:
        """Forget messages."""
        for start, count in _blocks(len(nums)):
            marks = ",".join("?" * count)
            part = nums[start : start + count]
            self.db.execute(f"DELETE FROM recipient WHERE num IN ({marks})", part)  # noqa: S608  only question marks
            self.db.execute(f"DELETE FROM trail WHERE num IN ({marks})", part)  # noqa: S608  only question marks
            self.db.execute(f"DELETE FROM message WHERE num IN ({marks})", part)  # noqa: S608

    def bulk(self, statement: str, rows: Sequence[Sequence[Value]]) -> None:
        """Run `statement` for all `rows`, many at a time."""
        if not rows:
            return
        mark = f"({','.join('?' * len(rows[0]))})"
        for start, count in _blocks(len(rows)):
            values = list(chain.from_iterable(rows[start : start + count]))
            self.db.execute(statement.format(",".join([mark] * count)), values)

    def forget_names(self) -> None:
        """Remove lanes that no recipient waits in, and domains of nobody."""
        self.db.execute("DELETE FROM lane WHERE next_due IS NULL AND id NOT IN (SELECT lane FROM recipient)")
        used = "SELECT domain FROM recipient UNION SELECT domain FROM message"
        self.db.execute(f"DELETE FROM domain WHERE id NOT IN ({used})")  # noqa: S608  constants only
        self._lanes.clear()
        self._domains.clear()
        self.shut.forget()


class _Names:
    """The numbers that the index gives to names of one kind: the rows have numbers alone."""

    def __init__(self, index: Index, table: str) -> None:
        self._index = index
        self._insert = f"INSERT INTO {table} (name) VALUES {{}} ON CONFLICT DO NOTHING"  # noqa: S608  a word of ours
        self._find = f"SELECT name, id FROM {table} WHERE name IN ({{}})"  # noqa: S608  likewise
        self._known: dict[str, int] = {}

    def clear(self) -> None:
        self._known.clear()

    def numbers(self, wanted: Collection[str]) -> dict[str, int]:
        """The numbers of all names in `wanted`, given out where there is none yet."""
        known = self._known
        missing = [(name,) for name in wanted if name not in known]
        if missing:
            if len(known) + len(missing) > NAMES_KEPT:
                known.clear()
                missing = [(name,) for name in wanted]
            self._index.bulk(self._insert, missing)
            for start, count in _blocks(len(missing)):
                names = [row[0] for row in missing[start : start + count]]
                for name, number in self._index.db.execute(self._find.format(",".join("?" * count)), names):
                    known[name] = number
        return known


def _blocks(total: int) -> Iterable[tuple[int, int]]:
    start = 0
    for size in _BLOCKS:
        while total - start >= size:
            yield start, size
            start += size


def _recipient(row: RecipientRow, lane: int, domain: int, lowest: dict[int, int]) -> tuple[Value, ...]:
    if not row.leased and row.status == 0 and row.due < lowest.get(lane, row.due + 1):
        lowest[lane] = row.due
    return (*row[:3], lane, *row[4:], domain, mark_of(row.address))


def _update(row: Update, lanes: dict[str, int], lowest: dict[int, int]) -> tuple[Value, ...]:
    if row.lane is None:
        return row
    lane = lanes[row.lane]
    if row.leased is False and row.status == 0 and row.due < lowest.get(lane, row.due + 1):
        lowest[lane] = row.due
    return (*row[:9], lane, row.moved)


def domain_of(address: str) -> str:
    """The domain of an address, in the case that the index knows it by; none for a null reverse-path."""
    return address.rpartition("@")[2].lower() if "@" in address else ""


def mark_of(address: str) -> int:
    """A number that stands for an address in an index: smaller than the text, and nearly as telling."""
    return crc32(address.lower().encode("utf-8", "surrogatepass"))


def select(
    db: apsw.Connection, kind: type[T], query: str, values: Sequence[Value] | Mapping[str, int | str] = ()
) -> list[T]:
    """All rows that `query` gives, each as a `kind`: a tuple type, NamedTuple or array-like struct.

    apsw.CorruptError when a row is nothing of the kind: what stands there was not written by us.
    """
    try:
        rows = db.execute(query, values).fetchall()
        return msgspec.convert(rows, list[kind], strict=False)  # type: ignore[valid-type]  # a type given at run time
    except (msgspec.ValidationError, UnicodeDecodeError) as error:
        raise apsw.CorruptError(f"a row of the index makes no sense: {error}") from error


def number(db: apsw.Connection, query: str, values: Sequence[Value] = ()) -> int:
    """The one number that `query` gives."""
    return select(db, tuple[int], query, values)[0][0]
