"""Files of entries that rules refer to: read when the configuration is, and again when they change.

One entry a line; "#" begins a comment at the start of a line. Looking and reading happen in a thread, so that a slow
disk holds up no mail, and begin when rules are asked: without mail nobody looks. A broken file changes nothing.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from postroad.model.errors import TableError
from postroad.model.records import Emit, Record, TableLoaded, TableRefused
from postroad.policy.listed import Reader
from postroad.store.tablefile import Stamp, TableFileError, stamp_of, text_of

LOOK_EVERY: Final = 2_000_000  # microseconds
ENTRIES: Final = 1_000_000  # of one file


class ListFile:
    """One file: its entries, and who reads them."""

    def __init__(self, path: Path) -> None:
        """Empty until `load`."""
        self.path = path
        self.texts: Sequence[str] = ()
        self.readers: list[Reader] = []
        self._loaded: Stamp | None = None
        self._seen: Stamp | None = None

    def read(self) -> list[str]:
        """Its entries as they are now; TableError says why they cannot be had."""
        self._loaded = self._seen = stamp_of(self.path)
        lines = (line.strip() for line in text_of(self.path).split("\n"))
        entries = [line for line in lines if line and not line.startswith("#")]
        if len(entries) > ENTRIES:
            raise TableFileError(f"has more than {ENTRIES} entries")
        return entries

    def prepare(self) -> "Change":
        """Read it again and let its readers make of it what they need; TableError when one of them cannot."""
        texts = self.read()
        try:
            return Change(self, texts, [reader.prepare(self, texts) for reader in self.readers])
        except ValueError as error:
            raise TableFileError(str(error)) from None

    def has_changed(self) -> bool:
        """True once the file is another than the one read last and has stayed so since the look before."""
        stamp = stamp_of(self.path)
        is_settled, self._seen = stamp == self._seen, stamp
        return is_settled and stamp != self._loaded


class Change(Struct, frozen=True):
    """A file has other entries: `put` has what puts them in force."""

    file: ListFile
    texts: Sequence[str]
    put: list[Callable[[], None]]


class Trouble(Struct, frozen=True):
    """A file has changed and cannot be used."""

    file: ListFile
    why: TableError


class ListFiles:
    """All files of a configuration."""

    def __init__(self) -> None:
        """None yet."""
        self._files: dict[str, ListFile] = {}
        self._next = 0
        self._looking: asyncio.Future[list[Change | Trouble]] | None = None
        self._emit: Emit = _nobody

    def file(self, path: str) -> ListFile:
        """The file at `path`, read when it is first asked for; TableError when it cannot be."""
        found = self._files.get(path)
        if found is None:
            found = ListFile(Path(path))
            try:
                found.texts = found.read()
            except TableError as error:
                raise TableError(f"{path}: {error}") from None
            self._files[path] = found
        return found

    def watch(self, emit: Emit) -> Callable[[int], None] | None:
        """What is to be called whenever rules are asked; None without files. `emit` hears of changes."""
        self._emit = emit
        return self._look if self._files else None

    def _look(self, now: int) -> None:
        if now < self._next or self._looking is not None:
            return
        self._next = now + LOOK_EVERY
        self._looking = asyncio.get_running_loop().run_in_executor(None, self._changed)
        self._looking.add_done_callback(lambda done: self._take(done.result(), now))

    def _changed(self) -> list[Change | Trouble]:
        found: list[Change | Trouble] = []
        for file in self._files.values():
            if file.has_changed():
                try:
                    found.append(file.prepare())
                except TableError as error:
                    found.append(Trouble(file, error))
        return found

    def _take(self, found: Sequence[Change | Trouble], now: int) -> None:
        self._looking = None
        for one in found:
            path = str(one.file.path)
            if isinstance(one, Trouble):
                line = one.why.line if isinstance(one.why, TableFileError) else 0
                self._emit(TableRefused(at=now, table=path, line=line, reason=str(one.why), problems=1))
                continue
            one.file.texts = one.texts
            for put in one.put:
                put()
            self._emit(TableLoaded(at=now, table=path, entries=len(one.texts)))


def _nobody(_record: Record) -> None:
    """Hears of changes before somebody else does."""
