"""What the supervisor has to report: through the courier, which has the log and the sinks; itself while there is none.

A record waits a moment for a courier that is being replaced. Then it is written to the log without ever blocking: the
supervisor must not wait for whoever reads it.
"""

import os
import select
from collections import deque
from contextlib import suppress
from typing import Final

import msgspec

from postroad.config.schema import Config
from postroad.house.processes.seat import Kind
from postroad.model.records import Record
from postroad.net.clock import Clock
from postroad.net.process.link import Link
from postroad.observe.log import make_format

WAIT: Final = 3.0  # seconds for a courier
MOST: Final = 1000  # records that wait
_STDERR: Final = 2


class Teller:
    """Records on their way."""

    def __init__(self, config: Config, clock: Clock) -> None:
        """Nobody listens yet; `link` is set when a courier does."""
        self._clock = clock
        self._waiting: deque[tuple[float, Record]] = deque(maxlen=MOST)
        self._link: Link | None = None
        self.adopt(config)

    def adopt(self, config: Config) -> None:
        """Write by another configuration."""
        self._encode = make_format(config.log.format, hostname=config.hostname, pid=os.getpid())

    @property
    def link(self) -> Link | None:
        """The courier that works."""
        return self._link

    @link.setter
    def link(self, link: Link | None) -> None:
        self._link = link
        while self._link is not None and self._waiting:
            self._send(self._waiting.popleft()[1])

    def tell(self, record: Record) -> None:
        """Report `record`."""
        if self._link is not None:
            self._send(record)
        else:
            self._waiting.append((self._clock.monotonic(), record))

    def hurry(self, now: float) -> None:
        """Write what has waited for too long."""
        while self._waiting and now - self._waiting[0][0] > WAIT:
            self._write(self._waiting.popleft()[1])

    def close(self) -> None:
        """Write what waits."""
        while self._waiting:
            self._write(self._waiting.popleft()[1])

    def _send(self, record: Record) -> None:
        if self._link is None or not self._link.send(Kind.RECORD, msgspec.json.encode(record)):
            self._write(record)

    def _write(self, record: Record) -> None:
        line = self._encode(record)
        poll = select.poll()
        poll.register(_STDERR, select.POLLOUT)
        with suppress(OSError):
            if line and any(events & select.POLLOUT for _, events in poll.poll(0)):
                os.write(_STDERR, line[: select.PIPE_BUF])  # so much goes without waiting when anything does
