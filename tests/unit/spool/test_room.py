"""No room: told once, with hysteresis, and over by itself."""

import asyncio
import errno
from pathlib import Path

import pytest

from postroad.model.errors import SpoolFullError
from postroad.model.records import SpoolFull, SpoolHasRoom
from postroad.spool.room import PROBE_AFTER, RESERVE
from postroad.spool.spool import EmbeddedSpool
from tests.support.clock import ManualClock
from tests.unit.spool.building import Bench, FaultyDisk, envelope, put

FLOOR = 100 << 20


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


@pytest.fixture
def bench(tmp_path: Path, disk: FaultyDisk) -> Bench:
    return Bench(tmp_path / "spool", disk, free_space=FLOOR)


async def pass_time(bench: Bench, spool: EmbeddedSpool, seconds: float) -> None:
    """Let the watch look again and again."""
    assert isinstance(bench.clock, ManualClock)
    for _ in range(round(seconds)):
        bench.clock.advance(1.0)
        await spool._reading.call(lambda: None)
        await asyncio.sleep(0)


async def test_refusing_begins_under_the_floor_and_ends_above_it(bench: Bench, disk: FaultyDisk) -> None:
    disk.octets_free = FLOOR
    spool = await bench.open()
    assert spool.has_room()
    disk.octets_free = FLOOR - 1
    await pass_time(bench, spool, 1)
    assert not spool.has_room()
    disk.octets_free = FLOOR + 1
    await pass_time(bench, spool, 5)
    assert not spool.has_room()
    await put(spool, envelope(1))  # what is under way is still taken
    disk.octets_free = FLOOR + FLOOR // 10
    await pass_time(bench, spool, 1)
    assert spool.has_room()
    assert len(bench.kinds(SpoolFull)) == len(bench.kinds(SpoolHasRoom)) == 1
    await spool.close()


async def test_a_spool_opened_on_a_full_disk_says_so_at_once(bench: Bench, disk: FaultyDisk) -> None:
    disk.octets_free = 5
    spool = await bench.open()
    assert not spool.has_room()
    (record,) = bench.kinds(SpoolFull)
    assert (record.free, record.floor) == (5, FLOOR)  # type: ignore[attr-defined]
    await spool.close()


@pytest.mark.parametrize("freed", [0, 2 << 20])
async def test_a_full_disk_is_noticed_at_once_and_tried_again(bench: Bench, disk: FaultyDisk, freed: int) -> None:
    disk.octets_free = 2 * FLOOR
    spool = await bench.open()
    disk.fail("pwritev", errno.EDQUOT)
    with pytest.raises(SpoolFullError):
        await put(spool, envelope(1))
    assert not spool.has_room()
    await pass_time(bench, spool, 2)
    assert not spool.has_room()
    disk.octets_free += freed
    await pass_time(bench, spool, 1 if freed else PROBE_AFTER)
    assert spool.has_room()
    await put(spool, envelope(1))
    await spool.close()


async def test_a_full_disk_gets_the_reserve_until_it_has_room_again(bench: Bench, disk: FaultyDisk) -> None:
    reserve = bench.folder / "reserve"
    spool = await bench.open()
    await pass_time(bench, spool, 1)
    assert reserve.stat().st_size == RESERVE
    disk.fail("pwritev", errno.ENOSPC)
    with pytest.raises(SpoolFullError):
        await put(spool, envelope(1))
    await pass_time(bench, spool, 1)
    assert not reserve.exists()
    await pass_time(bench, spool, PROBE_AFTER + 3)
    assert reserve.stat().st_size == RESERVE
    await spool.close()
