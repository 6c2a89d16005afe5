"""A courier over a real spool, with an operator: hand-driven clock, next hops that do as they are told.

The spool's threads need real time, so waiting for something lets both pass, within bounds.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from postroad.model.address import parse_mailbox, parse_path
from postroad.model.content import Content
from postroad.model.envelope import Envelope, Recipient
from postroad.model.errors import SpoolError
from postroad.model.outcome import Decided, Deferred, Delivered, Outcome, Scope
from postroad.model.queueid import QueueIds
from postroad.model.records import Emit, Record
from postroad.model.reply import Reply
from postroad.model.route import Placement, Route, Target
from postroad.model.suspension import Suspension
from postroad.model.work import Stored, Work
from postroad.queue.actions import Order, Surroundings
from postroad.queue.dispatcher import Dispatcher
from postroad.queue.operator import Operator, Tally, watched
from postroad.queue.retry import schedule_of
from postroad.queue.settings import QueueSettings
from postroad.queue.suspensions import Suspensions
from postroad.routing.lanes import with_tls
from postroad.routing.router import Router
from postroad.spool.disk import Disk
from postroad.spool.filters import Query
from postroad.spool.listing import Listed, ListedRecipient
from postroad.spool.settings import SpoolSettings
from postroad.spool.spool import EmbeddedSpool
from tests.support.clock import ManualClock

Hop = Callable[[list[Work]], Awaitable[list[Outcome]]]
Kind = TypeVar("Kind", bound=Record)

STEPS = 100
WAIT_ROUNDS = 4000  # of at least a millisecond each
CONTENT = b"Subject: hello\r\n\r\nHello.\r\n"
BUSY = Reply(451, "4.3.2", "try again later")


def lane_of(_envelope: Envelope, recipient: Recipient) -> str:
    """One lane for each domain."""
    return f"mx:{recipient.address.domain}"


def target_of(lane: str) -> Target:
    """The one host of a lane."""
    return Target("smtp", lane.partition(":")[2], "192.0.2.1", 25)


async def takes(works: list[Work]) -> list[Outcome]:
    """A next hop that takes everything."""
    return [Delivered(Reply(250, "2.0.0", "Ok"), target_of(work.lane)) for work in works]


async def defers(works: list[Work]) -> list[Outcome]:
    """A next hop that puts everything off."""
    return [Deferred(BUSY, Scope.RECIPIENT, target_of(work.lane), "RCPT TO") for work in works]


async def is_down(works: list[Work]) -> list[Outcome]:
    """A next hop that nobody can connect to."""
    return [Deferred(Reply(451, "4.4.1", "connection refused"), Scope.NEXT_HOP, target_of(works[0].lane))] * len(works)


class OperatedWorld:
    """Everything around one dispatcher, its spool and its operator; `hops` maps a lane to its behaviour."""

    def __init__(self, folder: Path, hop: Hop = takes, **settings: object) -> None:
        self.folder = folder
        self.settings = QueueSettings.model_validate(settings)
        self.clock = ManualClock()
        self.records: list[Record] = []
        self.sinks: list[Emit] = []
        self.hops: dict[str, Hop] = {}
        self.hop = hop
        self.sites: dict[str, str] = {}
        self.kept: list[Suspension] = []
        self.is_full = False  # nothing can be kept
        self.disk = Disk()
        self.copies: Counter[tuple[str, str, str]] = Counter()  # lane, queue id, recipient
        self.queue_ids = QueueIds(7)
        self.lane_of: Callable[[Envelope, Recipient], str] = lane_of
        self.router: Router | None = None  # instead of `lane_of` and one host for each lane
        self.routes: list[Route] = []  # that mail was sent by
        self.sending = 0

    async def start(self) -> "OperatedWorld":
        """Open the spool and run."""
        schedule = schedule_of(self.settings)
        self.spool = EmbeddedSpool(
            self.folder,
            SpoolSettings(free_space=0),
            clock=self.clock,
            emit=self._emit,
            lane_of=self._place,
            deadline_of=schedule.deadline_of,
            disk=self.disk,
        )
        await self.spool.open()
        self.suspensions = Suspensions(self.kept)
        self.dispatcher = Dispatcher(
            spool=self.spool,
            plan=watched(self._plan, self.suspensions, self.clock.now),
            cached_plan=lambda lane: None,
            deliver=self._deliver,
            emit=self._emit,
            clock=self.clock,
            settings=self.settings,
            hostname="relay.example.net",
            queue_ids=self.queue_ids,
            random=lambda: 0.0,
            suspensions=self.suspensions,
        )
        self.operator = Operator(
            self.dispatcher,
            self.spool.desk,
            around=Surroundings(schedule, self.dispatcher.known, self._released, with_tls),
            clock=self.clock,
            emit=self._emit,
            save=self._save,
        )
        self.running = asyncio.create_task(self.dispatcher.run())
        return self

    async def stop(self) -> None:
        """Drain and close; nothing is held any more."""
        draining = asyncio.create_task(self.dispatcher.drain(0))
        await self.until(draining.done)
        await draining
        await self.running
        ready = self.dispatcher.ready
        await self.until(lambda: (ready.used, ready.running) == (0, 0))
        await self.spool.close()

    def send(
        self, *recipients: str, sender: str = "alice@example.com", held: str = "", route: str = "", tls: str = ""
    ) -> str:
        """Put a message; its queue id. `held`, `route` and `tls` are what policies decided."""
        now = self.clock.now()
        parsed = tuple(Recipient(parse_mailbox(text)) for text in recipients)
        sent = parse_path(sender.encode(), utf8=True)
        envelope = Envelope(self.queue_ids.new(now), sent, parsed, now, len(CONTENT), held=held, route=route, tls=tls)
        self.sending += 1
        self.spool.put(envelope, CONTENT, self._admit, _fail)
        return envelope.id

    async def order(self, action: str, query: Query | str = "", *, lane: str = "", reason: str = "") -> Tally:
        """Carry an order out; a text is the id of one message."""
        wanted = query if isinstance(query, Query) else Query(ids=(query,))
        order = Order(action, wanted, "root", 0, reason, lane)
        acting = asyncio.create_task(self.operator.act(order, "test", _no_progress))
        await self.until(acting.done)
        return await acting

    async def passing(self, seconds: float) -> None:
        """Let `seconds` pass, in steps between which the spool's threads can work."""
        for _ in range(STEPS):
            await asyncio.sleep(0.001)
            await self.clock.run(seconds / STEPS, turns=5)

    async def until(self, condition: Callable[[], bool], step: float = 0.01) -> None:
        """Let time pass, `step` by `step`, until `condition` holds."""
        for _ in range(WAIT_ROUNDS):
            if condition():
                return
            await asyncio.sleep(0.001)
            await self.clock.run(step, turns=3)
        raise AssertionError("it never came")

    async def at_rest(self) -> None:
        """Wait until what was sent is in the spool, and nothing in memory."""
        await self.until(lambda: self.sending == 0 and self.dispatcher.ready.used == 0)

    async def rows(self, query: Query | None = None) -> dict[str, ListedRecipient]:
        """The open recipients, by address."""
        found: list[Listed] = await self.spool.desk.find(query or Query(limit=10_000))
        return {one.address: one for message in found for one in message.recipients if not one.status.is_final}

    def of(self, kind: type[Kind]) -> list[Kind]:
        """All records of one type so far."""
        return [record for record in self.records if isinstance(record, kind)]

    def _emit(self, record: Record) -> None:
        self.records.append(record)
        for sink in list(self.sinks):
            sink(record)

    def _admit(self, stored: Stored, works: list[Work]) -> None:
        self.sending -= 1
        self.dispatcher.admit(stored, works)

    def _place(self, envelope: Envelope, recipient: Recipient) -> str:
        if self.router is not None:
            return _lane(self.router.place(envelope, recipient))
        return self.lane_of(envelope, recipient)

    def _released(self, envelope: Envelope, recipient: Recipient) -> str:
        if self.router is not None:
            return _lane(self.router.place_released(envelope, recipient))
        return self.lane_of(envelope, recipient)

    def _save(self, suspensions: Sequence[Suspension]) -> None:
        if self.is_full:
            raise SpoolError("no space left")
        self.kept = list(suspensions)

    async def _plan(self, lane: str) -> Route | Decided:
        await asyncio.sleep(0)
        if self.router is not None:
            return await self.router.plan(lane)
        return Route(lane, (target_of(lane),), "test", site=self.sites.get(lane, ""))

    async def _deliver(self, route: Route, works: list[Work], content: Content) -> list[Outcome]:
        self.routes.append(route)
        outcomes = await self.hops.get(route.lane, self.hop)(works)
        for work, outcome in zip(works, outcomes, strict=True):
            if isinstance(outcome, Delivered):
                self.copies[route.lane, work.stored.id, work.recipient.address.text] += 1
        return outcomes


def _lane(placement: Placement | None) -> str:
    return "" if placement is None else placement.lane


def _fail(error: Exception) -> None:
    raise error


async def _no_progress(_tally: Tally) -> None:
    await asyncio.sleep(0)
