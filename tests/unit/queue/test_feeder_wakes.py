"""The feeder is awake when a lane opens, however slow the spool is and however early a timer comes."""

import asyncio
from collections.abc import Callable, Collection
from typing import Final

from postroad.model.work import Work
from postroad.queue.feeder import Feeder
from postroad.queue.ready import Ready
from postroad.queue.settings import QueueSettings
from postroad.queue.times import NEVER
from tests.scenarios.queue_world import lane_of
from tests.support.clock import ManualClock, ManualTimer
from tests.support.memoryspool import MemorySpool

LANE: Final = "mx:a.example"


class EarlyClock(ManualClock):
    """Timers come half a millisecond early, as real ones may: they count in whole milliseconds of another clock."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> ManualTimer:
        return super().call_later(max(seconds - 0.0005, 0.0), callback)


class SlowSpool(MemorySpool):
    """Takes its time to say when something is due; notes for which lanes it was asked for mail."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(lane_of, lambda _envelope: NEVER)
        self.clock = clock
        self.asked: list[Collection[str]] = []

    async def lease(self, want: int, now: int, closed: Collection[str]) -> list[Work]:
        self.asked.append(closed)
        return []

    async def next_due(self, closed: Collection[str]) -> int | None:
        await self.clock.sleep(0.002)
        return None


async def test_a_lane_that_opens_while_the_spool_is_asked_is_not_slept_over() -> None:
    clock = EarlyClock()
    spool, ready = SlowSpool(clock), Ready(QueueSettings())
    until = clock.now() + 1_000_000

    async def lapsed(_works: list[Work]) -> None:
        """Nothing has."""

    feeder = Feeder(
        spool,
        ready,
        lambda _record: None,
        clock,
        admit=lambda _stored, _works: None,
        lapsed=lapsed,
        closed=lambda now: {LANE} if now < until else set(),
        opens=lambda now: until if now < until else NEVER,
        sweep_every=60.0,
    )
    running = asyncio.create_task(feeder.run())
    await clock.run(2)
    assert spool.asked[0] == {LANE}
    assert spool.asked[-1] == set()
    ready.draining = True
    feeder.stop()
    await clock.run(1)
    await running
