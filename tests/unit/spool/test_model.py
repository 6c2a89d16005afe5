"""Any schedule of puts, settlements, releases, leases, ticks and crashes behaves like a dictionary.

The model knows what was acknowledged. After every reopening: nothing acknowledged is lost, nothing final comes
back, and every recipient has the state that was last made durable.
"""

import asyncio
import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from postroad.model.trail import Attempt, extend
from postroad.model.work import Change, Status, Work
from postroad.spool.query import Query
from postroad.spool.spool import EmbeddedSpool
from tests.support.clock import START, ManualClock
from tests.unit.spool.building import (
    HOUR,
    Bench,
    content_of,
    deferred,
    delivered,
    envelope,
    lease_all,
    put,
    settle,
    start_settle,
)

Key = tuple[str, int]


class SpoolMachine(RuleBasedStateMachine):
    """Drives a real spool in a real folder."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = ManualClock()
        self.bench = Bench(self.folder / "spool", clock=self.clock, segment_size=1 << 16, inline_size=4096)
        self.number = 0
        self.rows: dict[Key, tuple[int, int]] = {}  # due and attempts of every open recipient
        self.content: dict[str, bytes] = {}
        self.held: dict[Key, Work] = {}
        self.moved: dict[Key, str] = {}  # lanes that were chosen for good
        self.trails: dict[Key, str] = {}
        self.stopped: set[Key] = set()  # of the open ones, those that an operator holds
        self.spool: EmbeddedSpool

    @initialize()
    def open(self) -> None:
        self.spool = self.runner.run(self.bench.open())

    def teardown(self) -> None:
        self.runner.run(self.check_all())
        self.runner.run(self.spool.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    def took(self, works: list[Work]) -> None:
        for work in works:
            key = (work.stored.id, work.index)
            assert key not in self.held, "leased twice"
            self.expect(key, work)
            self.held[key] = work
        for work in works:
            open_now = sum(1 for queue_id, _ in self.rows if queue_id == work.stored.id)
            assert work.stored.open == open_now

    def expect(self, key: Key, work: Work) -> None:
        assert self.rows[key] == (work.due, work.attempts)
        assert work.lane == self.moved.get(key, f"mx:{work.recipient.address.domain}")
        assert work.trail == self.trails.get(key, "")
        assert (work.status is Status.HELD) == (key in self.stopped)

    @rule(count=st.integers(1, 3), size=st.sampled_from([0, 1, 300, 3000, 9000]), domain=st.integers(0, 2))
    def put(self, count: int, size: int, domain: int) -> None:
        self.number += 1
        one = envelope(self.number, *(f"u{i}@d{domain}.example" for i in range(count)), size=size)
        content = bytes([self.number % 256]) * size

        async def go() -> list[Work]:
            if size <= 4096:
                return await put(self.spool, one, content)
            draft = self.spool.draft(lambda: None)
            for start in range(0, size, 1000):
                draft.append(content[start : start + 1000])
            return await put(self.spool, one, draft)

        works = self.runner.run(go())
        self.content[one.id] = content
        self.rows.update({(one.id, index): (one.arrived, 0) for index in range(count)})
        self.took(works)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), final=st.booleans(), report=st.booleans(), wait=st.booleans())
    def settle(self, data: st.DataObject, final: bool, report: bool, wait: bool) -> None:
        keys = data.draw(st.lists(st.sampled_from(sorted(self.held)), min_size=1, max_size=4, unique=True))
        works = [self.held[key] for key in keys]
        changes: list[Change]
        if final:
            changes = delivered(*works)
        else:
            changes = [deferred(work, START + data.draw(st.integers(0, 9)) * HOUR) for work in works]
            for key, change in zip(keys, changes, strict=True):
                change.lane = data.draw(st.sampled_from(["", "", "mx:d0.example", "smtp://moved.example:25"]))
                if data.draw(st.booleans()):
                    change.trail = extend(change.work.trail, Attempt(change.due, "host", "RCPT TO", "451 no"))
                change.status = data.draw(st.sampled_from([Status.PENDING, Status.PENDING, Status.HELD]))
                self.moved.update({key: change.lane} if change.lane else {})
                self.trails.update({key: change.trail} if change.trail else {})
                (self.stopped.add if change.status is Status.HELD else self.stopped.discard)(key)
        reports = []
        if report:
            self.number += 1
            reports = [(envelope(self.number), b"report")]

        async def go() -> list[Work]:
            if wait or report:
                return [work for _, made in await settle(self.spool, changes, reports) for work in made]
            _ = start_settle(self.spool, changes)
            return []

        made = self.runner.run(go())
        if not (wait or report):
            # Not awaited: a crash may lose it. Let it become durable before the model relies on it.
            self.runner.run(self.spool._commits.barrier())
        for key, change in zip(keys, changes, strict=True):
            if final:
                del self.rows[key]
                del self.held[key]
                self.stopped.discard(key)
            else:
                self.rows[key] = (change.due, change.attempts)
        for work in made:
            self.content[work.stored.id] = b"report"
            self.rows[work.stored.id, work.index] = (work.due, 0)
        self.took(made)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        keys = data.draw(st.lists(st.sampled_from(sorted(self.held)), min_size=1, max_size=5, unique=True))
        self.spool.release([self.held.pop(key) for key in keys])

    @rule(want=st.integers(1, 5), hours=st.integers(0, 10), closed=st.sets(st.integers(0, 2), max_size=2))
    def lease(self, want: int, hours: int, closed: set[int]) -> None:
        now = START + hours * HOUR
        lanes = {f"mx:d{number}.example" for number in closed}
        works = self.runner.run(self.spool.lease(want, now, lanes))
        assert all(work.lane not in lanes and work.due <= now for work in works)
        waiting = [
            key
            for key, (due, _) in self.rows.items()
            if key not in self.held | dict.fromkeys(self.stopped) and due <= now and self.lane(key) not in lanes
        ]
        assert len(works) == min(want, len(waiting))
        self.took(works)

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        """What nobody holds can be had by name, held or not, due or not; the rest cannot."""
        keys = data.draw(st.lists(st.sampled_from(sorted(self.rows)), min_size=1, max_size=4, unique=True))
        works = self.runner.run(self.spool.desk.claim([*keys, ("0" * 13, -1)]))
        assert {(work.stored.id, work.index) for work in works} == set(keys) - self.held.keys()
        self.took(works)

    def lane(self, key: Key) -> str:
        (row,) = [one for one in self.runner.run(self.spool.desk.find(Query(limit=10_000))) if one.id == key[0]]
        return next(one.lane for one in row.recipients if one.index == key[1])

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.1]))
    def tick(self, seconds: float) -> None:
        self.runner.run(self.clock.run(seconds))

    @rule()
    def flush(self) -> None:
        self.runner.run(self.spool.flush())

    @rule()
    def maintain(self) -> None:
        self.runner.run(self.spool.maintain())

    @rule()
    def compact(self) -> None:
        """Copy the oldest segment out, whether it pays or not."""

        async def go() -> None:
            await self.spool.flush()
            maintenance = self.spool._journals._main
            number = maintenance._first_live()
            if number < self.spool._commits.end[0]:
                await maintenance._copy_out(number)
                maintenance.drop_dead()

        self.runner.run(go())

    @rule(clean=st.booleans(), index=st.sampled_from(["keep", "keep", "remove", "spoil"]))
    def reopen(self, clean: bool, index: str) -> None:
        self.runner.run(self.spool.close() if clean else self.bench.crash(self.spool))
        path = self.bench.folder / "index.db"
        if index == "remove":
            path.unlink()
        elif index == "spoil":
            path.write_bytes(b"spoiled " * 1000)
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
        self.held.clear()
        self.spool = self.runner.run(self.bench.open())
        self.runner.run(self.check_all())

    async def check_all(self) -> None:
        """Everything that must be there is there, as it should be, and nothing else."""
        works = await lease_all(self.spool)
        works += await self.spool.desk.claim(sorted(self.stopped - self.held.keys()))
        for work in works:
            key = (work.stored.id, work.index)
            self.expect(key, work)
            assert await content_of(self.spool, work) == self.content[work.stored.id]
        found = {(work.stored.id, work.index) for work in works}
        assert found | self.held.keys() == self.rows.keys()
        assert not found & self.held.keys()
        self.spool.release(works)

    @invariant()
    def counters_fit(self) -> None:
        if not hasattr(self, "spool"):
            return
        live = self.spool._ledger.live
        assert sum(one.messages for one in live.values()) == len({queue_id for queue_id, _ in self.rows})
        assert all(one.messages >= 0 and one.octets >= 0 for one in live.values())
        assert self.spool._ledger.octets == sum(one.octets for one in live.values())


SpoolMachine.TestCase.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestSpool = SpoolMachine.TestCase
