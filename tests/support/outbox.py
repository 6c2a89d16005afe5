"""A queue that reports are put into, and a look at what they hold."""

from collections.abc import Callable

from postroad.house.reports.daily import Outbox
from postroad.model.envelope import Envelope
from postroad.model.errors import SpoolError
from postroad.model.queueid import QueueIds
from postroad.model.work import Place, Stored, Work


class Queue:
    """Where reports are put; `fault` is what it says instead."""

    def __init__(self) -> None:
        """Empty, and well."""
        self.put_in: list[tuple[Envelope, bytes]] = []
        self.fault: SpoolError | None = None

    def outbox(self) -> Outbox:
        """The way to it."""
        return Outbox(self, lambda _stored, _works: None, QueueIds(1))

    def put(
        self,
        envelope: Envelope,
        content: bytes,
        done: Callable[[Stored, list[Work]], None],
        failed: Callable[[SpoolError], None],
    ) -> None:
        """As the spool does it."""
        if self.fault is not None:
            failed(self.fault)
            return
        self.put_in.append((envelope, content))
        done(Stored(envelope, Place("main", 0, 0, 0), content), [])
