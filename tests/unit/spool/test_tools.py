"""What `postroad spool verify | rebuild | cat` rest on."""

from pathlib import Path

import pytest

from postroad.model.errors import SpoolError
from postroad.spool.tools import cat, rebuild, verify
from tests.support.clock import START, ManualClock
from tests.unit.spool.building import (
    HOUR,
    Bench,
    deferred,
    delivered,
    envelope,
    lane_of,
    lease_all,
    put,
    queue_id,
    settle,
)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "spool", inline_size=8192)


async def build(bench: Bench) -> int:
    """Three messages, one of them large, one deferred; where the second one's frame begins."""
    spool = await bench.open()
    await settle(spool, delivered(*await put(spool, envelope(1), b"gone")))
    (work,) = await put(spool, envelope(2, prefix="Received: here\r\n"), b"Subject: small\r\n\r\n")
    await settle(spool, [deferred(work, START + HOUR)])
    draft = spool.draft(lambda: None)
    draft.append(b"large" * 10_000)
    await put(spool, envelope(3, prefix="Received: there\r\n"), draft)
    await spool.close()
    return work.stored.place.offset


async def test_verify_finds_nothing_wrong_in_a_sound_spool(bench: Bench) -> None:
    await build(bench)
    found = verify(bench.folder)
    assert (found.messages, found.segments, found.problems) == (2, 1, [])
    assert found.lines()[0].startswith("2 messages wait; 1 segments, ")
    assert found.lines()[-1] == "no problems"
    spool = await bench.open()
    await put(spool, envelope(4))
    assert verify(bench.folder).problems == []
    await spool.close()


async def test_verify_finds_every_damage(bench: Bench) -> None:
    offset = await build(bench)
    path = bench.folder / "journal" / "main" / "seg-0000000001"
    octets = bytearray(path.read_bytes())
    octets[offset + 70] ^= 1
    path.write_bytes(octets + b"torn"[:0])
    (bench.folder / "content" / queue_id(3)).write_bytes(b"large" * 9_999 + b"small")
    reasons = [problem.reason for problem in verify(bench.folder).problems]
    assert reasons == ["the frame's head is damaged", "the content file's CRC is wrong"]
    path.unlink()
    assert all("is not there" in problem.reason for problem in verify(bench.folder).problems)
    (bench.folder / "index.db").write_bytes(b"spoiled " * 1000)
    assert [problem.journal for problem in verify(bench.folder).problems] == ["index"]
    (bench.folder / "index.db").unlink()
    assert "there is none" in str(verify(bench.folder).problems[0])


@pytest.mark.parametrize("configured", [True, False])
async def test_rebuild_makes_the_same_index_again(bench: Bench, configured: bool) -> None:
    await build(bench)
    clock = ManualClock()
    found = rebuild(bench.folder, clock=clock, lane_of=lane_of if configured else None)
    assert (found.messages, found.damaged) == (2, 0)
    spool = await bench.open()
    assert await spool.lapsed(10, START + 3 * HOUR) == []
    works = await lease_all(spool)
    assert [(work.stored.id, work.lane, work.attempts) for work in works] == [
        (queue_id(3), "mx:example.org", 0),
        (queue_id(2), "mx:example.org", 1),
    ]
    assert works[0].deadline == START + 4 * HOUR
    await spool.close()


async def test_rebuild_refuses_while_the_spool_is_in_use(bench: Bench) -> None:
    spool = await bench.open()
    with pytest.raises(SpoolError, match="in use"):
        rebuild(bench.folder, clock=ManualClock())
    await spool.close()


async def test_cat_gives_prefix_and_content(bench: Bench) -> None:
    await build(bench)
    envelope_two, parts = cat(bench.folder, queue_id(2))
    assert envelope_two.id == queue_id(2)
    assert b"".join(parts) == b"Received: here\r\nSubject: small\r\n\r\n"
    _, parts = cat(bench.folder, queue_id(3))
    assert b"".join(parts) == b"Received: there\r\n" + b"large" * 10_000
    for unknown in (queue_id(1), "../../etc/passwd"):
        with pytest.raises(SpoolError, match="there is no message"):
            cat(bench.folder, unknown)


async def test_cat_never_gives_damaged_content_for_whole(bench: Bench) -> None:
    offset = await build(bench)
    path = bench.folder / "journal" / "main" / "seg-0000000001"
    octets = path.read_bytes()
    at = octets.index(b"Subject: small")
    assert at > offset
    path.write_bytes(octets[:at] + b"Xubject" + octets[at + 7 :])
    with pytest.raises(SpoolError, match="body is damaged"):
        cat(bench.folder, queue_id(2))
    (bench.folder / "content" / queue_id(3)).unlink()
    with pytest.raises(SpoolError, match="missing"):
        cat(bench.folder, queue_id(3))
