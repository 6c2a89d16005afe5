"""What greylisting remembers: over restarts, between processes, within its bound, and in spite of damage."""

import asyncio
import multiprocessing
from pathlib import Path

import apsw
import pytest

from postroad.model.errors import TableError
from postroad.model.greylisting import Terms
from postroad.store import greylist
from postroad.store.greylist import GreylistFile
from tests.support.clock import ManualClock

MINUTE = 60_000_000
TERMS = Terms(delay=5 * MINUTE, window=2880 * MINUTE, life=50_000 * MINUTE, proven_after=2)
PAIR = ("a@example.org", "b@example.com")
NET = ("192.0.2.0/24",)


async def state(book: GreylistFile, parties: tuple[str, ...] = NET, pair: tuple[str, str] = PAIR) -> str:
    return (await book.judge(parties, pair, TERMS)).state


async def test_who_comes_back_after_the_delay_passes(tmp_path: Path) -> None:
    clock = ManualClock()
    book = GreylistFile(tmp_path / "greylist.db", 1000, clock.now)
    assert await state(book) == "waits"
    clock.advance(299)
    assert await state(book) == "waits"
    clock.advance(1)
    assert await state(book) == "passed"
    assert await state(book, ("198.51.100.0/24",)) == "waits"
    assert await state(book, NET, ("c@example.org", "b@example.com")) == "waits"
    book.close()


async def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    clock = ManualClock()
    first = GreylistFile(tmp_path / "greylist.db", 1000, clock.now)
    assert await state(first) == "waits"
    first.close()
    clock.advance(301)
    second = GreylistFile(tmp_path / "greylist.db", 1000, clock.now)
    assert await state(second) == "passed"
    second.close()


async def test_hosts_of_one_provider_wait_once(tmp_path: Path) -> None:
    clock = ManualClock()
    book = GreylistFile(tmp_path / "greylist.db", 1000, clock.now)
    assert await state(book, ("192.0.2.0/24", "example.org")) == "waits"
    clock.advance(301)
    assert await state(book, ("198.51.100.0/24", "example.org")) == "passed"
    assert await state(book, ("198.51.100.0/24",)) == "passed"  # what passed is remembered for the network too
    book.close()


async def test_who_proves_itself_waits_no_more(tmp_path: Path) -> None:
    clock = ManualClock()
    book = GreylistFile(tmp_path / "greylist.db", 1000, clock.now)
    pairs = [("a@example.org", f"{name}@example.com") for name in ("b", "c")]
    for pair in pairs:
        assert await state(book, pair=pair) == "waits"
    clock.advance(301)
    for pair in pairs:
        assert await state(book, pair=pair) == "passed"
        assert await state(book, pair=pair) == ("passed" if pair == pairs[0] else "proven")  # a pair counts once
    assert await state(book, pair=("x@example.net", "new@example.com")) == "proven"
    clock.advance(49_000 * 60)
    assert await state(book, pair=("x@example.net", "newer@example.com")) == "proven"
    clock.advance(50_001 * 60)
    assert await state(book, pair=("x@example.net", "newest@example.com")) == "waits"
    assert await state(book, pair=pairs[0]) == "waits"
    clock.advance(301)
    assert await state(book, pair=pairs[0]) == "passed"
    assert await state(book, pair=pairs[1]) == "waits"  # its standing begins anew
    book.close()


async def test_the_table_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(greylist, "TIDY_EVERY", 10)
    clock = ManualClock()
    book = GreylistFile(tmp_path / "greylist.db", 50, clock.now)
    assert await state(book) == "waits"
    clock.advance(301)
    assert await state(book) == "passed"
    for number in range(200):
        clock.advance(1)
        assert await state(book, pair=(f"{number}@example.org", "b@example.com")) == "waits"
    db = apsw.Connection(str(tmp_path / "greylist.db"))
    ((rows,),) = db.execute("SELECT count(*) FROM pair")
    assert rows <= 60
    db.close()
    assert await state(book) == "passed"  # what has passed is kept longer than what may never come back
    book.close()


async def test_what_is_forgotten_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(greylist, "TIDY_EVERY", 1)
    clock = ManualClock()
    book = GreylistFile(tmp_path / "greylist.db", 1000, clock.now)
    for number in range(20):
        assert await state(book, pair=(f"{number}@example.org", "b@example.com")) == "waits"
    clock.advance(2881 * 60)
    assert await state(book) == "waits"
    db = apsw.Connection(str(tmp_path / "greylist.db"))
    assert db.execute("SELECT count(*) FROM pair").fetchone() == (1,)
    db.close()
    book.close()


async def test_a_damaged_file_is_begun_anew(tmp_path: Path) -> None:
    clock = ManualClock()
    path = tmp_path / "greylist.db"
    path.write_bytes(b"this is no database" * 300)
    book = GreylistFile(path, 1000, clock.now)
    assert await state(book) == "waits"
    clock.advance(301)
    assert await state(book) == "passed"
    book.close()


async def test_without_a_folder_there_is_no_ruling(tmp_path: Path) -> None:
    book = GreylistFile(tmp_path / "missing" / "greylist.db", 1000, ManualClock().now)
    with pytest.raises(TableError, match="missing"):
        await state(book)
    (tmp_path / "missing").mkdir()
    assert await state(book) == "waits"  # and goes on once it can
    book.close()


def edge(path: Path, numbers: range) -> None:
    """Another process that greylists."""

    async def work() -> None:
        book = GreylistFile(path, 100_000, ManualClock().now)
        for number in numbers:
            assert (await book.judge(NET, (f"{number}@example.org", "b@example.com"), TERMS)).state == "waits"
        book.close()

    asyncio.run(work())


async def test_edges_share_the_file(tmp_path: Path) -> None:
    path = tmp_path / "greylist.db"
    context = multiprocessing.get_context("spawn")
    edges = [context.Process(target=edge, args=(path, range(at, at + 200))) for at in (0, 100, 200)]
    for one in edges:
        one.start()
    for one in edges:
        await asyncio.to_thread(one.join, 60)
        assert one.exitcode == 0
    clock = ManualClock()
    clock.advance(301)
    book = GreylistFile(path, 100_000, clock.now)
    for number in (0, 150, 399):
        assert await state(book, pair=(f"{number}@example.org", "b@example.com")) in {"passed", "proven"}
    book.close()
