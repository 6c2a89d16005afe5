"""Accounts on disk: every minute and at the end, counted again at the start, and nobody's mail waits for it."""

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from postroad.house.counting.keeper import AccountKeeper
from postroad.house.counting.table import table_of
from postroad.house.keeping import EVERY
from postroad.model.counts import Cap, Kept, Take, account_of, parse_cap
from postroad.model.errors import SpoolError
from postroad.model.records import Record, SpoolFaulted
from postroad.policy.rates.table import Table
from postroad.store.counts import load, save
from tests.support.clock import ManualClock

CAPS = [parse_cap(text) for text in ("5/1m", "5/1h", "5/day")]


class Bench:
    """A keeper over a real file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = ManualClock()
        self.records: list[Record] = []
        self.is_full = False
        self.is_wanted = True
        self.saved = 0
        self.begin()

    def begin(self, *, is_first: bool = True) -> None:
        """A start of the server, with nothing in memory."""
        self.table: Table = table_of(256, is_shared=False)
        self.keeper = AccountKeeper(
            self.table,
            self.clock,
            self.records.append,
            lambda: self.is_wanted,
            load=partial(load, self.path) if is_first else None,
            save=self._save,
        )

    def _save(self, accounts: Sequence[Kept]) -> None:
        try:
            if self.is_full:
                raise SpoolError("the disk is full")
            save(self.path, accounts)
        finally:
            self.saved += 1

    async def minute(self, saved: int) -> None:
        """A minute passes, after which it has been written so often."""
        await self.clock.run(EVERY)
        while self.saved < saved:  # a thread writes
            await asyncio.sleep(0.01)
        assert self.saved == saved

    def take(self, amount: int = 5, caps: Sequence[Cap] = CAPS) -> list[str]:
        """The caps that have no room for so much."""
        takes = [Take(account_of("a", cap.label, "bob"), cap, amount, is_soft=True) for cap in caps]
        return [one.take.cap.label for one in self.table.take(takes, self.clock.now())]


async def test_what_lasts_long_is_counted_again_after_a_restart(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "accounts.json")
    bench.keeper.start()
    assert bench.take() == []
    await bench.minute(1)
    bench.begin()
    assert bench.take(1) == ["1h", "day"]


async def test_the_end_keeps_what_came_last_and_nothing_is_written_twice(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "accounts.json")
    bench.keeper.start()
    await bench.clock.run(EVERY * 3)
    assert bench.saved == 0  # nothing was used
    bench.take(2)
    for _ in range(3):
        await bench.minute(1)
    bench.take(3)
    await bench.keeper.stop()
    assert bench.saved == 2
    bench.begin()
    assert bench.take(1) == ["1h", "day"]


async def test_another_courier_leaves_alone_what_is_in_memory(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "accounts.json")
    bench.keeper.start()
    bench.take(5)
    await bench.keeper.stop()
    bench.begin(is_first=False)
    assert bench.take(5) == []


async def test_without_rates_nothing_is_read_or_written(tmp_path: Path) -> None:
    path = tmp_path / "accounts.json"
    path.write_text("nonsense")
    bench = Bench(path)
    bench.records.clear()
    bench.is_wanted = False
    bench.begin()
    bench.keeper.start()
    bench.take()
    await bench.clock.run(EVERY)
    await bench.keeper.stop()
    assert (bench.saved, bench.records) == (0, [])


async def test_a_file_that_makes_no_sense_and_a_full_disk_are_told_once(tmp_path: Path) -> None:
    path = tmp_path / "accounts.json"
    path.write_text("nonsense")
    bench = Bench(path)
    (fault,) = bench.records
    assert isinstance(fault, SpoolFaulted)
    assert fault.reason.endswith("rates are counted anew")
    bench.is_full = True
    bench.keeper.start()
    for number in range(3):
        bench.take(1)
        await bench.minute(number + 1)
    assert [type(one) for one in bench.records] == [SpoolFaulted, SpoolFaulted]
    bench.is_full = False
    await bench.keeper.stop()
    bench.begin()
    assert bench.take(3) == ["1h", "day"]
