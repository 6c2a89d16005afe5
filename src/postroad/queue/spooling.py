"""What the queue needs of the packages beside it, as types: the spool's part, planning, delivering.

`Spooling` is the courier's share of `spool.Spool`; the rest are the plain callables that app.py passes in.
A `Deliver` gets works of one message and one lane and returns one outcome for each, in order.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

from postroad.model.content import Content
from postroad.model.envelope import Envelope
from postroad.model.outcome import Decided, Outcome
from postroad.model.route import Route
from postroad.model.work import Change, Stored, Work

Plan = Callable[[str], Awaitable[Route | Decided]]
CachedPlan = Callable[[str], Route | None]
Deliver = Callable[[Route, list[Work], Content], Awaitable[list[Outcome]]]
Reports = Sequence[tuple[Envelope, bytes]]
Settled = Callable[[list[tuple[Stored, list[Work]]]], None]


class Spooling(Protocol):
    """A lease ends by settling the work as final, or by `release`. SpoolError: try again later."""

    def settle(self, changes: Sequence[Change], reports: Reports, done: Settled | None) -> None:
        """Change works at once, make that and reports durable as one, then call `done` with the reports, leased."""

    def release(self, works: Sequence[Work]) -> None:
        """Let go of work that waits, as it is now, until its `due`."""

    async def lease(self, want: int, now: int, closed: Collection[str]) -> list[Work]:
        """At most `want` works that are due, none of a lane in `closed`, oldest first and fairly over lanes."""

    async def lapsed(self, want: int, now: int) -> list[Work]:
        """At most `want` works whose deadline has come while nobody held them, leased."""

    async def next_due(self, closed: Collection[str]) -> int | None:
        """When the first work of a lane not in `closed` is due; None when there is none."""

    async def body(self, stored: Stored) -> Content:
        """The content of a message."""

    async def maintain(self) -> None:
        """House-keeping, in pieces that hinder nobody."""

    def has_room(self) -> bool:
        """True while new mail is taken."""

    def when_full(self, ring: Callable[[], None]) -> None:
        """Call `ring` each time that room runs out."""
