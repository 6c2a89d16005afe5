"""Segments go, the little that lives is copied on, and nothing finished ever comes back."""

import asyncio
import threading
from functools import partial
from pathlib import Path

import pytest

from postroad.model.records import SpoolDamaged
from postroad.model.work import Status, Work
from postroad.spool.query import Query
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
    start_settle,
)

SIZE = 1 << 16


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


@pytest.fixture
def bench(tmp_path: Path, disk: FaultyDisk) -> Bench:
    return Bench(tmp_path / "spool", disk, segment_size=SIZE)


def segments(bench: Bench) -> list[int]:
    return sorted(int(path.name[4:]) for path in (bench.folder / "journal" / "main").iterdir())


def wait_for(event: threading.Event) -> None:
    """A job that keeps a thread busy."""
    event.wait(60)


async def fill(spool: EmbeddedSpool, first: int, count: int, *, keep: int = 10**9) -> list[Work]:
    """Put `count` messages of 5000 octets and deliver all but every `keep`th; the works of those that are left."""
    left = []
    for number in range(first, first + count):
        works = await put(spool, envelope(number, "a@example.org", "b@example.org"), bytes([number % 256]) * 5000)
        if number % keep == 0:
            await settle(spool, [*delivered(works[0]), deferred(works[1], START + HOUR)])
            left.append(works[1])
        else:
            await settle(spool, delivered(*works))
    return left


async def test_dead_segments_go_with_the_next_tick(bench: Bench) -> None:
    assert isinstance(bench.clock, ManualClock)
    spool = await bench.open()
    await fill(spool, 1, 60)
    assert len(segments(bench)) >= 5
    await bench.clock.run(1.1)
    await spool.flush()
    assert len(segments(bench)) == 1
    await spool.close()


async def test_a_live_message_keeps_its_segment_and_all_behind_it_until_it_is_copied(bench: Bench) -> None:
    spool = await bench.open()
    (work,) = await fill(spool, 1, 60, keep=40)
    place = work.stored.place
    works = await fill(spool, 61, 60)
    assert works == []
    await spool.maintain()
    assert work.stored.place != place
    assert min(segments(bench)) > place.segment
    assert await content_of(spool, work) == bytes([40]) * 5000
    await bench.crash(spool)
    for removed in (False, True):
        if removed:
            (bench.folder / "index.db").unlink()
        spool = await bench.open()
        (again,) = await lease_all(spool)
        assert (again.stored.id, again.index, again.attempts) == (queue_id(40), 1, 1)
        assert again.stored.open == 1
        assert await content_of(spool, again) == bytes([40]) * 5000
        await bench.crash(spool)


async def test_mail_that_waits_in_the_index_is_copied_too(bench: Bench) -> None:
    spool = await bench.open()
    left = await fill(spool, 1, 60, keep=20)
    spool.release(left)
    await fill(spool, 61, 100)
    await spool.maintain()
    assert len(segments(bench)) <= 3
    works = await lease_all(spool)
    assert [work.stored.id for work in works] == [queue_id(20), queue_id(40), queue_id(60)]
    for work in works:
        assert work.attempts == 1
        assert len(set(await content_of(spool, work))) == 1
    await settle(spool, delivered(*works))
    await bench.crash(spool)
    (bench.folder / "index.db").unlink()
    spool = await bench.open()
    assert await lease_all(spool) == []
    await spool.close()


async def test_mail_that_is_finished_while_compaction_begins_is_not_copied(bench: Bench) -> None:
    """Else the copy would stay for ever, with all segments behind it, and be delivered again after a crash."""
    spool = await bench.open()
    finished, *left = await fill(spool, 1, 24, keep=5)
    assert finished.stored.place.segment == left[0].stored.place.segment == 1
    await fill(spool, 25, 100)
    await spool.flush()
    index_thread = threading.Event()
    spool._catalog.worker.submit(partial(wait_for, index_thread))  # busy with something else
    tidying = asyncio.create_task(spool.maintain())
    for _ in range(5):
        await asyncio.sleep(0)  # it has handed over what the index is to know, and waits for it
    await settle(spool, delivered(finished))
    index_thread.set()
    await tidying
    await spool.maintain()
    assert min(segments(bench)) > 1
    octets = [work.stored.place.length for work in left]
    assert (spool._ledger.octets, sum(live.messages for live in spool._ledger.live.values())) == (
        sum(octets),
        len(left),
    )
    await bench.crash(spool)
    (bench.folder / "index.db").unlink()
    spool = await bench.open()
    assert [work.stored.id for work in await lease_all(spool)] == [work.stored.id for work in left]
    await spool.close()


