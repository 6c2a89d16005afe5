"""The alarm that wakes the dispatcher's loops."""

import asyncio

from postroad.queue.alarm import Alarm
from tests.support.clock import ManualClock


async def test_it_rings_at_the_earliest_time_it_was_told() -> None:
    clock = ManualClock()
    alarm = Alarm(clock)
    woken: list[int] = []

    async def sleeper() -> None:
        while True:
            await alarm.wait()
            woken.append(clock.now())

    task = asyncio.create_task(sleeper())
    start = clock.now()
    alarm.ring_at(start + 9_000_000)
    alarm.ring_at(start + 5_000_000)
    alarm.ring_at(start + 7_000_000)
    await clock.run(20)
    assert woken == [start + 5_000_000]
    task.cancel()


async def test_a_ring_is_kept_until_somebody_waits() -> None:
    alarm = Alarm(ManualClock())
    alarm.ring()
    alarm.ring()
    async with asyncio.timeout(5):
        await alarm.wait()


async def test_a_time_that_has_passed_rings_at_once() -> None:
    clock = ManualClock()
    alarm = Alarm(clock)
    alarm.ring_at(clock.now() - 1)
    await clock.run(0)
    async with asyncio.timeout(5):
        await alarm.wait()
