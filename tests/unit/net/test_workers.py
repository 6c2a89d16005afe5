"""Worker processes that are real: each way to go wrong costs its own job, and nobody else's."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from postroad.model.errors import WorkerLostError, WorkOverloadError, WorkRaisedError, WorkTimeoutError
from postroad.model.records import Record, WorkFailed
from postroad.net.clock import SystemClock
from postroad.net.workers.pool import WorkerPool, WorkTerms, workers_for
from tests.support import jobs

MEMORY = 1 << 30
LONG = 60.0  # what no job of these tests comes near, unless something is broken


class World:
    """A pool and what it told."""

    def __init__(self, **terms: float) -> None:
        self.records: list[Record] = []
        given = {"size": 1, "memory": MEMORY, **terms}
        self.pool = WorkerPool(WorkTerms(**given), SystemClock(), self.records.append)  # type: ignore[arg-type]

    @property
    def causes(self) -> list[str]:
        return [record.cause for record in self.records if isinstance(record, WorkFailed)]


@asynccontextmanager
async def world(**terms: float) -> AsyncIterator[World]:
    it = World(**terms)
    try:
        yield it
    finally:
        await it.pool.close()
        assert it.pool.alive == it.pool.waiting == 0


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)


def is_gone(pid: int) -> bool:
    """True when there is no such process, or nothing of it but its exit status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def test_a_pool_that_has_no_jobs_has_no_processes() -> None:
    async with world(size=4) as it:
        assert it.pool.alive == 0


async def test_jobs_go_to_a_worker_that_stays() -> None:
    async with world() as it:
        assert [await it.pool.run(jobs.double, number, timeout=LONG) for number in range(5)] == [0, 2, 4, 6, 8]
        assert await it.pool.run(jobs.pid, timeout=LONG) == await it.pool.run(jobs.pid, timeout=LONG) != os.getpid()
        assert it.pool.alive == 1
        assert it.records == []


async def test_large_content_goes_there_and_back() -> None:
    content = os.urandom(1 << 20) * 40
    async with world() as it:
        assert await it.pool.run(jobs.backwards, content, timeout=LONG) == content[::-1]
        assert await it.pool.run(jobs.middle, b"abcdef", 2, 4, timeout=LONG) == b"cd"
        assert await it.pool.run(jobs.middle, b"abcdef", 4, 2, timeout=LONG) is None
        assert await it.pool.run(jobs.backwards, b"", timeout=LONG) == b""


async def test_a_worker_has_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTROAD_SECRET", "geheim")
    held = os.dup(0)
    os.set_inheritable(held, True)
    async with world() as it:
        seen = await it.pool.run(jobs.facts, timeout=LONG)
    os.close(held)
    assert "geheim" not in str(seen.environment)
    assert set(seen.environment) <= {"LANG", "LC_ALL", "LC_CTYPE", "TZ"}
    kinds = sorted(link.partition(":")[0] for link in seen.descriptors)
    assert kinds == ["/dev/null", "/dev/null", "/dev/null", "socket"]
    assert (seen.nice, seen.folder, seen.files) == (min(os.getpriority(os.PRIO_PROCESS, 0) + 10, 19), "/", 64)


async def test_a_job_that_hangs_is_ended_at_its_deadline(tmp_path: Path) -> None:
    async with world() as it:
        mark = tmp_path / "pid"
        await it.pool.run(jobs.pid, timeout=LONG)  # its start takes none of the two seconds
        with pytest.raises(WorkTimeoutError, match=r"not done within 2 s"):
            await it.pool.run(jobs.hang, str(mark), timeout=2)
        await until(lambda: is_gone(int(mark.read_text())))
        with pytest.raises(WorkTimeoutError):
            await it.pool.run(jobs.spin, timeout=1)
        assert await it.pool.run(jobs.double, 4, timeout=LONG) == 8
        assert it.causes == ["timeout", "timeout"]


