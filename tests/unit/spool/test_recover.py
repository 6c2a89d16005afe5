"""Damage of every kind: it costs what it hit, it is told and set aside, and it never blocks the start."""

import shutil
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from postroad.model.errors import SpoolError
from postroad.model.records import SpoolDamaged, SpoolRecovered
from postroad.model.work import Change, Status, Work
from postroad.spool.query import Query, SpoolReader
from tests.support.clock import START
from tests.unit.spool.building import Bench, content_of, delivered, envelope, lease_all, put, queue_id, settle

COUNT = 10


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "spool")


async def filled(bench: Bench) -> list[Work]:
    """A crashed spool with ten messages of 3000 octets, the first two delivered."""
    spool = await bench.open()
    works = [
        work for number in range(COUNT) for work in await put(spool, envelope(number), bytes([65 + number]) * 3000)
    ]
    await settle(spool, delivered(*works[:2]))
    await bench.crash(spool)
    return works[2:]


async def found(bench: Bench) -> list[str]:
    """The ids that a fresh start can deliver, with their content checked."""
    spool = await bench.open()
    works = await lease_all(spool)
    for work in works:
        number = next(number for number in range(COUNT) if queue_id(number) == work.stored.id)
        assert await content_of(spool, work) == bytes([65 + number]) * 3000
    await spool.close()
    return sorted(work.stored.id for work in works)


def segment_of(bench: Bench, number: int = 1) -> Path:
    return bench.folder / "journal" / "main" / f"seg-{number:010d}"


