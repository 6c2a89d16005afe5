"""Writes lines to a file descriptor without ever making mail wait.

Lines gather in a list on the event loop; a timer, or 64 KiB, hands them to a thread, which alone may
block. What the thread has not written yet is bounded; beyond that, lines are refused and the caller
counts them. A reader that is gone for good (EPIPE) costs its lines and nothing else.
"""

import os
import select
import stat
from collections.abc import Iterator
from queue import SimpleQueue
from threading import Thread
from typing import Final

from postroad.net.clock import Clock, Timer

DELAY: Final = 0.1  # seconds a line waits for company
BATCH: Final = 64 << 10  # octets handed over at once
LIMIT: Final = 8 << 20  # octets in memory in all


class LineWriter:
    """Writes to `fd`, which stays the caller's; `add` and `close` are called from the event loop's thread."""

    def __init__(self, fd: int, clock: Clock, *, limit: int = LIMIT, is_shared: bool = False) -> None:
        """Start the thread; `limit` bounds the octets that wait in memory.

        `is_shared`: other processes write to the same pipe or socket, where only small writes are never torn apart.
        """
        self._fd = fd
        self._at_once = select.PIPE_BUF if is_shared and not stat.S_ISREG(os.fstat(fd).st_mode) else 0
        self._clock = clock
        self._limit = limit
        self._lines: list[bytes] = []
        self._size = 0
        self._timer: Timer | None = None
        self._given = 0  # octets handed over, counted by the loop alone
        self._done = 0  # octets written or given up, counted by the thread alone
        self._batches: SimpleQueue[list[bytes] | None] = SimpleQueue()
        self._closed = False
        self._writing = Thread(target=self._work, name="log", daemon=True)
        self._writing.start()

    def add(self, line: bytes) -> bool:
        """Take whole lines to write soon; False when there is no room for them, or after `close`."""
        size = self._size + len(line)
        if size + self._given - self._done > self._limit or self._closed:
            return False
        self._lines.append(line)
        self._size = size
        if size >= BATCH:
            self.flush()
        elif self._timer is None:
            self._timer = self._clock.call_later(DELAY, self.flush)
        return True

    def flush(self) -> None:
        """Hand what is gathered to the thread now; returns at once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lines:
            self._given += self._size
            self._batches.put(self._lines)
            self._lines = []
            self._size = 0

    def close(self, timeout: float = 5.0, last: bytes = b"") -> bool:
        """Write everything and end the thread; True when all was written within `timeout` seconds. Blocks.

        `last` is written too, whether or not there is room for it.
        """
        if not self._closed:
            self._closed = True
            if last:
                self._lines.append(last)
                self._size += len(last)
            self.flush()
            self._batches.put(None)
        self._writing.join(timeout)
        return not self._writing.is_alive()

    def _work(self) -> None:
        while (lines := self._batches.get()) is not None:
            for data in _portions(lines, self._at_once) if self._at_once else (b"".join(lines),):
                _write(self._fd, data)
                self._done += len(data)


def _portions(lines: list[bytes], size: int) -> Iterator[bytes]:
    """`lines` in writes of at most `size` octets, as far as none of them is longer."""
    portion: list[bytes] = []
    octets = 0
    for line in lines:
        if portion and octets + len(line) > size:
            yield b"".join(portion)
            portion, octets = [], 0
        portion.append(line)
        octets += len(line)
    yield b"".join(portion)


def _write(fd: int, data: bytes) -> None:
    """Write all of `data`, however long that takes; give it up when the descriptor is broken."""
    left = memoryview(data)
    while left:
        try:
            written = os.write(fd, left)
            left = left[written:]
        except BlockingIOError:  # the descriptor was made non-blocking by whoever shares it
            select.select([], [fd], [], 1.0)
        except OSError:
            return
