"""Old files of a sink: renamed by date, packed by a thread of their own, and only so many kept.

`records.jsonl` becomes `records.jsonl-20261126T003000.123456Z`, then the same with `.gz`. Names sort by age.
Packing writes a file beside it and renames it, so that a crash leaves the old file, which is packed later.
"""

import contextlib
import gzip
import os
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Final

_STAMP: Final = re.compile(r"-\d{8}T\d{6}\.\d{6}Z(\.gz)?")
_LEVEL: Final = 6  # of gzip: the middle, as gzip(1) has it


def is_due(size: int, more: int, day: int, today: int, *, limit: int, daily: bool) -> bool:
    """True when a file of `size` octets begun on `day` must make room before `more` octets are added `today`."""
    if size == 0:
        return False
    return (limit > 0 and more > 0 and size + more > limit) or (daily and day != today)


class Archive:
    """The old files of `path`: at most `keep` of them, packed when `compress`."""

    def __init__(self, path: Path, *, keep: int, compress: bool) -> None:
        """Files of an earlier run are found by their names."""
        self._path = path
        self._keep = keep
        self._compress = compress
        self._is_untidy = True
        self._thread: Thread | None = None
        self._closing = False

    def put_away(self, now: int) -> None:
        """Rename the file for the instant `now`, in microseconds since 1970."""
        while (old := self._named(now)).exists() or old.with_name(f"{old.name}.gz").exists():
            now += 1
        self._path.rename(old)
        self._is_untidy = True
        self.tidy()

    def _named(self, now: int) -> Path:
        moment = datetime.fromtimestamp(now // 1_000_000, UTC)
        return self._path.with_name(f"{self._path.name}-{moment:%Y%m%dT%H%M%S}.{now % 1_000_000:06d}Z")

    def tidy(self) -> None:
        """Pack and remove in the background what has become old; returns at once."""
        if self._is_untidy and (self._thread is None or not self._thread.is_alive()):
            self._is_untidy = False
            self._thread = Thread(target=self._tidy, name=f"packing {self._path.name}", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop packing after the file at hand, within a few seconds; what is left is packed by the next run."""
        self._closing = True
        if self._thread is not None:
            self._thread.join(2.0)

    def old(self) -> list[Path]:
        """The old files, oldest first."""
        prefix = self._path.name
        return sorted(
            file
            for file in self._path.parent.iterdir()
            if file.name.startswith(prefix) and _STAMP.fullmatch(file.name[len(prefix) :])
        )

    def _tidy(self) -> None:
        with contextlib.suppress(OSError):  # a full disk, a file that others removed: the next round sees to it
            found = self.old()
            for file in found[: max(len(found) - self._keep, 0)]:
                file.unlink(missing_ok=True)
            for file in self.old():
                if self._compress and file.suffix != ".gz" and not self._closing:
                    _pack(file)


def _pack(file: Path) -> None:
    packed = file.with_name(f"{file.name}.gz")
    partial = file.with_name(f"{file.name}.part")
    try:
        with file.open("rb") as plain, gzip.open(partial, "wb", compresslevel=_LEVEL) as out:
            shutil.copyfileobj(plain, out, 1 << 20)
        os.chmod(partial, file.stat().st_mode & 0o777)  # noqa: PTH101  one call, as the file it replaces
        partial.rename(packed)
        file.unlink()
    except OSError:
        partial.unlink(missing_ok=True)
        raise
