"""Reports about a message that is taken, not about a delivery: an alias became several recipients, a drop is refused.

RFC 3461 5.2.7.3: who asked for success is told that the alias was expanded, and nothing more of success. The report
enters the queue by the same door as all mail, after the message is durable. Should we be killed in between, it is
the one report that is lost: all it could say is that nothing has failed yet.
"""

from collections.abc import Callable
from typing import Protocol

from postroad.message.dsn import EXPANDED, FAILED, Notice, Report
from postroad.message.headers import header_section
from postroad.model.envelope import Envelope, Recipient
from postroad.model.errors import SpoolError
from postroad.model.queueid import QueueIds
from postroad.model.records import DsnQueued, Emit, SpoolFaulted
from postroad.model.work import Stored, Work
from postroad.queue.report import build

Told = Callable[[SpoolError | None], None]


class Putting(Protocol):
    """What is needed of the spool."""

    def put(
        self,
        envelope: Envelope,
        content: bytes,
        done: Callable[[Stored, list[Work]], None],
        failed: Callable[[SpoolError], None],
    ) -> None:
        """Make a message durable, then call back."""


class Announcer:
    """Puts such reports into the queue."""

    def __init__(
        self,
        *,
        spool: Putting,
        admit: Callable[[Stored, list[Work]], None],
        emit: Emit,
        hostname: str,
        queue_ids: QueueIds,
    ) -> None:
        """`admit` is the queue's one door."""
        self._spool = spool
        self._admit = admit
        self._emit = emit
        self._hostname = hostname
        self._queue_ids = queue_ids

    def expanded(self, envelope: Envelope, recipients: list[Recipient], beginning: bytes) -> None:
        """Tell the sender of `envelope`, which is not null, about `recipients`; `beginning` has the header section."""
        now = envelope.arrived

        def done(error: SpoolError | None) -> None:
            if error is not None:
                self._emit(SpoolFaulted(at=now, reason=f"a report about {envelope.id} is lost: {error}"))

        notices = tuple(Notice(recipient, EXPANDED, "2.0.0", at=now) for recipient in recipients)
        self._tell(EXPANDED, envelope, notices, beginning, done)

    def refused(self, envelope: Envelope, notices: tuple[Notice, ...], beginning: bytes, done: Told) -> None:
        """Tell the sender of `envelope`, which is not null, what was refused after it had been taken from it.

        `done` is called once: with None when the report is durable, else with what went wrong.
        """
        self._tell(FAILED, envelope, notices, beginning, done)

    def _tell(self, kind: str, envelope: Envelope, notices: tuple[Notice, ...], beginning: bytes, done: Told) -> None:
        now = envelope.arrived
        report = Report(
            id=self._queue_ids.new(now),
            hostname=self._hostname,
            now=now,
            envelope=envelope,
            notices=notices,
            original=envelope.prefix.encode() + header_section(beginning),
            full=False,
        )
        letter, content = build(report)

        def durable(stored: Stored, works: list[Work]) -> None:
            to = envelope.sender.text
            self._emit(DsnQueued(at=now, id=envelope.id, report=stored.id, kind=kind, to=to, size=len(content)))
            self._admit(stored, works)
            done(None)

        self._spool.put(letter, content, durable, done)
