"""Opens an SQLite file that several processes share: of those that come at once, one makes it what it is to be.

Turning a file to WAL mode fails at once where another process does the same, whatever one is willing to wait (SQLite,
"Write-Ahead Logging", 2.2): so they open one after the other, by a lock on the folder.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else who asks for it is in `folder` meanwhile."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def open_shared(path: Path, patience: int, schema: str, more: str = "") -> tuple[apsw.Connection, int]:
    """The file at `path` and its version; 0 when it is new, and has been made by `schema`. apsw.Error, OSError.

    Others that write are waited for `patience` milliseconds; `more` are further pragmas.
    """
    with alone(path.parent):
        if not path.exists():  # closing a file lets go of all of SQLite's locks on it, so it is opened here but once
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = apsw.Connection(str(path))
        try:
            db.set_busy_timeout(patience)
            db.execute(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; {more}")
            db.execute("BEGIN IMMEDIATE")
            found = db.execute("PRAGMA user_version").fetchone()
            version = int(str(found[0])) if found else 0
            if not version:
                db.execute(schema)
            db.execute("COMMIT")
        except BaseException:
            db.close(force=True)
            raise
    return db, version