async def test_a_worker_that_is_killed_costs_its_job_alone(tmp_path: Path) -> None:
    async with world(size=2) as it:
        mark = tmp_path / "pid"
        other = asyncio.create_task(it.pool.run(jobs.pause, 1.0, timeout=LONG))
        lost = asyncio.create_task(it.pool.run(jobs.hang, str(mark), timeout=LONG))
        await until(lambda: mark.exists() and mark.read_text())
        os.kill(int(mark.read_text()), signal.SIGKILL)
        with pytest.raises(WorkerLostError, match="the worker ended: signal SIGKILL"):
            await lost
        assert await other > 0
        assert await it.pool.run(jobs.double, 4, timeout=LONG) == 8
        assert it.causes == ["lost"]


async def test_a_job_that_takes_its_worker_down() -> None:
    async with world() as it:
        with pytest.raises(WorkerLostError, match="exit status 3"):
            await it.pool.run(jobs.leave, 3, timeout=LONG)
        with pytest.raises(WorkerLostError, match="signal SIGSEGV"):
            await it.pool.run(jobs.crash, timeout=LONG)
        assert await it.pool.run(jobs.double, 4, timeout=LONG) == 8


async def test_a_worker_that_dies_while_idle_costs_no_job() -> None:
    async with world() as it:
        first = await it.pool.run(jobs.pid, timeout=LONG)
        os.kill(first, signal.SIGKILL)
        await until(lambda: not it.pool._idle[0][1].is_alive)
        assert await it.pool.run(jobs.pid, timeout=LONG) != first


async def test_memory_and_files_are_bounded() -> None:
    async with world(memory=512 << 20) as it:
        before = await it.pool.run(jobs.pid, timeout=LONG)
        with pytest.raises(WorkRaisedError, match=r"more memory than `process.worker_memory` allows"):
            await it.pool.run(jobs.grow, 1 << 30, timeout=LONG)
        assert await it.pool.run(jobs.pid, timeout=LONG) != before, "it is not used again"
        with pytest.raises(WorkRaisedError, match="OSError at jobs.py"):
            await it.pool.run(jobs.open_many, timeout=LONG)
        assert await it.pool.run(jobs.grow, 1 << 20, timeout=LONG) == 1 << 20


async def test_what_a_job_raises_is_told_without_its_words() -> None:
    async with world() as it:
        with pytest.raises(WorkRaisedError, match=r"^ValueError at jobs.py:\d+$"):
            await it.pool.run(jobs.quote, "a secret of somebody", timeout=LONG)
        assert "secret" not in str(it.records)
        assert it.causes == ["raised"]


async def test_a_value_of_another_type_is_refused() -> None:
    async with world() as it:
        with pytest.raises(WorkRaisedError, match="not of the declared type"):
            await it.pool.run(jobs.misdeclared, timeout=LONG)
        with pytest.raises(WorkRaisedError, match="not of the declared type"):
            await it.pool.run(jobs.misdeclared_bulk, timeout=LONG)


async def test_a_flood_waits_in_a_line_and_no_longer() -> None:
    async with world(size=2, line=10) as it:
        running = [asyncio.create_task(it.pool.run(jobs.pause, 0.2, timeout=LONG)) for _ in range(30)]
        done = await asyncio.gather(*running, return_exceptions=True)
        assert len({pid for pid in done if isinstance(pid, int)}) <= 2
        assert sum(isinstance(pid, int) for pid in done) == 12
        assert sum(isinstance(error, WorkOverloadError) for error in done) == 18
        assert it.causes == ["overload"] * 18


async def test_who_waits_too_long_for_a_worker_gives_up() -> None:
    async with world() as it:
        first = asyncio.create_task(it.pool.run(jobs.pause, LONG, timeout=LONG))
        await until(lambda: it.pool.alive)
        with pytest.raises(WorkOverloadError, match=r"no worker was free within 0.2 s"):
            await it.pool.run(jobs.double, 1, timeout=0.2)
        assert it.pool.waiting == 0
        first.cancel()
        await asyncio.wait((first,))


async def test_a_caller_that_goes_frees_its_place(tmp_path: Path) -> None:
    async with world() as it:
        mark = tmp_path / "pid"
        running = asyncio.create_task(it.pool.run(jobs.hang, str(mark), timeout=LONG))
        await until(lambda: mark.exists() and mark.read_text())
        waiting = [asyncio.create_task(it.pool.run(jobs.double, number, timeout=LONG)) for number in range(3)]
        await until(lambda: it.pool.waiting == 3)
        waiting[0].cancel()
        running.cancel()
        assert await asyncio.gather(*waiting[1:]) == [2, 4]
        for gone in (running, waiting[0]):
            with pytest.raises(asyncio.CancelledError):
                await gone
        await until(lambda: is_gone(int(mark.read_text())))
        assert it.causes == ["cancelled", "cancelled"]


