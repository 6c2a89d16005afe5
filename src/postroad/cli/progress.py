"""A progress bar for long reading of the spool, on standard error when that is a terminal; else nothing.

Progress is told in octets read, counted where the spool reads them, so the work itself knows nothing of it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from postroad.spool.disk import Disk


@contextmanager
def reading(folder: Path, words: str) -> Iterator[Disk]:
    """The disk to read `folder` with, while a bar with `words` shows how far it got."""
    if not sys.stderr.isatty():
        yield Disk()
        return
    total = sum(file.stat().st_size for part in ("journal", "content") for file in (folder / part).rglob("*"))
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield CountingDisk(bar, bar.add_task(words, total=total))


class CountingDisk(Disk):
    """A disk that tells a bar what was read."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        """Advance `task` of `bar`."""
        self._bar = bar
        self._task = task

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        """As `Disk.pread`."""
        found = super().pread(fd, length, offset)
        self._bar.advance(self._task, len(found))
        return found
