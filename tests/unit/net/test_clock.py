"""The system's clock, and the hand-driven one that stands for it."""

import asyncio
import time

from postroad.net.clock import Clock, SystemClock
from tests.support.clock import START, ManualClock


async def test_system_clock_tells_the_time() -> None:
    clock: Clock = SystemClock()
    before = time.time_ns() // 1000
    assert before <= clock.now() <= time.time_ns() // 1000
    assert clock.monotonic() <= clock.monotonic()
    await clock.sleep(0)


async def test_system_clock_calls_back_and_cancels() -> None:
    clock = SystemClock()
    called = asyncio.Event()
    clock.call_later(0, called.set)
    never = asyncio.Event()
    clock.call_later(0, never.set).cancel()
    await called.wait()
    await clock.sleep(0.001)
    assert not never.is_set()


async def test_system_clock_sleeps_for_ever_until_cancelled() -> None:
    sleeper = asyncio.ensure_future(SystemClock().sleep(float("inf")))
    timer = SystemClock().call_later(float("inf"), lambda: None)
    await asyncio.sleep(0)
    assert not sleeper.done()
    timer.cancel()
    sleeper.cancel()
    await asyncio.wait([sleeper])
    assert sleeper.cancelled()


async def test_manual_clock_runs_what_falls_due_in_order() -> None:
    clock = ManualClock()
    seen: list[tuple[str, int]] = []

    def note(word: str) -> None:
        seen.append((word, clock.now() - START))

    clock.call_later(3, lambda: note("three"))

    def one_then_two() -> None:
        note("one")
        clock.call_later(1, lambda: note("two"))

    clock.call_later(1, one_then_two)
    clock.call_later(2, lambda: note("never")).cancel()
    clock.advance(2.5)
    assert seen == [("one", 1_000_000), ("two", 2_000_000)]
    assert clock.next_due() == 0.5
    clock.advance(1)
    assert seen[-1] == ("three", 3_000_000)
    assert clock.monotonic() == 1003.5
    assert clock.next_due() is None


async def test_manual_clock_wakes_sleepers_between_instants() -> None:
    clock = ManualClock()
    woken: list[float] = []

    async def nap_twice() -> None:
        for _ in range(2):
            await clock.sleep(3600)
            woken.append(clock.monotonic())
        await clock.sleep(0)

    task = asyncio.ensure_future(nap_twice())
    await clock.run(86_400)
    assert woken == [4600.0, 8200.0]
    assert task.done()
