"""Tables in files: read at start, read again when they change, swapped whole; a broken one changes nothing.

Looking and reading happen in a thread, so that neither a slow disk nor a large file holds up mail.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from postroad.aliases.patterns import Patterns, parse_patterns
from postroad.aliases.table import Entries, Expressions, Find
from postroad.aliases.text import Content, Flaw, parse_table
from postroad.model.records import Emit, Record, TableLoaded, TableRefused
from postroad.net.clock import Clock
from postroad.store.tablefile import Stamp, TableFileError, stamp_of, text_of

LOOK_EVERY: Final = 2.0  # seconds
Parse = Callable[[str], Content]


class Reading(Struct):
    """A file as it was read: `content` may be used when there are no flaws."""

    stamp: Stamp | None
    content: Content | Patterns
    flaws: list[Flaw]
    doubts: list[Flaw]


class FileTable:
    """A table in a file: lines that `parse` understands, or regular expressions."""

    def __init__(self, path: Path, *, is_regexp: bool = False, parse: Parse = parse_table) -> None:
        """Empty until `load`."""
        self.path = path
        self._parse = parse
        self._held: Entries | Expressions = (
            Expressions(Patterns([], [])) if is_regexp else Entries(Content({}, frozenset(), [], []))
        )
        self._loaded: Stamp | None = None  # the version that was read last, sound or not
        self._seen: Stamp | None = None  # at the last look

    @property
    def find(self) -> Find:
        """How it is asked; the same through all changes."""
        return self._held.find

    @property
    def entries(self) -> Entries | None:
        """What it holds, when it is a table of addresses."""
        return self._held if isinstance(self._held, Entries) else None

    @property
    def count(self) -> int:
        """How many entries or patterns are in force."""
        held = self._held
        return len(held.content.entries) if isinstance(held, Entries) else len(held.patterns.patterns)

    def named(self) -> frozenset[str]:
        """The domains that stand alone on a line."""
        return self._held.named() if isinstance(self._held, Entries) else frozenset()

    def load(self) -> Reading:
        """Read it now and use it when it is sound."""
        reading = self.read()
        self.take(reading)
        return reading

    def has_changed(self) -> bool:
        """True once the file is another than the one read last and has stayed so since the look before."""
        stamp = stamp_of(self.path)
        is_settled, self._seen = stamp == self._seen, stamp
        return is_settled and stamp != self._loaded

    def read(self) -> Reading:
        """The file as it is now; nothing is used yet."""
        stamp = stamp_of(self.path)
        try:
            text = text_of(self.path)
        except TableFileError as error:
            return Reading(stamp, Patterns([], []), [Flaw(error.line, str(error))], [])
        if isinstance(self._held, Expressions):
            patterns = parse_patterns(text)
            return Reading(stamp, patterns, patterns.flaws, [])
        content = self._parse(text)
        return Reading(stamp, content, content.flaws, content.doubts)

    def take(self, reading: Reading) -> None:
        """Use what was read, from the next look-up on, unless it has flaws."""
        self._loaded = self._seen = reading.stamp
        if reading.flaws:
            return
        match self._held, reading.content:
            case Entries() as held, Content() as content:
                held.content = content
            case Expressions() as held, Patterns() as patterns:
                held.patterns = patterns

    def record(self, reading: Reading, now: int) -> Record:
        """What is told of a reading."""
        if reading.flaws:
            flaw = reading.flaws[0]
            return TableRefused(
                at=now, table=str(self.path), line=flaw.line, reason=flaw.text, problems=len(reading.flaws)
            )
        return TableLoaded(at=now, table=str(self.path), entries=self.count, doubts=len(reading.doubts))


async def watch(files: Sequence[FileTable], clock: Clock, emit: Emit) -> None:
    """Look after `files` until cancelled."""
    while True:
        await clock.sleep(LOOK_EVERY)
        for record in await look(files, clock):
            emit(record)


async def look(files: Sequence[FileTable], clock: Clock) -> list[Record]:
    """Read what has changed, and use it where it is sound; what is to be told."""
    records = []
    changed = await asyncio.to_thread(lambda: [file for file in files if file.has_changed()])
    for file in changed:
        reading = await asyncio.to_thread(file.read)
        file.take(reading)
        records.append(file.record(reading, clock.now()))
    return records
