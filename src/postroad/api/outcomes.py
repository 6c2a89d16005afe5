"""What became of messages of the API, noted as it happens: a sink of records that looks only at those.

Invariant: it never raises, holds little, and is right as far as it goes: what is lost in a crash is left out of the
answer. Without `[api]` there is no such sink.
"""

import contextlib
from collections.abc import Callable
from typing import Final

from postroad.model.errors import SpoolError
from postroad.model.records import (
    MessageRemoved,
    RecipientDelivered,
    RecipientFailed,
    RecipientHandled,
    Record,
)
from postroad.net.clock import Clock
from postroad.store.sent import Outcome, Sent

FOLLOWED: Final = 200_000  # messages at most whose outcomes are waited for
PENDING: Final = 20_000  # outcomes that wait for the next second
SECONDS: Final = 1.0
STEPS: Final = 4  # of forgetting in one second


class Outcomes:
    """The sink, and the task that writes."""

    def __init__(self, sent: Sent, clock: Clock) -> None:
        """Nothing is followed yet."""
        self._sent = sent
        self._clock = clock
        self._followed: set[str] = set()
        self._found: list[Outcome] = []
        self._gone: list[str] = []
        self._taken: list[str] = []

    def resume(self) -> None:
        """Follow what was not gone when the server ended."""
        self._followed.update(self._sent.waiting(FOLLOWED))

    def follow(self, queue_id: str) -> None:
        """The spool has taken a message of the API."""
        if len(self._followed) < FOLLOWED:
            self._followed.add(queue_id)

    def unwritten(self, queue_id: str) -> None:
        """The same could not be written down: it is tried again before anything is asked about it."""
        if len(self._taken) < FOLLOWED:
            self._taken.append(queue_id)

    def __call__(self, record: Record) -> None:
        """Note `record`."""
        kind = type(record)
        if kind is RecipientDelivered or kind is RecipientFailed:
            self._note(record)
        elif isinstance(record, RecipientHandled):
            if record.id in self._followed and record.action == "drop":
                self._add(Outcome(record.id, record.recipient, "dropped", record.at, 0, record.reason))
        elif isinstance(record, MessageRemoved) and record.id in self._followed:
            self._followed.discard(record.id)
            if len(self._gone) < FOLLOWED:
                self._gone.append(record.id)

    def _note(self, record: Record) -> None:
        if isinstance(record, RecipientDelivered | RecipientFailed) and record.id in self._followed:
            state = "delivered" if isinstance(record, RecipientDelivered) else "failed"
            self._add(Outcome(record.id, record.recipient, state, record.at, record.attempts, str(record.reply)))

    def _add(self, outcome: Outcome) -> None:
        if len(self._found) < PENDING:
            self._found.append(outcome)

    def flush(self) -> None:
        """Write what was noted; SpoolError when that is not possible, and then it is kept."""
        while self._taken:
            self._sent.accepted(self._taken[-1])
            self._taken.pop()
        if self._found or self._gone:
            self._sent.note(self._found, self._gone)
            self._found, self._gone = [], []

    def close(self) -> None:
        """Write what was noted last, if that is possible."""
        with contextlib.suppress(SpoolError):
            self.flush()

    async def run(self, requests: Callable[[], float], messages: Callable[[], float]) -> None:
        """Write every second, and forget what is older than these many seconds, of requests and of messages."""
        while True:
            await self._clock.sleep(SECONDS)
            with contextlib.suppress(SpoolError):  # the disk is full: it is tried again
                self.flush()
                now = self._clock.now()
                for _ in range(STEPS):
                    if not self._sent.expire(now - int(requests() * 1e6), now - int(messages() * 1e6)):
                        break
                await self._sent.tidy()