async def test_a_well_used_segment_stays(bench: Bench) -> None:
    spool = await bench.open()
    works = [work for number in range(40) for work in await put(spool, envelope(number), bytes(5000))]
    before = segments(bench)
    await spool.maintain()
    assert segments(bench) == before
    await settle(spool, delivered(*works))
    await spool.close()


async def test_a_half_used_segment_goes_when_the_journal_is_mostly_dead(bench: Bench) -> None:
    spool = await bench.open()
    works = []
    for number in range(12):
        works += await put(spool, envelope(number), bytes(5000))
    await fill(spool, 100, 150)
    first = works[0].stored.place.segment
    await spool.maintain()
    assert min(segments(bench)) > first
    assert len(segments(bench)) <= 4
    await bench.crash(spool)
    spool = await bench.open()
    assert len(await lease_all(spool)) == 12
    await spool.close()


async def test_what_changes_while_it_is_copied_waits_for_the_next_time(bench: Bench, disk: FaultyDisk) -> None:
    spool = await bench.open()
    (work,) = await fill(spool, 1, 60, keep=40)
    place = work.stored.place
    disk.fail("pwritev", times=1)
    waiting = start_settle(spool, [deferred(work, START + 2 * HOUR)])
    await spool.maintain()
    assert work.stored.place == place
    assert isinstance(bench.clock, ManualClock)
    while not waiting.done():
        await bench.clock.run(1)
    await spool.maintain()
    assert work.stored.place != place
    await bench.crash(spool)
    (bench.folder / "index.db").unlink()
    spool = await bench.open()
    (again,) = await lease_all(spool)
    assert (again.due, again.attempts) == (START + 2 * HOUR, 2)
    await spool.close()


async def test_a_copy_that_cannot_be_written_is_tried_again(bench: Bench, disk: FaultyDisk) -> None:
    spool = await bench.open()
    (work,) = await fill(spool, 1, 60, keep=40)
    place = work.stored.place
    disk.fail("pwritev")
    await spool.maintain()
    assert work.stored.place == place
    await spool.maintain()
    assert work.stored.place != place
    await settle(spool, delivered(work))
    await bench.crash(spool)
    spool = await bench.open()
    assert await lease_all(spool) == []
    await spool.close()


@pytest.mark.parametrize("where", ["head", "body"])
async def test_damage_does_not_pin_a_segment(bench: Bench, where: str) -> None:
    spool = await bench.open()
    left = await fill(spool, 1, 60, keep=30)
    await settle(spool, delivered(left[1]))
    place = left[0].stored.place
    spool.release(left[:1])
    await spool.flush()
    path = bench.folder / "journal" / "main" / f"seg-{place.segment:010d}"
    octets = bytearray(path.read_bytes())
    octets[place.offset + (60 if where == "head" else place.length - 1)] ^= 0xFF
    path.write_bytes(octets)
    await spool.maintain()
    assert place.segment not in segments(bench)
    assert len(bench.kinds(SpoolDamaged)) == 1
    for _ in range(2):
        (listed,) = await spool.desk.find(Query(status=Status.HELD))
        assert listed.id == queue_id(30)
        assert listed.sender == "sender@example.com"
        assert [one.address for one in listed.recipients if one.status is Status.HELD] == ["b@example.org"]
        assert "damaged" in next(one.reply for one in listed.recipients if one.status is Status.HELD)
        assert await lease_all(spool) == []
        await bench.crash(spool)
        (bench.folder / "index.db").unlink()
        spool = await bench.open()
    await spool.close()


async def test_large_content_stays_in_its_file_when_its_frame_is_copied(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "spool", segment_size=SIZE, inline_size=8192)
    spool = await bench.open()
    draft = spool.draft(lambda: None)
    draft.append(b"large" * 10_000)
    await put(spool, envelope(1), draft)
    await fill(spool, 2, 60)
    await spool.maintain()
    assert len(segments(bench)) <= 2
    await bench.crash(spool)
    spool = await bench.open()
    (again,) = await lease_all(spool)
    assert await content_of(spool, again) == b"large" * 10_000
    await spool.close()


async def test_a_body_is_found_after_its_frame_has_moved(bench: Bench) -> None:
    spool = await bench.open()
    (work,) = await fill(spool, 1, 60, keep=40)
    place = work.stored.place
    await spool.maintain()
    work.stored.place = place  # as a lease that was under way would have it
    assert await content_of(spool, work) == bytes([40]) * 5000
    assert work.stored.place != place
    await spool.close()
