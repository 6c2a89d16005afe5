"""MTA-STS policies in an SQLite file: they outlive restarts, and every process sees the same. RFC 8461 3.3.

Calls run on the event loop: they write to the page cache alone (WAL). The file is a cache, yet losing it would let an
attacker choose when policies are forgotten: whoever cannot write it says so. At most LIMIT domains are kept, those that
were looked at last.
"""

from pathlib import Path
from typing import Final

import msgspec

from postroad.model.sts import StsKept
from postroad.store.tables import Tables

LIMIT: Final = 10_000  # domains
VERSION: Final = 1
_SCHEMA: Final = f"""
CREATE TABLE policy (domain TEXT PRIMARY KEY, looked INTEGER NOT NULL, kept BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX policy_looked ON policy (looked);
PRAGMA user_version = {VERSION};
"""
_decode: Final = msgspec.json.Decoder(StsKept).decode


class StsStore:
    """The table in the file at `path`."""

    def __init__(self, path: Path, *, reads_only: bool = False) -> None:
        """Nothing is opened before the first call; who `reads_only` leaves the file as it is, and makes none."""
        self._reads_only = reads_only
        self._tables = Tables(path, "MTA-STS policies", _SCHEMA, VERSION, reads_only=reads_only)

    def get(self, domain: str) -> StsKept | None:
        """What is kept of `domain`; SpoolError when the file cannot be read."""
        for (octets,) in self._tables.run("SELECT kept FROM policy WHERE domain = ?", (domain,)):
            return _read(octets)
        return None

    def put(self, kept: StsKept) -> None:
        """Keep it, in the place of what was kept of the domain."""
        if self._reads_only:
            return
        row = (kept.domain, kept.looked, msgspec.json.encode(kept))
        self._tables.run("INSERT OR REPLACE INTO policy VALUES (?, ?, ?)", row)
        text = "DELETE FROM policy WHERE domain IN (SELECT domain FROM policy ORDER BY looked DESC LIMIT -1 OFFSET ?)"
        self._tables.run(text, (LIMIT,))

    def forget(self, domain: str) -> None:
        """Keep nothing of `domain`."""
        if self._reads_only:
            return
        self._tables.run("DELETE FROM policy WHERE domain = ?", (domain,))

    def all(self) -> list[StsKept]:
        """Everything, those first that were looked at last."""
        rows = self._tables.run("SELECT kept FROM policy ORDER BY looked DESC LIMIT ?", (LIMIT,))
        return [kept for kept in (_read(octets) for (octets,) in rows) if kept is not None]

    def close(self) -> None:
        """Let go of the file."""
        self._tables.close()


def _read(octets: object) -> StsKept | None:
    """A row; None when it is damaged, as if it were not there."""
    try:
        return _decode(octets if isinstance(octets, bytes) else b"")
    except msgspec.MsgspecError:
        return None
