"""A courier in a world of its own: hand-driven clock, spool in memory, next hops that do as they are told.

`hops` maps a lane to its behaviour; a lane not in it takes everything. Copies that a hop took are counted by
queue id and recipient.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from email import message_from_bytes, policy
from email.message import EmailMessage
from types import MappingProxyType
from typing import TypeVar

from postroad.model.address import parse_mailbox, parse_path
from postroad.model.content import Content
from postroad.model.envelope import Envelope, Recipient
from postroad.model.outcome import Decided, Deferred, Delivered, Failed, Outcome, Scope
from postroad.model.queueid import QueueIds
from postroad.model.records import Record
from postroad.model.reply import Reply
from postroad.model.route import Fallback, Route, Target
from postroad.model.work import Stored, Work
from postroad.queue.books import Reporting
from postroad.queue.dispatcher import Dispatcher
from postroad.queue.planning import ShapedPlans
from postroad.queue.retryrules import retries_of
from postroad.queue.settings import QueueSettings, RetrySettings, ShapingSettings
from postroad.queue.shaping import Shaping
from postroad.queue.spooling import CachedPlan, Plan
from tests.support.clock import ManualClock
from tests.support.memoryspool import MemorySpool

Hop = Callable[[list[Work], Content], Awaitable[list[Outcome]]]
Kind = TypeVar("Kind", bound=Record)

OK = Reply(250, "2.0.0", "Ok: taken")
BUSY = Reply(451, "4.3.2", "try again later")
GONE = Reply(550, "5.1.1", "No such user here")
DOWN = Reply(451, "4.4.1", "connection refused")
CONTENT = (
    b"From: a@example.com\r\nTo: b@example.org\r\nSubject: hello\r\nMessage-ID: <m1@example.com>\r\n\r\nHello.\r\n"
)


def target_of(lane: str) -> Target:
    host = lane.removeprefix("mx:")
    return Target("lmtp" if host.startswith("lmtp") else "smtp", host, "192.0.2.1", 25)


def lane_of(envelope: Envelope, recipient: Recipient) -> str:
    return f"mx:{recipient.address.domain}"


def takes(reply: Reply = OK, *, dsn: bool = False, seconds: float = 0.0, clock: ManualClock | None = None) -> Hop:
    """A next hop that takes everything, after `seconds`."""

    async def hop(works: list[Work], content: Content) -> list[Outcome]:
        if clock is not None:
            await clock.sleep(seconds)
        return [Delivered(reply, target_of(work.lane), dsn_passed=dsn) for work in works]

    return hop


def defers(reply: Reply = BUSY, scope: Scope = Scope.RECIPIENT, command: str = "RCPT TO") -> Hop:
    """A next hop that puts everything off."""

    async def hop(works: list[Work], content: Content) -> list[Outcome]:
        return [Deferred(reply, scope, target_of(work.lane), command) for work in works]

    return hop


def refuses(reply: Reply = GONE) -> Hop:
    """A next hop that refuses everything for good."""

    async def hop(works: list[Work], content: Content) -> list[Outcome]:
        return [Failed(reply, Scope.RECIPIENT, target_of(work.lane), "RCPT TO") for work in works]

    return hop


def dead() -> Hop:
    """A next hop that nobody can connect to."""
    return defers(DOWN, Scope.NEXT_HOP, "")


class World:
    """Everything around one dispatcher, and the dispatcher."""

    def __init__(
        self,
        settings: QueueSettings | None = None,
        *,
        jitter: float = 0.0,
        inline: int = 65536,
        shaping: Sequence[Mapping[str, object]] = (),
        retry: Sequence[Mapping[str, object]] = (),
        sites: Mapping[str, str] = MappingProxyType({}),
        fallbacks: Mapping[str, Fallback] = MappingProxyType({}),
        reporting: Reporting | None = None,
        spool: type[MemorySpool] = MemorySpool,
    ) -> None:
        """`sites` and `fallbacks` are by lane."""
        self.settings = settings or QueueSettings()
        self.shaping = [ShapingSettings.model_validate(rule) for rule in shaping]
        self.retries = retries_of(self.settings, [RetrySettings.model_validate(rule) for rule in retry])
        self.sites = dict(sites)
        self.fallbacks = dict(fallbacks)
        self.reporting = reporting
        self.routes: dict[str, Route] = {}
        self.planned: Counter[str] = Counter()
        self.given: list[Route] = []
        self.clock = ManualClock()
        self.records: list[Record] = []
        self.hops: dict[str, Hop] = {}
        self.plans: dict[str, Decided] = {}
        self.copies: Counter[tuple[str, str]] = Counter()
        self.batches: list[tuple[str, int]] = []
        self.contents: dict[str, bytes] = {}
        self.busy: Counter[str] = Counter()
        self.peak: Counter[str] = Counter()
        self.jitter = jitter
        self.queue_ids = QueueIds(7)
        self.spool = spool(lane_of, self.retries.deadline_of, inline)
        self.start()

    def start(self) -> None:
        """Begin to run a new dispatcher over the spool."""
        shaping = Shaping(self.shaping, recipients=100) if self.shaping else None
        plan: Plan = self._plan
        cached_plan: CachedPlan = self.routes.get
        if shaping is not None:
            plans = ShapedPlans(plan, cached_plan, shaping)
            plan, cached_plan = plans.plan, plans.cached_plan
        self.dispatcher = Dispatcher(
            spool=self.spool,
            plan=plan,
            cached_plan=cached_plan,
            deliver=self._deliver,
            emit=self.records.append,
            clock=self.clock,
            settings=self.settings,
            hostname="relay.example.net",
            queue_ids=self.queue_ids,
            random=lambda: self.jitter,
            shaping=shaping,
            retries=self.retries,
            reporting=self.reporting,
            fallback_of=self.fallbacks.get if self.fallbacks else None,
        )
        self.running = asyncio.create_task(self.dispatcher.run())

    async def crash_and_restart(self) -> None:
        """Lose everything that is not durable, and begin anew."""
        self.spool.stuck = True
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        drained = asyncio.create_task(self.dispatcher.drain(0))
        await self.clock.run(1)
        drained.cancel()
        self.spool = self.spool.restart()
        self.start()

    async def stop(self) -> None:
        """Drain, and see that nothing is held any more."""
        draining = asyncio.create_task(self.dispatcher.drain(30))
        await self.clock.run(60)
        await draining
        await self.running
        assert self.spool.leased == 0
        ready = self.dispatcher.ready
        assert (ready.used, ready.octets, ready.running) == (0, 0, 0)

    def send(
        self,
        *recipients: str | Recipient,
        sender: str = "alice@example.com",
        content: bytes = CONTENT,
        ret: str = "",
        envid: str = "",
        smtputf8: bool = False,
        tags: tuple[str, ...] = (),
    ) -> str:
        """Put a message; its queue id."""
        now = self.clock.now()
        envelope = Envelope(
            id=self.queue_ids.new(now),
            sender=parse_path(sender.encode(), utf8=True),
            recipients=tuple(
                item if isinstance(item, Recipient) else Recipient(parse_mailbox(item)) for item in recipients
            ),
            arrived=now,
            size=len(content),
            prefix="Received: from client ([192.0.2.9])\r\n\tby relay.example.net; now\r\n",
            ret=ret,
            envid=envid,
            smtputf8=smtputf8,
            message_id="<m1@example.com>",
            tags=tags,
        )
        self.spool.put(envelope, content, self.dispatcher.admit)
        return envelope.id

    def of(self, kind: type[Kind]) -> list[Kind]:
        """All records of one type so far."""
        return [record for record in self.records if isinstance(record, kind)]

    def received(self, recipient: str) -> list[EmailMessage]:
        """The messages that `recipient` got, parsed by the standard library."""
        found = []
        for (queue_id, address), copies in self.copies.items():
            if address == recipient:
                parsed = message_from_bytes(self.contents[queue_id], policy=policy.default)
                assert isinstance(parsed, EmailMessage)
                found += [parsed] * copies
        return found

    async def _plan(self, lane: str) -> Route | Decided:
        await asyncio.sleep(0)
        self.planned[lane] += 1
        if lane in self.plans:
            return self.plans[lane]
        route = Route(lane, (target_of(lane),), "test", site=self.sites.get(lane, ""))
        if lane in self.sites:
            self.routes[lane] = route
        return route

    async def _deliver(self, route: Route, works: list[Work], content: Content) -> list[Outcome]:
        lane = route.lane
        assert len({(work.stored.id, work.lane) for work in works}) == 1
        assert not any(work.status.is_final for work in works)
        self.batches.append((lane, len(works)))
        self.given.append(route)
        self.busy[lane] += 1
        self.peak[lane] = max(self.peak[lane], self.busy[lane])
        try:
            outcomes = await self.hops.get(lane, takes())(works, content)
        finally:
            self.busy[lane] -= 1
        for work, outcome in zip(works, outcomes, strict=False):
            if isinstance(outcome, Delivered):
                self.copies[work.stored.id, work.recipient.address.text] += 1
        stored: Stored = works[0].stored
        body = content if isinstance(content, bytes) else await content.read(0, content.size)
        self.contents[stored.id] = stored.envelope.prefix.encode() + body
        return outcomes
