"""The log: a sink that writes every record as a line to a file descriptor.

Each record is encoded once, on the event loop, in one of three formats; a thread does the writing.
When the reader is slower than the mail, records are left out, and the next line that fits is preceded by
one that says how many (`RecordsDropped`).
"""

import os
from typing import Literal, assert_never

from postroad.model.records import Record, RecordsDropped
from postroad.net.clock import Clock, SystemClock
from postroad.observe.formats.jsonlines import make_json
from postroad.observe.formats.lines import Encode
from postroad.observe.formats.postfix import make_postfix
from postroad.observe.formats.text import make_text
from postroad.observe.writer import LIMIT, LineWriter

FormatName = Literal["json", "postfix", "text"]


def make_format(name: FormatName, *, hostname: str, pid: int) -> Encode:
    """The encoder of the format `name`; `hostname` and `pid` appear in Postfix's lines alone."""
    match name:
        case "json":
            return make_json()
        case "postfix":
            return make_postfix(hostname, pid)
        case "text":
            return make_text()
        case _:
            assert_never(name)


class LogSink:
    """An `Emit` that writes lines of the format `name` to `fd`, which stays the caller's."""

    def __init__(
        self,
        name: FormatName,
        fd: int = 2,
        clock: Clock | None = None,
        *,
        hostname: str = "",
        limit: int = LIMIT,
        is_shared: bool = False,
    ) -> None:
        """Begin to write; `limit` bounds the octets in memory. The clock's timer needs a running event loop.

        `is_shared` when other processes write to `fd` too.
        """
        self._clock = clock if clock is not None else SystemClock()
        self._encode = make_format(name, hostname=hostname, pid=os.getpid())
        self._writer = LineWriter(fd, self._clock, limit=limit, is_shared=is_shared)
        self._dropped = 0
        self.left_out = 0  # records in all that found no room

    def __call__(self, record: Record) -> None:
        """Write `record`, soon; never blocks."""
        line = self._encode(record)
        if self._dropped:
            line = self._encode(RecordsDropped(at=record.at, count=self._dropped)) + line
        if not line:
            return
        if self._writer.add(line):
            self._dropped = 0
        else:
            self._dropped += 1
            self.left_out += 1

    def adopt(self, name: FormatName, hostname: str) -> None:
        """Write the records to come in the format `name`."""
        self._encode = make_format(name, hostname=hostname, pid=os.getpid())

    def flush(self) -> None:
        """Begin to write what is gathered; returns at once."""
        self._writer.flush()

    def close(self, timeout: float = 5.0) -> bool:
        """Write everything; True when that was done within `timeout` seconds. Blocks; later records are left out."""
        last = b""
        if self._dropped:
            last = self._encode(RecordsDropped(at=self._clock.now(), count=self._dropped))
        return self._writer.close(timeout, last)
