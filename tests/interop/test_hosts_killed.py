"""Three real servers behind one lane, killed with SIGKILL and started again while mail flows: what arrives is counted.

They are three Postfix, or one with two Dovecot that take mail by LMTP. Each message has a recipient of its own; each
Postfix keeps what it accepted in its queue, each Dovecot in the recipient's inbox. Every message must be
there once; twice only where the final reply was lost, which delivery says at that time.
"""

import asyncio
from collections import Counter
from contextlib import ExitStack

import pytest

from postroad.model.address import parse_mailbox
from postroad.model.envelope import Envelope, Recipient
from postroad.model.outcome import Deferred, Failed
from postroad.model.queueid import QueueIds
from postroad.model.records import (
    DeliveryFaulted,
    RecipientDeferred,
    RecipientDelivered,
    RecipientFailed,
    Record,
    TargetResumed,
    TargetSuspended,
)
from postroad.model.route import LEAST_BUSY, LMTP, ROUND_ROBIN, SMTP, Route, Target
from postroad.net.clock import SystemClock
from postroad.queue.dispatcher import Dispatcher
from postroad.queue.retry import schedule_of
from postroad.queue.settings import QueueSettings
from tests.support.delivering import CONTENT, PREFIX, Sender
from tests.support.dovecot import Dovecot
from tests.support.memoryspool import MemorySpool
from tests.support.ports import free_port
from tests.support.postfix import MAILDIR, Postfix

KEEPS = {"defer_transports": "virtual", "local_header_rewrite_clients": "", "smtpd_client_connection_count_limit": "0"}
PARALLEL = 12
SECONDS = 90.0
USERS = 20_000  # that Dovecot knows: more than messages are sent

Host = Postfix | Dovecot


class Relay:
    """Queue and delivery over a spool in memory, for one lane to `targets`."""

    def __init__(self, balance: str, targets: tuple[Target, ...]) -> None:
        settings = QueueSettings(retry=(0.5,), suspend=(0.5,), concurrency=PARALLEL)
        clock = SystemClock()
        self.now = clock.now
        self.ids = QueueIds(7)
        self.route = Route("lane", targets, "test", balance=balance)
        self.sender = Sender(clock=clock)
        self.records = self.sender.records
        self.sent = 0
        self.spool = MemorySpool(lambda _envelope, _recipient: "lane", schedule_of(settings).deadline_of, 65536)
        self.dispatcher = Dispatcher(
            spool=self.spool,
            plan=self._plan,
            cached_plan=lambda _: self.route,
            deliver=self.sender.deliverer.deliver,
            emit=self.records.append,
            clock=clock,
            settings=settings,
            hostname="relay.example.com",
            queue_ids=self.ids,
            random=lambda: 0.5,
        )

    async def _plan(self, lane: str) -> Route | Deferred | Failed:
        return self.route

    async def feed(self) -> None:
        """Another message, unless many are under way already."""
        if self.sent - self.count(RecipientDelivered) < 200:
            self.send(f"u{self.sent}@example.net")
            self.sent += 1
        await asyncio.sleep(0.005)

    def send(self, recipient: str) -> None:
        now = self.now()
        envelope = Envelope(
            self.ids.new(now),
            parse_mailbox("alice@example.org"),
            (Recipient(parse_mailbox(recipient)),),
            now,
            len(CONTENT),
            prefix=PREFIX,
        )
        self.spool.put(envelope, CONTENT, self.dispatcher.admit)

    def count(self, kind: type[Record]) -> int:
        return sum(isinstance(record, kind) for record in self.records)

    def reached(self, since: int) -> set[str]:
        """The targets that took mail after so many records."""
        return {record.target for record in self.records[since:] if isinstance(record, RecipientDelivered)}

    def told(self, recipients: set[str]) -> list[str]:
        """Why the deliveries to `recipients` were deferred."""
        deferred = [record for record in self.records if isinstance(record, RecipientDeferred)]
        return [f"{record.recipient}: {record.reply}" for record in deferred if record.recipient in recipients]

    def lost_replies(self) -> set[str]:
        """Recipients whose delivery ended without the reply to the content."""
        deferred = [record for record in self.records if isinstance(record, RecipientDeferred)]
        return {record.recipient for record in deferred if "may arrive twice" in record.reply.text}


