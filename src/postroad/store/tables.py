"""An SQLite file of the server's own whose calls run on the event loop: they write to the page cache alone (WAL).

Nothing is opened before the first call. Who only reads leaves the file as it is, and makes none. A file of another
version of this program is refused, never changed.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import apsw

from postroad.model.errors import SpoolError
from postroad.store.opening import open_shared

_BUSY_MS: Final = 200  # the event loop waits


class Tables:
    """The file at `path`; for the stores that have their tables there."""

    def __init__(
        self, path: Path, what: str, schema: str, version: int, *, reads_only: bool, patience: int = _BUSY_MS
    ) -> None:
        """`what` is in it, for people; `schema` makes it anew, and sets `version`.

        `patience` is how many milliseconds other processes at the file are waited for.
        """
        self._patience = patience
        self._path = path
        self._what = what
        self._schema = schema
        self._version = version
        self._reads_only = reads_only
        self._db: apsw.Connection | None = None

    def run(self, text: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        """The rows of one statement; SpoolError when the file cannot be used."""
        if self._reads_only and not self._path.exists():
            return []
        try:
            return list(self._opened().execute(text, values))
        except (apsw.Error, OSError) as error:
            if not isinstance(error, apsw.BusyError | apsw.FullError):
                self.close()
            raise SpoolError(f"{self._what} in {self._path} cannot be used: {error}") from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is run within holds, or, with SpoolError, nothing of it."""
        self.run("BEGIN IMMEDIATE")
        try:
            yield
            self.run("COMMIT")
        except SpoolError:
            with suppress(SpoolError):
                self.run("ROLLBACK")
            raise

    def close(self) -> None:
        """Let go of the file."""
        db, self._db = self._db, None
        if db is not None:
            db.close(force=True)

    def _opened(self) -> apsw.Connection:
        if self._db is not None:
            return self._db
        if self._reads_only:
            self._db = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
            return self._db
        db, version = open_shared(self._path, self._patience, self._schema)
        if version not in (0, self._version):
            db.close()
            raise SpoolError(f"{self._path} is of another version of this program; set it aside")
        self._db = db
        return db
