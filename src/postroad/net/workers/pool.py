"""Processes for work that would hold up the event loop: reading archives, scanning content, converting much of it.

`run` gives a top-level function and its arguments to a worker and waits for the value. Each worker does one job at a
time; one that takes too long, dies, or whose caller no longer waits is killed and replaced, and costs no other job.
Those that wait stand in one line of bounded length. Workers are started when there is a job, never by fork of this
process, and end when there was none for a while: who gives no jobs pays nothing.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Final, TypeVar, TypeVarTuple, get_type_hints

import msgspec
from msgspec import Struct

from postroad.model.errors import WorkerLostError, WorkError, WorkOverloadError, WorkRaisedError, WorkTimeoutError
from postroad.model.records import Emit, WorkFailed
from postroad.net.clock import Clock, Timer
from postroad.net.workers.link import WorkerLink, start
from postroad.net.workers.wire import Done, Job

CLOSE_SECONDS: Final = 5.0  # for jobs that run when the server ends
R = TypeVar("R")
Arguments = TypeVarTuple("Arguments")


class WorkTerms(Struct, frozen=True):
    """How many workers at most, octets of memory for each, jobs that may wait, when a worker is exchanged or sent home.

    `jobs` is how many one worker does, `growth` how many octets it may grow by, `idle` how many seconds it waits.
    """

    size: int
    memory: int
    line: int = 200
    jobs: int = 1000
    growth: int = 128 << 20
    idle: float = 60.0


def workers_for(asked: int) -> int:
    """`asked` workers; 0 stands for as many as we may use processors."""
    return asked or len(os.sched_getaffinity(0))


class WorkerPool:
    """The workers of this process; used on one event loop. `measured` gets the seconds that a job waited and ran."""

    def __init__(self, terms: WorkTerms, clock: Clock, emit: Emit) -> None:
        """Nothing is started yet."""
        self.measured: Callable[[float, float], None] | None = None
        self._terms = terms
        self._clock = clock
        self._emit = emit
        self._free = terms.size  # workers that may begin a job, whether they live already or not
        self._line: deque[asyncio.Future[None]] = deque()
        self._idle: list[tuple[float, WorkerLink]] = []  # since when; the last one is used first
        self._busy: set[WorkerLink] = set()
        self._ending: set[asyncio.Task[str]] = set()
        self._timer: Timer | None = None
        self._closing = False
        self._quiet = asyncio.Event()

    @property
    def alive(self) -> int:
        """Workers that live."""
        return len(self._idle) + len(self._busy)

    @property
    def waiting(self) -> int:
        """Jobs that wait for a worker."""
        return len(self._line)

    async def run(self, function: Callable[[*Arguments], R], *arguments: *Arguments, timeout: float) -> R:
        """The value of `function(*arguments)`, computed by a worker; WorkError says why there is none.

        The function stands at the top of a module that is not compiled (decision 19), with types of msgspec declared
        for arguments and value. A job may wait, and then run, for `timeout` seconds each.
        """
        first = arguments[0] if arguments else None
        bulk = first if isinstance(first, bytes) else None
        given: tuple[object, ...] = tuple(arguments)
        packed = msgspec.msgpack.encode(given if bulk is None else given[1:])
        job = Job(function.__module__, function.__name__, timeout, packed, bulk is not None)
        begun = self._clock.monotonic()
        cause, words = "cancelled", ""
        try:
            await self._take_turn(timeout)
            started = self._clock.monotonic()
            try:
                done, answer = await self._perform(job, bulk or b"")
            finally:
                self._end_turn()
            if self.measured is not None:
                self.measured(started - begun, self._clock.monotonic() - started)
            cause = ""
            kind = get_type_hints(function)["return"]
            value: R = msgspec.convert(answer, kind) if done.is_bulk else msgspec.msgpack.decode(done.value, type=kind)
        except WorkError as error:
            cause, words = error.cause, str(error)
            raise
        except (msgspec.DecodeError, RecursionError):  # or of another type
            cause, words = WorkRaisedError.cause, "the value is not of the declared type"
            raise WorkRaisedError(f"{job.module}.{job.name}: {words}") from None
        finally:
            if cause:
                seconds = self._clock.monotonic() - begun
                name = f"{job.module}.{job.name}".removeprefix("postroad.")
                self._emit(
                    WorkFailed(at=self._clock.now(), job=name, cause=cause, reason=words, seconds=round(seconds, 6))
                )
        return value

    async def close(self) -> None:
        """Take no more jobs, let those that run come to their end within seconds, and end all workers."""
        self._closing = True
        while self._line:
            self._pass_on(WorkOverloadError("the server ends"))
        if self._free < self._terms.size:
            self._quiet.clear()
            await _within(CLOSE_SECONDS, self._quiet.wait())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for link in (*self._busy, *(link for _, link in self._idle)):
            self._end(link)
        self._idle.clear()
        while self._ending:
            await asyncio.wait(self._ending)

    # -- whose turn it is ----------------------------------------------------------------------

    async def _take_turn(self, timeout: float) -> None:
        if self._closing:
            raise WorkOverloadError("the server ends")
        if self._free:
            self._free -= 1
            return
        if len(self._line) >= self._terms.line:
            raise WorkOverloadError(f"{len(self._line)} jobs wait for {self._terms.size} workers")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            async with asyncio.timeout(timeout):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._end_turn()  # it came at the very moment in which we gave up
            elif turn in self._line:
                self._line.remove(turn)
            if isinstance(error, TimeoutError):
                raise WorkOverloadError(f"no worker was free within {timeout:g} s") from None
            raise

    def _end_turn(self) -> None:
        self._free += 1
        if self._line:
            self._pass_on(None)
        if self._free == self._terms.size:
            self._quiet.set()

    def _pass_on(self, error: WorkError | None) -> None:
        """The next in the line begins, or fails by `error`."""
        while self._line:
            turn = self._line.popleft()
            if turn.done():  # its caller was cancelled
                continue
            if error is not None:
                turn.set_exception(error)
            else:
                self._free -= 1
                turn.set_result(None)
            return

    # -- the work ------------------------------------------------------------------------------

    async def _perform(self, job: Job, bulk: bytes) -> tuple[Done, bytes]:
        link = await self._worker()
        self._busy.add(link)
        goes_on = False
        try:
            async with asyncio.timeout(job.seconds):
                done, answer = await link.ask(job, bulk)
            goes_on = not done.is_spent and link.jobs < self._terms.jobs and link.growth < self._terms.growth
        except TimeoutError:
            raise WorkTimeoutError(f"not done within {job.seconds:g} s") from None
        except (EOFError, OSError, msgspec.DecodeError, ValueError, RecursionError) as error:
            self._end(link, error)
            assert link.ending is not None
            raise WorkerLostError(f"the worker ended: {await asyncio.shield(link.ending)}") from None
        finally:
            self._busy.discard(link)
            if goes_on and not self._closing:
                self._rest(link)
            else:
                self._end(link)
        if done.error:
            raise WorkRaisedError(done.error)
        return done, answer

    async def _worker(self) -> WorkerLink:
        while self._idle:
            _, link = self._idle.pop()
            if link.is_alive:
                return link
            self._end(link)
        try:
            return await start(self._terms.memory)
        except OSError as error:
            raise WorkerLostError(f"no worker can be started: {error.strerror or error}") from error

    def _rest(self, link: WorkerLink) -> None:
        self._idle.append((self._clock.monotonic(), link))
        if self._timer is None:
            self._timer = self._clock.call_later(self._terms.idle, self._send_home)

    def _send_home(self) -> None:
        """End the workers that had nothing to do for long."""
        before = self._clock.monotonic() - self._terms.idle
        for since, link in self._idle:
            if since <= before:
                self._end(link)
        self._idle = [(since, link) for since, link in self._idle if since > before]
        self._timer = self._clock.call_later(self._terms.idle, self._send_home) if self._idle else None

    def _end(self, link: WorkerLink, fault: Exception | None = None) -> None:
        """Kill a worker and take leave of it, beside everything else."""
        if link.ending is None:
            link.ending = asyncio.create_task(link.end(fault))
            self._ending.add(link.ending)
            link.ending.add_done_callback(self._ending.discard)


async def _within(seconds: float, wait: Coroutine[None, None, object]) -> None:
    try:
        async with asyncio.timeout(seconds):
            await wait
    except TimeoutError:
        pass
