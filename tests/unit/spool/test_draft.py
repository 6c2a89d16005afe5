"""Large content: streamed to the disk with a backlog that the listener sees, durable before its frame."""

import asyncio
import errno
from pathlib import Path

import pytest

from postroad.model.content import ContentFile
from postroad.model.errors import SpoolError, SpoolFullError
from postroad.model.records import SpoolDamaged
from postroad.spool.draft import LOW_WATER, Draft
from postroad.spool.spool import EmbeddedSpool
from tests.unit.spool.building import (
    Bench,
    FaultyDisk,
    content_of,
    delivered,
    envelope,
    lease_all,
    put,
    queue_id,
    settle,
    start_put,
)

CHUNK = bytes(range(256)) * 40


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


@pytest.fixture
def bench(tmp_path: Path, disk: FaultyDisk) -> Bench:
    return Bench(tmp_path / "spool", disk, inline_size=16_384)


def large(spool: EmbeddedSpool, chunks: int = 10) -> Draft:
    """A draft that is too large for a frame."""
    draft = spool.draft(lambda: None)
    for _ in range(chunks):
        draft.append(CHUNK)
    return draft


def files(bench: Bench, folder: str) -> list[str]:
    return sorted(path.name for path in (bench.folder / folder).iterdir())


async def test_small_drafts_stay_in_memory(bench: Bench) -> None:
    spool = await bench.open()
    draft = spool.draft(lambda: None)
    draft.append(b"one ")
    draft.append(b"two")
    assert (draft.size, draft.backlog) == (7, 0)
    (work,) = await put(spool, envelope(1), draft)
    assert work.stored.content == b"one two"
    assert files(bench, "drafts") == files(bench, "content") == []
    await spool.close()


async def test_large_content_comes_back_from_its_file(bench: Bench) -> None:
    spool = await bench.open()
    draft = large(spool)
    assert draft.size == 10 * len(CHUNK)
    (work,) = await put(spool, envelope(1), draft)
    content = work.stored.content
    assert content is not None
    assert not isinstance(content, bytes)
    file: ContentFile = content
    assert file.size == draft.size
    assert await file.read(file.size - 5, 100) == CHUNK[-5:]
    assert files(bench, "content") == [queue_id(1)]
    assert (bench.folder / "content" / queue_id(1)).stat().st_mode & 0o077 == 0
    await bench.crash(spool)
    spool = await bench.open()
    (work,) = await lease_all(spool)
    assert await content_of(spool, work) == CHUNK * 10
    await settle(spool, delivered(work))
    await spool.close()
    assert files(bench, "content") == []


async def test_the_backlog_falls_and_is_told(bench: Bench) -> None:
    spool = await bench.open()
    drained = asyncio.Event()
    draft = spool.draft(drained.set)
    while draft.backlog < 2 * LOW_WATER:
        draft.append(CHUNK)
    await drained.wait()
    assert draft.backlog <= LOW_WATER
    draft.discard()
    await spool.close()
    assert files(bench, "drafts") == []


async def test_a_discarded_draft_leaves_nothing(bench: Bench) -> None:
    spool = await bench.open()
    draft = large(spool)
    draft.discard()
    draft.discard()
    large(spool, 1).discard()
    await spool.close()
    assert files(bench, "drafts") == files(bench, "content") == []


@pytest.mark.parametrize("call", ["open", "pwritev", "fdatasync", "rename", "sync_folder"])
async def test_a_draft_that_cannot_be_stored_fails_its_message_alone(bench: Bench, disk: FaultyDisk, call: str) -> None:
    spool = await bench.open()
    await put(spool, envelope(1), large(spool))
    disk.fail(call, errno.ENOSPC)
    with pytest.raises(SpoolFullError):
        await put(spool, envelope(2), large(spool))
    await put(spool, envelope(3), large(spool))
    await bench.crash(spool)
    spool = await bench.open()
    assert [work.stored.id for work in await lease_all(spool)] == [queue_id(1), queue_id(3)]
    assert files(bench, "content") == [queue_id(1), queue_id(3)]
    assert files(bench, "drafts") == []
    await spool.close()


async def test_a_frame_that_fails_takes_its_file_with_it(bench: Bench, disk: FaultyDisk) -> None:
    spool = await bench.open()
    await put(spool, envelope(1))
    future = start_put(spool, envelope(2), large(spool))
    seen = 0

    def before(name: str, _: int) -> None:
        nonlocal seen
        seen += name == "sync_folder"  # the file is complete: what fails is the frame
        if seen and name == "pwritev":
            raise OSError(errno.EIO, "error")

    disk.before = before
    with pytest.raises(SpoolError):
        await future
    disk.before = lambda name, count: None
    await spool.close()
    assert files(bench, "content") == []


async def test_a_crash_before_the_frame_leaves_no_mail(bench: Bench, disk: FaultyDisk) -> None:
    spool = await bench.open()
    (bench.folder / "content" / queue_id(9)).write_bytes(b"renamed, but the frame was never written")
    await bench.crash(spool)
    spool = await bench.open()
    assert files(bench, "content") == []
    assert not bench.kinds(SpoolDamaged)
    await spool.close()


@pytest.mark.parametrize("damage", ["spoil", "cut", "remove"])
async def test_damaged_files_are_told(bench: Bench, damage: str) -> None:
    spool = await bench.open()
    (work,) = await put(spool, envelope(1), large(spool))
    path = bench.folder / "content" / queue_id(1)
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(CHUNK * (9 if damage == "cut" else 10) if damage == "cut" else bytes(len(CHUNK) * 10))
    work.stored.content = None
    with pytest.raises(SpoolError, match="content file"):
        await spool.body(work.stored)
    (record,) = bench.kinds(SpoolDamaged)
    assert "content file" in record.reason or "segment" in record.reason  # type: ignore[attr-defined]
    await spool.close()


async def test_complete_content_is_read_before_it_is_put(bench: Bench) -> None:
    spool = await bench.open()
    draft = large(spool)
    whole = CHUNK * 10
    found = b""
    while piece := await draft.read(len(found), 7_000):
        found += piece
    assert found == whole
    assert await draft.read(len(whole) - 3, 100) == whole[-3:]
    assert await draft.read(len(whole), 100) == b""
    (work,) = await put(spool, envelope(1), draft)
    assert await content_of(spool, work) == whole
    await spool.close()


async def test_content_that_cannot_be_read_is_a_spool_error(bench: Bench, disk: FaultyDisk) -> None:
    spool = await bench.open()
    disk.fail("pwritev", errno.ENOSPC)
    full = large(spool)
    with pytest.raises(SpoolFullError):
        await full.read(0, 10)
    full.discard()
    given_up = large(spool)
    given_up.discard()
    with pytest.raises(SpoolError):
        await given_up.read(0, 10)
    await spool.close()
    assert files(bench, "drafts") == []