def spoil(path: Path, offset: int, octets: bytes) -> None:
    """Overwrite part of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(octets)


@pytest.mark.parametrize("where", ["header", "head", "body"])
async def test_one_damaged_octet_costs_one_message(bench: Bench, where: str) -> None:
    works = await filled(bench)
    place = works[3].stored.place
    offset = {"header": 20, "head": 60, "body": place.length - 100}[where]
    spoil(segment_of(bench), place.offset + offset, b"\xff")
    left = [work.stored.id for work in works if work is not works[3]]
    assert await found(bench) == left
    (record,) = bench.kinds(SpoolDamaged)
    assert isinstance(record, SpoolDamaged)
    assert (record.journal, record.segment, record.offset, record.length) == ("main", 1, place.offset, place.length)
    assert Path(record.aside).stat().st_size == place.length
    assert await found(bench) == left


async def test_a_message_with_damaged_content_is_held_where_people_see_it(bench: Bench) -> None:
    works = await filled(bench)
    place = works[0].stored.place
    spoil(segment_of(bench), place.offset + place.length - 1, b"\xff")
    spool = await bench.open()
    (listed,) = await spool.desk.find(Query(status=Status.HELD))
    assert listed.id == works[0].stored.id
    assert listed.recipients[0].reply == "the content is damaged"
    await spool.close()


async def test_a_zeroed_page_costs_the_frames_it_touches(bench: Bench) -> None:
    works = await filled(bench)
    spoil(segment_of(bench), works[2].stored.place.offset + 100, bytes(4096))
    lost = {works[2].stored.id, works[3].stored.id}
    assert await found(bench) == [work.stored.id for work in works if work.stored.id not in lost]
    assert sum(record.length for record in bench.kinds(SpoolDamaged)) >= 4096  # type: ignore[attr-defined]


async def test_an_overwritten_tail_costs_the_last_messages(bench: Bench) -> None:
    works = await filled(bench)
    path = segment_of(bench)
    spoil(path, path.stat().st_size - 3200, b"?" * 3200)
    assert set(await found(bench)) >= {work.stored.id for work in works[:-1]}
    assert bench.kinds(SpoolDamaged)


async def test_a_cut_last_segment_is_a_torn_tail(bench: Bench) -> None:
    works = await filled(bench)
    path = segment_of(bench)
    place = works[-1].stored.place
    with path.open("r+b") as file:
        file.truncate(place.offset + 500)
    # The outcomes of the first two were behind the cut.
    assert await found(bench) == [queue_id(0), queue_id(1), *(work.stored.id for work in works[:-1])]
    assert not bench.kinds(SpoolDamaged)


async def test_messages_that_a_cut_segment_had_are_told_and_held(bench: Bench) -> None:
    works = await filled(bench)
    spool = await bench.open()
    await spool.close()
    place = works[-2].stored.place
    with segment_of(bench).open("r+b") as file:
        file.truncate(place.offset + 500)
    assert await found(bench) == [work.stored.id for work in works[:-2]]
    assert len(bench.kinds(SpoolDamaged)) == 2
    spool = await bench.open()
    assert len(await spool.desk.find(Query(status=Status.HELD))) == 2
    await spool.close()


async def test_a_missing_segment_is_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "spool", segment_size=1 << 16)
    spool = await bench.open()
    for number in range(COUNT):
        spool.release(await put(spool, envelope(number), bytes([65 + number]) * 3000))
    for number in range(20, 60):
        spool.release(await put(spool, envelope(number), bytes(3000)))
    await spool.close()
    segment_of(bench).unlink()
    spool = await bench.open()
    held = await spool.desk.find(Query(status=Status.HELD))
    assert len(held) > COUNT
    assert {one.recipients[0].reply for one in held} == {"the journal's segment is missing"}
    assert len(bench.kinds(SpoolDamaged)) == len(held)
    assert len(held) + len(await lease_all(spool)) == COUNT + 40
    await spool.close()


def _remove(path: Path) -> None:
    path.unlink()


def _garbage(path: Path) -> None:
    path.write_bytes(b"no database " * 5000)


def _half(path: Path) -> None:
    octets = path.read_bytes()
    path.write_bytes(octets[: len(octets) // 2])


def _hole(path: Path) -> None:
    spoil(path, 4096, b"\xaa" * (path.stat().st_size - 4096))


@pytest.mark.parametrize("damage", [_remove, _garbage, _half, _hole])
async def test_an_unreadable_index_is_rebuilt(bench: Bench, damage: Callable[[Path], None]) -> None:
    works = await filled(bench)
    spool = await bench.open()
    await spool.close()
    damage(bench.folder / "index.db")
    assert await found(bench) == [work.stored.id for work in works]
    records = bench.kinds(SpoolDamaged)
    assert [record.journal for record in records] == ([] if damage is _remove else ["index"])  # type: ignore[attr-defined]
    assert all(Path(record.aside).exists() for record in records)  # type: ignore[attr-defined]


async def test_an_older_index_catches_up(bench: Bench) -> None:
    """As after a power cut that cost the index its newest commits."""
    works = await filled(bench)
    index = bench.folder / "index.db"
    spool = await bench.open()
    await spool.close()
    shutil.copy(index, bench.folder.parent / "old.db")
    spool = await bench.open()
    (one, two, *rest) = await lease_all(spool)
    await settle(spool, delivered(one, two))
    spool.release(await put(spool, envelope(20), b"new"))
    spool.release(rest)
    await spool.close()
    shutil.copy(bench.folder.parent / "old.db", index)
    spool = await bench.open()
    expected = [work.stored.id for work in works[2:]] + [queue_id(20)]
    assert sorted(work.stored.id for work in await lease_all(spool)) == sorted(expected)
    await spool.close()


async def test_a_lost_mark_is_read_from_the_journal(bench: Bench) -> None:
    works = await filled(bench)
    (bench.folder / "mark").unlink()
    assert await found(bench) == [work.stored.id for work in works]
    (bench.folder / "mark").write_bytes(b"")
    assert len(await found(bench)) == len(works)


async def test_a_damaged_segment_head_costs_nothing(bench: Bench) -> None:
    works = await filled(bench)
    spoil(segment_of(bench), 0, bytes(40))
    assert await found(bench) == [work.stored.id for work in works]


async def test_a_missing_content_file_is_told_and_the_message_held(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "spool", inline_size=4096)
    spool = await bench.open()
    for number in (1, 2):
        draft = spool.draft(lambda: None)
        draft.append(bytes(10_000))
        spool.release(await put(spool, envelope(number), draft))
    await spool.close()
    (bench.folder / "content" / queue_id(1)).unlink()
    spool = await bench.open()
    (record,) = bench.kinds(SpoolDamaged)
    assert record.reason == "the content file is missing"  # type: ignore[attr-defined]
    (listed,) = await spool.desk.find(Query(status=Status.HELD))
    assert listed.id == queue_id(1)
    assert [work.stored.id for work in await lease_all(spool)] == [queue_id(2)]
    await spool.close()


async def test_damage_found_while_running_is_told_and_held(bench: Bench) -> None:
    works = await filled(bench)
    spool = await bench.open()
    await spool.flush()
    head, body = works[0].stored.place, works[1].stored.place
    spoil(segment_of(bench), head.offset + 60, b"\xff")
    spoil(segment_of(bench), body.offset + body.length - 9, b"\xff")
    leased = await lease_all(spool)
    assert len(leased) == len(works) - 1
    assert await spool.desk.find(Query(status=Status.HELD))
    with pytest.raises(SpoolError, match="body is damaged"):
        await content_of(spool, leased[0])
    reasons = [record.reason for record in bench.kinds(SpoolDamaged)]  # type: ignore[attr-defined]
    assert reasons == ["the frame's head is damaged", "the frame's body is damaged"]
    await spool.close()


async def test_a_folder_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file")
    with pytest.raises(SpoolError, match="cannot be opened"):
        await Bench(tmp_path / "spool").open()


async def test_counts_in_the_record(bench: Bench) -> None:
    works = await filled(bench)
    spoil(segment_of(bench), works[0].stored.place.offset + 3, b"\xff")
    await found(bench)
    (_, record) = bench.kinds(SpoolRecovered)
    assert isinstance(record, SpoolRecovered)
    assert (record.messages, record.damaged, record.at >= START) == (COUNT - 3, 1, True)


async def test_an_index_of_another_version_is_made_anew_without_a_word(bench: Bench) -> None:
    spool = await bench.open()
    await put(spool, envelope(1))
    await spool.close()
    db = apsw.Connection(str(bench.folder / "index.db"))
    db.execute("PRAGMA user_version = 1; DROP TABLE trail")
    db.close()
    assert [one.id for one in SpoolReader(bench.folder).list()] == [envelope(1).id]
    spool = await bench.open()
    assert [one.id for one in await spool.desk.find(Query())] == [envelope(1).id]
    assert bench.kinds(SpoolDamaged) == []
    await spool.close()


async def test_a_message_that_cannot_be_read_can_be_dropped(bench: Bench) -> None:
    spool = await bench.open()
    for number in (1, 2):
        await put(spool, envelope(number, "a@example.org", "b@example.net"))
    await spool.close()
    segment = next(bench.folder.rglob("seg-*"))
    octets = segment.read_bytes()
    at = octets.index(b'"id":"' + queue_id(1).encode())
    segment.write_bytes(octets[:at] + b"?" + octets[at + 1 :])
    spool = await bench.open()
    assert {work.stored.id for work in await lease_all(spool)} == {queue_id(2)}
    damaged = await spool.desk.claim([(queue_id(1), -1)])
    assert [(work.status, work.recipient.address.text) for work in damaged] == [
        (Status.HELD, "a@example.org"),
        (Status.HELD, "b@example.net"),
    ]
    await settle(spool, [Change(work, Status.DROPPED) for work in damaged])
    assert {one.id for one in await spool.desk.find(Query())} == {queue_id(2)}
    await spool.close()
