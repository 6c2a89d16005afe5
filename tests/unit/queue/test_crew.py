"""The crew: tasks are used again, end when they are dismissed, and stop when they are cancelled."""

import asyncio
from collections import deque

from postroad.queue.crew import PARKED_LIMIT, Crew
from postroad.queue.lane import Lane
from postroad.queue.throttle import ThrottleRules, new_throttle


def lane(name: str) -> Lane:
    return Lane(name, new_throttle(ThrottleRules(5, (1,))), deque())


class Work:
    """Notes which task worked for which lane; waits while `gate` is closed."""

    def __init__(self) -> None:
        self.done: list[tuple[str, object]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, served: Lane) -> None:
        await self.gate.wait()
        self.done.append((served.name, asyncio.current_task()))


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_task_is_used_again() -> None:
    work = Work()
    crew = Crew(work)
    for name in ("a", "b", "c"):
        crew.start(lane(name))
        await settle()
    assert [name for name, _ in work.done] == ["a", "b", "c"]
    assert len({task for _, task in work.done}) == 1
    crew.dismiss()
    await settle()
    assert not crew.running


async def test_lanes_are_served_at_the_same_time() -> None:
    work = Work()
    work.gate.clear()
    crew = Crew(work)
    for number in range(PARKED_LIMIT + 10):
        crew.start(lane(str(number)))
    await settle()
    assert not work.done
    work.gate.set()
    await settle()
    assert len(work.done) == PARKED_LIMIT + 10
    assert len(crew.running) == PARKED_LIMIT  # more do not wait for work
    crew.dismiss()
    await settle()
    assert not crew.running


async def test_dismissed_tasks_finish_what_they_have() -> None:
    work = Work()
    work.gate.clear()
    crew = Crew(work)
    crew.start(lane("a"))
    await settle()
    crew.dismiss()
    await settle()
    assert len(crew.running) == 1
    work.gate.set()
    await settle()
    assert [name for name, _ in work.done] == ["a"]
    assert not crew.running


async def test_cancelled_tasks_stop_where_they_are() -> None:
    work = Work()
    crew = Crew(work)
    crew.start(lane("parked"))
    await settle()
    work.gate.clear()
    crew.start(lane("busy"))
    crew.start(lane("busy too"))
    await settle()
    crew.cancel()
    await settle()
    assert not crew.running
    assert [name for name, _ in work.done] == ["parked"]
    crew.start(lane("after"))  # a cancelled task that was parked is not waited for
    work.gate.set()
    await settle()
    assert [name for name, _ in work.done] == ["parked", "after"]
    crew.dismiss()
    await settle()
