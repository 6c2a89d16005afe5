"""The queue by next hop and age: few series, the index asked seldom, and old answers when it is slow."""

import asyncio

import pytest

from postroad.model.errors import SpoolError
from postroad.observe.metrics.queue import AGE_NAMES, KEEP, LANES_SHOWN, QueueShape, Shape, lane_series
from postroad.observe.metrics.series import OTHER, Series
from tests.support.clock import ManualClock

AGES = len(AGE_NAMES)


def totals(series: list[Series]) -> dict[str, float]:
    out: dict[str, float] = {}
    for one in series:
        out[one.labels[0]] = out.get(one.labels[0], 0) + one.value
    return out


def test_small_lanes_are_joined() -> None:
    shape = {f"lane{number}": [number] + [0] * (AGES - 1) for number in range(1, 101)}
    found = totals(list(lane_series(shape)))
    assert len(found) == LANES_SHOWN + 1
    assert found["lane100"] == 100
    assert "lane80" not in found
    assert found[OTHER] == sum(range(1, 81))


def test_a_lane_named_other_is_not_lost() -> None:
    shape = {f"lane{number}": [1] * AGES for number in range(30)} | {OTHER: [5] * AGES}
    found = totals(list(lane_series(shape)))
    assert sum(found.values()) == 30 * AGES + 5 * AGES
    assert found[OTHER] == 5 * AGES + (30 - LANES_SHOWN + 1) * AGES


def test_lanes_without_a_name_and_few_lanes() -> None:
    assert totals(list(lane_series({"": [1] * AGES}))) == {"none": AGES}
    assert list(lane_series({})) == []


async def test_the_index_is_asked_seldom_and_a_fault_keeps_the_answer() -> None:
    clock, asked = ManualClock(), 0

    async def ask() -> Shape:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise SpoolError("broken")
        return {"lane": [asked] * AGES}

    shape = QueueShape(ask, clock)
    first = await shape.series()
    assert await shape.series() == first
    assert asked == 1
    clock.advance(KEEP)
    assert await shape.series() == first
    assert asked == 2
    clock.advance(KEEP)
    assert totals(await shape.series()) == {"lane": 3 * AGES}
    await shape.close()


async def test_a_bug_is_raised_and_the_next_scrape_asks_anew() -> None:
    clock, answers = ManualClock(), iter([{}, {"lane": [1] * AGES}])

    async def ask() -> Shape:
        answer = next(answers)
        if not answer:
            raise ZeroDivisionError
        return answer

    shape = QueueShape(ask, clock)
    with pytest.raises(ZeroDivisionError):
        await shape.series()
    clock.advance(KEEP)
    assert totals(await shape.series()) == {"lane": AGES}


async def test_two_scrapes_share_one_question_and_close_ends_it() -> None:
    asked, answer = 0, asyncio.Event()

    async def ask() -> Shape:
        nonlocal asked
        asked += 1
        await answer.wait()
        return {"lane": [1] * AGES}

    shape = QueueShape(ask, ManualClock())
    scrapes = [asyncio.create_task(shape.series()) for _ in range(2)]
    await asyncio.sleep(0)
    answer.set()
    assert await scrapes[0] == await scrapes[1] != []
    assert asked == 1
    await shape.close()
