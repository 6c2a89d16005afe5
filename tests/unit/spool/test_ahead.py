"""Room written ahead: a segment grows in steps, and what a crash leaves of its zeros is no damage and hides none."""

from pathlib import Path

import pytest

from postroad.model.records import SpoolDamaged
from postroad.spool.journal import AHEAD
from tests.unit.spool.building import Bench, envelope, lease_all, put, queue_id

CONTENT = b"x" * 3000


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "spool")


def segment(bench: Bench) -> Path:
    return bench.folder / "journal" / "main" / "seg-0000000001"


async def waiting(bench: Bench) -> list[str]:
    """What a fresh start finds, by id."""
    spool = await bench.open()
    found = sorted(work.stored.id for work in await lease_all(spool))
    await spool.close()
    return found


async def test_a_segment_grows_in_steps_and_ends_where_its_frames_end(bench: Bench) -> None:
    spool = await bench.open()
    sizes = set()
    for number in range(2 * AHEAD // 3500):
        (work,) = await put(spool, envelope(number), CONTENT)
        sizes.add(segment(bench).stat().st_size)
    assert len(sizes) in {2, 3, 4}
    await spool.close()
    place = work.stored.place
    assert segment(bench).stat().st_size == place.offset + place.length


async def test_a_crash_leaves_zeros_that_cost_nothing(bench: Bench) -> None:
    spool = await bench.open()
    for number in range(3):
        await put(spool, envelope(number), CONTENT)
    await bench.crash(spool)
    assert segment(bench).stat().st_size > AHEAD
    assert await waiting(bench) == [queue_id(number) for number in range(3)]
    assert not bench.kinds(SpoolDamaged)


@pytest.mark.parametrize("written", [1, 30, 60, 300, 2000, 3290])
async def test_a_frame_that_was_begun_in_that_room_was_never_promised(bench: Bench, written: int) -> None:
    """A batch of which only the first octets got to the disk, before its sync."""
    spool = await bench.open()
    for number in range(3):
        (work,) = await put(spool, envelope(number), CONTENT)
    await bench.crash(spool)
    place = work.stored.place
    whole = segment(bench).read_bytes()
    frame = whole[place.offset : place.offset + place.length]
    assert written < len(frame)
    with segment(bench).open("r+b") as file:
        file.seek(place.offset + written)
        file.write(bytes(len(frame) - written))
    assert await waiting(bench) == [queue_id(number) for number in range(2)]
    assert not bench.kinds(SpoolDamaged)
    assert await waiting(bench) == [queue_id(number) for number in range(2)]


async def test_damage_in_a_segment_that_was_ended_is_told_though_it_is_at_the_end(bench: Bench) -> None:
    spool = await bench.open()
    for number in range(3):
        (work,) = await put(spool, envelope(number), CONTENT)
    await spool.close()
    (bench.folder / "index.db").unlink()
    place = work.stored.place
    with segment(bench).open("r+b") as file:
        file.seek(place.offset + place.length - 10)
        file.write(b"?")
    spool = await bench.open()
    assert bench.kinds(SpoolDamaged)
    await spool.close()


async def test_damage_before_other_frames_is_told_after_a_crash_too(bench: Bench) -> None:
    spool = await bench.open()
    places = [(await put(spool, envelope(number), CONTENT))[0].stored.place for number in range(3)]
    await bench.crash(spool)
    with segment(bench).open("r+b") as file:
        file.seek(places[1].offset + places[1].length - 10)
        file.write(b"?")
    spool = await bench.open()
    assert len(bench.kinds(SpoolDamaged)) == 1
    await spool.close()