async def test_the_one_whose_turn_came_as_it_gave_up_passes_it_on(tmp_path: Path) -> None:
    async with world() as it:
        first = asyncio.create_task(it.pool.run(jobs.double, 1, timeout=LONG))
        await asyncio.sleep(0)
        second = asyncio.create_task(it.pool.run(jobs.double, 2, timeout=LONG))
        third = asyncio.create_task(it.pool.run(jobs.double, 3, timeout=LONG))
        await until(lambda: it.pool.waiting == 2)
        first.add_done_callback(lambda _: second.cancel())
        await asyncio.wait((first, second))
        assert await third == 6


async def test_workers_are_exchanged_after_some_jobs_and_when_they_grow() -> None:
    async with world(jobs=3) as it:
        pids = [await it.pool.run(jobs.pid, timeout=LONG) for _ in range(6)]
        assert len(set(pids)) == 2
        assert pids == [pids[0]] * 3 + [pids[3]] * 3
    async with world(growth=30 << 20) as it:
        pids = [await it.pool.run(jobs.keep, 10 << 20, number, timeout=LONG) for number in range(8)]
        assert 1 < len(set(pids)) < 8


async def test_idle_workers_go_home(tmp_path: Path) -> None:
    async with world(idle=0.1) as it:
        pid = await it.pool.run(jobs.pid, timeout=LONG)
        await until(lambda: is_gone(pid))
        assert it.pool.alive == 0
        assert await it.pool.run(jobs.double, 2, timeout=LONG) == 4


async def test_the_end_waits_for_what_runs_and_takes_nothing_more() -> None:
    async with world() as it:
        running = asyncio.create_task(it.pool.run(jobs.pause, 0.5, timeout=LONG))
        waiting = asyncio.create_task(it.pool.run(jobs.double, 1, timeout=LONG))
        await until(lambda: it.pool.waiting)
        await it.pool.close()
        assert await running > 0
        for refused in (waiting, asyncio.create_task(it.pool.run(jobs.double, 1, timeout=LONG))):
            with pytest.raises(WorkOverloadError, match="the server ends"):
                await refused


async def test_the_end_kills_what_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postroad.net.workers.pool.CLOSE_SECONDS", 0.2)
    async with world() as it:
        mark = tmp_path / "pid"
        running = asyncio.create_task(it.pool.run(jobs.hang, str(mark), timeout=LONG))
        await until(lambda: mark.exists() and mark.read_text())
        await it.pool.close()
        with pytest.raises(WorkerLostError):
            await running
        assert is_gone(int(mark.read_text()))


async def test_what_is_measured() -> None:
    async with world() as it:
        measured: list[tuple[float, float]] = []
        it.pool.measured = lambda waited, ran: measured.append((waited, ran))
        await asyncio.gather(*(it.pool.run(jobs.pause, 0.1, timeout=LONG) for _ in range(3)))
        assert len(measured) == 3
        assert all(ran >= 0.1 for _, ran in measured)
        assert max(waited for waited, _ in measured) >= 0.2


async def test_workers_die_with_the_server(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    code = (
        "import asyncio, sys\n"
        "from postroad.net.clock import SystemClock\n"
        "from postroad.net.workers.pool import WorkerPool, WorkTerms\n"
        "from tests.support import jobs\n"
        "pool = WorkerPool(WorkTerms(1, 1 << 30), SystemClock(), print)\n"
        f"asyncio.run(pool.run(jobs.hang, {str(mark)!r}, timeout=60))\n"
    )
    program = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    await until(lambda: mark.exists() and mark.read_text())
    program.kill()
    await program.wait()
    await until(lambda: is_gone(int(mark.read_text())))


def test_as_many_as_processors() -> None:
    assert workers_for(3) == 3
    assert workers_for(0) == len(os.sched_getaffinity(0))
