"""Rates on disk: every minute and at the end, counted again at the start, and nobody's mail waits for it."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from postroad.house.keeping import EVERY
from postroad.house.rates import RateKeeper
from postroad.model.errors import SpoolError
from postroad.model.records import Record, SpoolFaulted
from postroad.model.usage import Usage
from postroad.queue.settings import ShapingSettings
from postroad.queue.shaping import Shaping
from postroad.store.rates import load, save
from tests.support.clock import START, ManualClock


def shaping() -> Shaping:
    return Shaping([ShapingSettings.model_validate({"rates": ["9/day"]})], recipients=100)


class Bench:
    """A keeper over a real file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = ManualClock()
        self.records: list[Record] = []
        self.is_full = False
        self.rules: Shaping | None = shaping()
        self.saved = 0
        self.keeper = self.begin()

    def begin(self) -> RateKeeper:
        """A start of the server."""
        return RateKeeper(
            lambda: self.rules, self.clock, self.records.append, load=partial(load, self.path), save=self._save
        )

    def _save(self, usages: Sequence[Usage]) -> None:
        self.saved += 1
        if self.is_full:
            raise SpoolError("the disk is full")
        save(self.path, usages)

    def restart(self) -> int:
        """What is free after another start."""
        self.rules = shaping()
        self.begin()
        return self.free()

    def free(self) -> int:
        assert self.rules is not None
        (limit,) = self.rules.first_shape("mx:a.example").limits
        return limit.free(self.clock.now())

    def send(self, count: int) -> None:
        assert self.rules is not None
        (limit,) = self.rules.first_shape("mx:a.example").limits
        limit.count(self.clock.now(), count)

    async def until(self, condition: Callable[[], bool]) -> None:
        """A minute more passes, and then what threads need."""
        await self.clock.run(EVERY)
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.001)


async def test_it_is_kept_every_minute_and_at_the_end(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "rates.json")
    keeper = bench.keeper
    keeper.start()
    bench.send(2)
    await bench.until(bench.path.exists)
    bench.send(3)  # a kill here loses these
    before = bench.rules
    assert bench.restart() == 7
    bench.rules = before
    await keeper.stop()
    assert bench.restart() == 4
    assert bench.path.stat().st_mode & 0o777 == 0o600


async def test_what_has_not_changed_is_not_written_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "rates.json")
    bench.send(1)
    for _ in range(3):
        await bench.keeper.keep()
    assert bench.saved == 1
    bench.send(1)
    await bench.keeper.keep()
    assert bench.saved == 2


async def test_a_full_disk_is_told_once_and_tried_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "rates.json")
    bench.send(1)
    bench.is_full = True
    for _ in range(3):
        await bench.keeper.keep()
    assert bench.records == [SpoolFaulted(at=START, reason="the disk is full")]
    bench.is_full = False
    await bench.keeper.keep()
    assert bench.restart() == 8


async def test_a_broken_file_is_told_and_costs_the_counts_alone(tmp_path: Path) -> None:
    path = tmp_path / "rates.json"
    for octets in (b"", b"[", b'[{"kind": 1}]', b"{}"):
        path.write_bytes(octets)
        bench = Bench(path)
        (told,) = bench.records
        assert isinstance(told, SpoolFaulted)
        assert "cannot be read" in told.reason
        assert bench.free() == 9


async def test_without_rules_nothing_is_read_or_written(tmp_path: Path) -> None:
    path = tmp_path / "rates.json"
    path.write_bytes(b"broken")
    bench = Bench(path)
    bench.records.clear()
    bench.rules = None
    bench.begin()
    await bench.keeper.keep()
    assert (bench.records, bench.saved) == ([], 0)
