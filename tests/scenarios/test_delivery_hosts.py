"""Several hosts of one next hop, with a hand-driven clock: every balance, hosts that die, and hosts that come back.

Queue and delivery are the real ones, and so are the connections; the clock moves only where a scenario says so. What is
delivered while it stands still has waited for nobody.
"""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from postroad.delivery.balance import OPENING
from postroad.model.content import Content
from postroad.model.outcome import Outcome
from postroad.model.records import LaneResumed, LaneSuspended, RecipientDelivered, TargetResumed, TargetSuspended
from postroad.model.route import FAILOVER, LEAST_BUSY, ROUND_ROBIN, SMTP, WEIGHTED, Route, Target
from postroad.model.work import Work
from tests.scenarios.queue_world import World
from tests.support.delivering import Sender
from tests.support.peer import Drop, Hang, Peer

LANE = "mx:example.org"
PATIENCE_SECONDS = 20.0


class Site:
    """A world whose lane `LANE` goes to `peers` with `balance`; `weights` and `tiers` by peer, 1 and 0 without."""

    def __init__(
        self,
        balance: str,
        *peers: Peer,
        weights: tuple[int, ...] = (),
        tiers: tuple[int, ...] = (),
        idle: str = "2s",
        greeting_timeout: str = "5m",
    ) -> None:
        self.world = World()
        self.clock = self.world.clock
        self.peers = peers
        self.sender = Sender(clock=self.clock, connection_idle=idle, greeting_timeout=greeting_timeout)
        self.sent = 0
        targets = tuple(
            Target(SMTP, f"h{number}.example.net", peer.host, peer.port, *place)
            for number, (peer, place) in enumerate(
                zip(peers, zip(weights or [1] * len(peers), tiers or [0] * len(peers), strict=True), strict=True)
            )
        )
        self.route = Route(LANE, targets, "test", balance=balance)
        self.world.hops[LANE] = self._deliver

    async def _deliver(self, works: list[Work], content: Content) -> list[Outcome]:
        return await self.sender.deliverer.deliver(self.route, works, content)

    async def send(self, count: int, *, together: bool = True) -> None:
        """Send so many messages, at once or each after the other, and see them all delivered at this instant."""
        for _ in range(count):
            self.world.send("bob@example.org")
            self.sent += 1
            if not together:
                await self.until(self.is_done)
        await self.until(self.is_done)

    def is_done(self) -> bool:
        """True when all that was sent is delivered."""
        return len(self.world.of(RecipientDelivered)) == self.sent

    async def until(self, holds: Callable[[], bool]) -> None:
        """Let the event loop work until `holds()`; the clock stands."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():
                await asyncio.sleep(0.002)

    def taken(self) -> list[int]:
        """Messages each peer took."""
        return [len(peer.taken) for peer in self.peers]

    def told(self, kind: type[TargetSuspended | TargetResumed]) -> list[str]:
        """The hosts that records of this kind are about."""
        return [record.target.split(".")[0] for record in self.sender.records if isinstance(record, kind)]

    async def stop(self) -> None:
        """End, and see that each message arrived exactly once."""
        await self.world.stop()
        await self.sender.deliverer.close()
        assert set(self.world.copies.values()) <= {1}
        assert sum(self.taken()) == self.sent


@pytest.mark.parametrize(
    ("balance", "weights", "expected"),
    [
        (FAILOVER, (3, 2, 1), [60, 0, 0]),
        (ROUND_ROBIN, (3, 2, 1), [20, 20, 20]),
        (WEIGHTED, (3, 2, 1), [30, 20, 10]),
        (LEAST_BUSY, (1, 1, 1), [20, 20, 20]),
    ],
)
async def test_shares(balance: str, weights: tuple[int, ...], expected: list[int]) -> None:
    async with Peer() as one, Peer() as two, Peer() as three:
        site = Site(balance, one, two, three, weights=weights)
        await site.send(60, together=False)
        assert site.taken() == expected
        await site.stop()


async def test_least_busy_spares_the_slow_one() -> None:
    async with Peer(script={"content": [Hang()]}) as slow, Peer() as quick:
        site = Site(LEAST_BUSY, slow, quick)
        site.world.send("bob@example.org")
        await site.until(slow.hung.is_set)
        await site.send(10, together=False)
        assert site.taken() == [0, 10]
        await site.sender.deliverer.close()
        site.world.running.cancel()


@pytest.mark.parametrize("balance", [FAILOVER, ROUND_ROBIN, WEIGHTED, LEAST_BUSY])
async def test_a_host_that_dies_costs_nobody_a_wait_and_comes_back_slowly(balance: str) -> None:
    async with Peer() as one, Peer() as two:
        site = Site(balance, one, two)
        await site.send(20)
        before = site.taken()
        await one.__aexit__(None, None, None)  # its connections break, its port is closed
        await site.send(40)
        assert site.told(TargetSuspended) == ["h0"]
        assert site.taken() == [before[0], before[1] + 40]

        site.clock.advance(5)  # time for a probe, and it is still dead
        await site.send(10)
        await site.until(lambda: not site.sender.deliverer._probes)
        site.clock.advance(9.9)
        async with one:
            await site.send(10)
            assert site.told(TargetResumed) == []  # the pause has doubled
            site.clock.advance(0.1)
            await site.send(1)  # this one goes to the other while the probe is under way
            await site.until(lambda: site.told(TargetResumed) == ["h0"])
            assert one.taken[before[0] :] == []

            await site.send(32, together=False)
            some = len(one.taken) - before[0]
            assert 2 <= some <= 4  # an eighth of what it had
            site.clock.advance(20)
            await site.send(32, together=False)
            assert len(one.taken) - before[0] - some == (32 if balance == FAILOVER else 16)
            assert site.told(TargetSuspended) == ["h0"]
            await site.stop()


@pytest.mark.parametrize("verb", ["EHLO", "MAIL", "RCPT", "DATA"])
async def test_dying_in_the_middle_costs_no_message_and_no_time(verb: str) -> None:
    async with Peer(script={verb: [Drop()] * 1000}) as bad, Peer() as good:
        site = Site(ROUND_ROBIN, bad, good, idle="0s")
        await site.send(60)
        assert site.taken() == [0, 60]
        assert site.told(TargetSuspended) == ["h0"]
        known = len(bad.raw)
        await site.send(20)
        assert len(bad.raw) == known  # it has left
        await site.stop()


@pytest.mark.parametrize("balance", [ROUND_ROBIN, WEIGHTED, LEAST_BUSY])
async def test_a_host_that_hangs_holds_a_few_and_the_others_go_on(balance: str) -> None:
    async with Peer() as hung, Peer() as good:
        site = Site(balance, hung, good, greeting_timeout="2s")
        await site.send(40)
        await hung.__aexit__(None, None, None)
        hung.script["connect"] = [Hang()] * 1000
        before, known = len(good.taken), len(hung.raw)
        async with hung:
            for _ in range(200):
                site.world.send("bob@example.org")
                site.sent += 1
            # Of the 20 at once, those that had a connection to it, and a few more.
            await site.until(lambda: len(good.taken) >= before + 200 - 13)
            assert OPENING <= len(hung.raw) - known <= 13
            await site.until(site.is_done)  # they go to the other one when their time is over
            assert site.told(TargetSuspended) == ["h0"]
            await site.stop()


async def test_one_probe_at_a_time() -> None:
    async with Peer() as one, Peer() as two:
        site = Site(FAILOVER, one, two)
        await one.__aexit__(None, None, None)
        await site.send(1)
        site.clock.advance(6)
        one.script["connect"] = [Hang()]
        async with one:
            await site.send(5, together=False)
            await one.hung.wait()
            await site.send(5)
            assert len(one.raw) == 1
            assert site.taken() == [0, 11]
            await site.stop()


async def test_tiers() -> None:
    async with Peer() as one, Peer() as two, Peer() as spare:
        site = Site(ROUND_ROBIN, one, two, spare, tiers=(0, 0, 1))
        await site.send(10, together=False)
        assert site.taken() == [5, 5, 0]
        await one.__aexit__(None, None, None)
        await site.send(10)
        assert site.taken() == [5, 15, 0]
        await two.__aexit__(None, None, None)
        await site.send(10)
        assert site.taken() == [5, 15, 10]
        await site.stop()


async def test_when_all_are_dead_the_lane_is_suspended_and_resumes_with_the_first_that_is_back() -> None:
    async with Peer() as one, Peer() as two:
        site = Site(ROUND_ROBIN, one, two)
        world = site.world
        await site.send(10)
        await one.__aexit__(None, None, None)
        await two.__aexit__(None, None, None)
        for _ in range(30):
            world.send("bob@example.org")
            site.sent += 1
        await site.until(lambda: len(world.of(LaneSuspended)) == 1)
        assert sorted(site.told(TargetSuspended)) == ["h0", "h1"]
        async with two:
            for _ in range(40):
                site.clock.advance(15)
                await asyncio.sleep(0.05)
                if site.is_done():
                    break
            await site.until(site.is_done)
            assert len(world.of(LaneResumed)) == 1
            assert "h1" in site.told(TargetResumed)
            await site.stop()


async def test_many_lanes_with_dead_hosts_do_not_disturb_each_other() -> None:
    async with Peer() as one, Peer() as two:
        site = Site(ROUND_ROBIN, one, two)
        dead = Target(SMTP, "dead.example.net", "127.0.0.1", 1)
        mixed = Route("mx:example.com", (dead, *site.route.targets), "test", balance=ROUND_ROBIN)

        async def deliver(works: list[Work], content: Content) -> list[Outcome]:
            return await site.sender.deliverer.deliver(mixed, works, content)

        site.world.hops[mixed.lane] = deliver
        for _ in range(20):
            site.world.send("carol@example.com")
            site.sent += 1
        await site.send(20)
        counted = Counter(record.target for record in site.sender.records if isinstance(record, TargetSuspended))
        assert counted == {str(dead): 1}
        await site.stop()