def accepted(host: Host) -> list[str]:
    """The recipient of each message that it has."""
    if isinstance(host, Dovecot):
        return host.delivered()
    found = []
    for message in host.queued():
        recipients = message["recipients"]
        assert isinstance(recipients, list)
        found += [str(recipient["address"]) for recipient in recipients]
    return found


async def disturb(hosts: list[Host], relay: Relay) -> None:
    """Kill one after the other, twice around, with mail in flight; at times two of the three are down."""
    for number, host in enumerate(hosts * 2):
        reached = relay.count(RecipientDelivered) + 50
        while relay.count(RecipientDelivered) < reached:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(host.kill)
        if number % 2:
            await _start_all(hosts)
            returned = relay.count(TargetResumed)
            while relay.count(TargetResumed) == returned:
                await asyncio.sleep(0.01)
    await _start_all(hosts)


async def _start_all(hosts: list[Host]) -> None:
    await asyncio.gather(*(asyncio.to_thread(host.start) for host in hosts if not host.is_started))


@pytest.mark.parametrize("balance", [ROUND_ROBIN, LEAST_BUSY])
async def test_killed_and_restarted_under_load(balance: str) -> None:
    with ExitStack() as stack:
        hosts = [stack.enter_context(Postfix(MAILDIR, settings=KEEPS, port=free_port())) for _ in range(3)]
        await flood([*hosts], balance)


async def test_dovecots_and_a_postfix_killed_and_restarted_under_load() -> None:
    users = {f"u{number}@example.net": 0 for number in range(USERS)}
    with ExitStack() as stack:
        hosts: list[Host] = [
            stack.enter_context(Dovecot(users)),
            stack.enter_context(Postfix(MAILDIR, settings=KEEPS, port=free_port())),
            stack.enter_context(Dovecot(users)),
        ]
        await flood(hosts, ROUND_ROBIN)


async def flood(hosts: list[Host], balance: str) -> None:
    """Send while the hosts are killed and started again, until all is delivered; then count."""
    targets = tuple(
        Target(LMTP if isinstance(host, Dovecot) else SMTP, f"p{number}", "127.0.0.1", host.port)
        for number, host in enumerate(hosts)
    )
    relay = Relay(balance, targets)
    running = asyncio.create_task(relay.dispatcher.run())
    disturbing = asyncio.create_task(disturb(hosts, relay))
    async with asyncio.timeout(SECONDS):
        while not disturbing.done() or relay.sent < 300:
            await relay.feed()
        await disturbing
        calm = len(relay.records)
        while len(relay.reached(calm)) < len(hosts):  # all are back, so each gets mail again
            await relay.feed()
        while relay.count(RecipientDelivered) < relay.sent:
            await asyncio.sleep(0.05)
    await relay.dispatcher.drain(10)
    await running
    await relay.sender.deliverer.close()
    copies = Counter(recipient for host in hosts for recipient in accepted(host))

    assert relay.count(DeliveryFaulted) == 0
    assert relay.count(RecipientFailed) == 0
    assert set(copies) == {f"u{number}@example.net" for number in range(relay.sent)}, "a message is lost"
    doubled = {recipient for recipient, count in copies.items() if count > 1}
    assert doubled <= relay.lost_replies(), f"twice, and nobody lost a reply: {relay.told(doubled)}"
    assert all(count <= 3 for count in copies.values())
    assert relay.count(TargetSuspended) >= 3
    assert relay.count(TargetResumed) >= 3
