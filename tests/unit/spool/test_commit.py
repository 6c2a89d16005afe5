"""Group commit under failing disks: puts fail, settlements wait, and nothing acknowledged is ever lost."""

import asyncio
import errno
from pathlib import Path

import pytest

from postroad.model.errors import SpoolError, SpoolFullError
from postroad.model.records import SpoolDamaged, SpoolFaulted, SpoolFull
from postroad.spool.commit import RETRY_AFTER
from postroad.spool.spool import EmbeddedSpool
from tests.support.clock import START, ManualClock
from tests.unit.spool.building import (
    HOUR,
    Bench,
    FaultyDisk,
    content_of,
    deferred,
    delivered,
    envelope,
    lease_all,
    put,
    queue_id,
    settle,
    start_put,
    start_settle,
)


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


@pytest.fixture
def bench(tmp_path: Path, disk: FaultyDisk) -> Bench:
    return Bench(tmp_path / "spool", disk)


async def settled_ids(bench: Bench) -> list[str]:
    """What a fresh start finds, by id."""
    spool = await bench.open()
    found = sorted(work.stored.id for work in await lease_all(spool))
    await bench.crash(spool)
    return found


@pytest.mark.parametrize("call", ["pwritev", "fdatasync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
async def test_a_put_that_cannot_be_written_fails_and_the_next_works(
    bench: Bench, disk: FaultyDisk, call: str, code: int
) -> None:
    spool = await bench.open()
    await put(spool, envelope(1))
    # A full disk is asked twice: with room ahead, and without.
    disk.fail(call, code, times=2 if call == "pwritev" and code != errno.EIO else 1)
    error = SpoolError if code == errno.EIO else SpoolFullError
    with pytest.raises(error):
        await put(spool, envelope(2))
    await put(spool, envelope(3))
    assert bench.kinds(SpoolFaulted if code == errno.EIO else SpoolFull)
    await bench.crash(spool)
    assert await settled_ids(bench) == [queue_id(1), queue_id(3)]
    assert not bench.kinds(SpoolDamaged)


@pytest.mark.parametrize("call", ["open", "pwritev", "fdatasync", "sync_folder"])
async def test_a_segment_that_cannot_be_begun_costs_that_batch_alone(bench: Bench, disk: FaultyDisk, call: str) -> None:
    spool = await bench.open()
    disk.fail(call, times=2)
    for number in (1, 2):
        with pytest.raises(SpoolError):
            await put(spool, envelope(number))
    await put(spool, envelope(3))
    await bench.crash(spool)
    assert await settled_ids(bench) == [queue_id(3)]
    assert not bench.kinds(SpoolDamaged)


async def test_what_a_failed_sync_left_behind_never_counts(bench: Bench, disk: FaultyDisk) -> None:
    """After a failed fdatasync nothing in that segment behind the good offset is believed, even if it is there."""
    spool = await bench.open()
    await put(spool, envelope(1))

    def before(name: str, _: int) -> None:
        if name in ("fdatasync", "truncate"):
            raise OSError(errno.EIO, "error")

    disk.before = before
    with pytest.raises(SpoolError):
        await put(spool, envelope(2))
    disk.before = lambda name, count: None
    await put(spool, envelope(3))
    await bench.crash(spool)
    assert await settled_ids(bench) == [queue_id(1), queue_id(3)]
    (bench.folder / "index.db").unlink()
    assert await settled_ids(bench) == [queue_id(1), queue_id(3)]


@pytest.mark.parametrize("octets", [1, 7, 52, 1000])
async def test_short_writes_are_completed(bench: Bench, disk: FaultyDisk, octets: int) -> None:
    disk.short = octets
    spool = await bench.open()
    futures = [start_put(spool, envelope(number), bytes([number]) * 3000) for number in range(5)]
    await asyncio.gather(*futures)
    await bench.crash(spool)
    disk.short = 0
    spool = await bench.open()
    works = await lease_all(spool)
    assert [await content_of(spool, work) for work in works] == [bytes([number]) * 3000 for number in range(5)]
    await spool.close()


async def test_more_buffers_than_one_call_takes(bench: Bench) -> None:
    spool = await bench.open()
    await asyncio.gather(*(start_put(spool, envelope(number), b"content") for number in range(1500)))
    await bench.crash(spool)
    assert len(await settled_ids(bench)) == 1500


async def test_settlements_wait_for_the_disk_in_order(bench: Bench, disk: FaultyDisk) -> None:
    assert isinstance(bench.clock, ManualClock)
    spool = await bench.open()
    (first,) = await put(spool, envelope(1))
    (second,) = await put(spool, envelope(2))
    disk.fail("pwritev", errno.ENOSPC, times=1000)
    deferral = start_settle(spool, [deferred(first, START + HOUR)])
    await asyncio.sleep(0.05)
    final = start_settle(spool, delivered(first))
    other = start_settle(spool, delivered(second), [(envelope(3), b"report")])
    with pytest.raises(SpoolFullError):
        await put(spool, envelope(4))
    await bench.clock.run(3 * RETRY_AFTER)
    assert not deferral.done()
    assert not final.done()
    disk.before = lambda name, count: None
    while not (deferral.done() and final.done() and other.done()):
        await bench.clock.run(RETRY_AFTER)
    await bench.crash(spool)
    assert await settled_ids(bench) == [queue_id(3)]


async def test_a_put_that_succeeds_wakes_waiting_settlements(bench: Bench, disk: FaultyDisk) -> None:
    spool = await bench.open()
    (work,) = await put(spool, envelope(1))
    disk.fail("pwritev")
    waiting = start_settle(spool, delivered(work))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await put(spool, envelope(2))
    await waiting
    await bench.crash(spool)
    assert await settled_ids(bench) == [queue_id(2)]


async def test_a_crash_while_settlements_wait_means_try_again(bench: Bench, disk: FaultyDisk) -> None:
    assert isinstance(bench.clock, ManualClock)
    spool = await bench.open()
    (work,) = await put(spool, envelope(1))
    disk.fail("pwritev", times=1000)
    _ = start_settle(spool, delivered(work))
    await asyncio.sleep(0.05)
    await bench.clock.run(2)
    await bench.crash(spool)
    disk.before = lambda name, count: None
    assert await settled_ids(bench) == [queue_id(1)]


async def test_a_batch_goes_to_the_next_segment_when_one_is_full(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "spool", segment_size=1 << 16)
    spool = await bench.open()
    for number in range(30):
        await put(spool, envelope(number), bytes(5000))
    assert len(list((bench.folder / "journal" / "main").iterdir())) == 3
    await bench.crash(spool)
    assert len(await settled_ids(bench)) == 30


async def test_closing_does_not_wait_for_a_disk_that_refuses(bench: Bench, disk: FaultyDisk) -> None:
    spool = await bench.open()
    (work,) = await put(spool, envelope(1))
    disk.fail("pwritev", times=1000)
    _ = start_settle(spool, delivered(work))
    await spool.close()
    disk.before = lambda name, count: None
    assert await settled_ids(bench) == [queue_id(1)]


async def test_outcomes_without_their_report_do_not_count(bench: Bench) -> None:
    """A power cut may keep a later block and lose an earlier one: then the message is tried again."""
    spool = await bench.open()
    (work,) = await put(spool, envelope(1))
    ((stored, _),) = await settle(spool, delivered(work), [(envelope(2), b"the report")])
    await bench.crash(spool)
    (bench.folder / "index.db").unlink()
    segment = bench.folder / "journal" / "main" / f"seg-{stored.place.segment:010d}"
    octets = bytearray(segment.read_bytes())
    octets[stored.place.offset : stored.place.offset + stored.place.length] = bytes(stored.place.length)
    segment.write_bytes(octets)
    assert await settled_ids(bench) == [queue_id(1)]


def sync_counter(disk: FaultyDisk) -> list[str]:
    """A list that grows with each sync of the journal."""
    syncs: list[str] = []
    disk.before = lambda name, _count: syncs.append(name) if name == "fdatasync" else None
    return syncs


async def arrive_in_turns(spool: EmbeddedSpool, numbers: range) -> None:
    """Each message in a turn of the event loop of its own, as from sessions that do not wait for each other."""
    futures = []
    spool.expect(len(numbers))
    for number in numbers:
        spool.expect(-1)
        futures.append(start_put(spool, envelope(number), b"x"))
        await asyncio.sleep(0)
    await asyncio.gather(*futures)


async def test_messages_that_come_fast_wait_for_each_other_and_share_a_sync(tmp_path: Path, disk: FaultyDisk) -> None:
    spool = await Bench(tmp_path / "spool", disk, ManualClock()).open()
    await arrive_in_turns(spool, range(100))  # by now the mean gap is known
    syncs = sync_counter(disk)
    await arrive_in_turns(spool, range(100, 110))
    assert len(syncs) == 1
    await spool.close()


async def test_when_all_that_were_on_their_way_are_here_nobody_waits_any_longer(
    tmp_path: Path, disk: FaultyDisk
) -> None:
    spool = await Bench(tmp_path / "spool", disk, ManualClock()).open()
    for number in range(1000, 1060):  # by now the disk is known to be fast
        await put(spool, envelope(number))
    await arrive_in_turns(spool, range(100))  # and messages to come fast
    syncs = sync_counter(disk)
    spool.expect(2)
    first = start_put(spool, envelope(100), b"x")
    for _ in range(5):
        await asyncio.sleep(0)
    assert not syncs, "two more are on their way"
    spool.expect(-1)
    second = start_put(spool, envelope(101), b"x")
    for _ in range(5):
        await asyncio.sleep(0)
    assert not syncs, "one more is on its way"
    spool.expect(-1)
    assert await is_synced_at_once(spool, 102)
    assert (first.done(), second.done(), len(syncs)) == (True, True, 1)
    await spool.close()


async def is_synced_at_once(spool: EmbeddedSpool, number: int) -> bool:
    """True when a message becomes durable without any time passing on the event loop."""
    future = start_put(spool, envelope(number), b"x")
    for _ in range(3):
        await asyncio.sleep(0)
    is_done = future.done()
    await future
    return is_done


async def test_mail_that_comes_one_by_one_is_synced_at_once(tmp_path: Path, disk: FaultyDisk) -> None:
    clock = ManualClock()
    spool = await Bench(tmp_path / "spool", disk, clock).open()
    for number in range(60):  # by now the disk is known to be fast
        clock.advance(0.01)
        await put(spool, envelope(number))
    clock.advance(0.01)
    assert await is_synced_at_once(spool, 60)
    await spool.close()


async def test_a_fast_client_that_waits_for_each_answer_soon_waits_for_nobody(tmp_path: Path, disk: FaultyDisk) -> None:
    spool = await Bench(tmp_path / "spool", disk, ManualClock()).open()
    spool.expect(1)  # another one, which never brings its message
    for number in range(200):
        await put(spool, envelope(number))
    assert await is_synced_at_once(spool, 200)
    await spool.close()
