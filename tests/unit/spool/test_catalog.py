"""Index and memory together: failures of the index cost time, never mail."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from postroad.model.errors import SpoolError
from postroad.model.records import SpoolDamaged, SpoolFaulted
from postroad.spool.shut import Closed
from postroad.spool.spool import EmbeddedSpool
from tests.support.clock import START, ManualClock
from tests.unit.spool.building import (
    HOUR,
    Bench,
    deferred,
    delivered,
    envelope,
    lease_all,
    put,
    queue_id,
    settle,
    start_put,
)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "spool")


async def limit_pages(spool: EmbeddedSpool, pages: int) -> None:
    """Let the index be full at its present size and `pages` more, as on a full disk."""
    db = spool._catalog.index.db
    await spool._catalog.worker.call(lambda: db.execute(f"PRAGMA max_page_count = {db.pragma('page_count') + pages}"))


async def test_an_index_that_is_full_catches_up_when_it_has_room(bench: Bench) -> None:
    assert isinstance(bench.clock, ManualClock)
    spool = await bench.open()
    first = await put(spool, envelope(1))
    await spool.flush()
    await limit_pages(spool, 0)
    for number in range(2, 400):
        spool.release(await put(spool, envelope(number, f"{'long' * 14}{number}@example.org")))
    with pytest.raises(SpoolError):  # the caller asks again
        await lease_all(spool)
    while not bench.kinds(SpoolFaulted):  # each tick tries again, and tells once
        await bench.clock.run(2)
        await asyncio.sleep(0.01)
    await bench.clock.run(2)
    assert len(bench.kinds(SpoolFaulted)) == 1
    await settle(spool, delivered(*first))
    await limit_pages(spool, 10_000)
    assert [work.stored.id for work in await lease_all(spool)] == [queue_id(number) for number in range(2, 400)]
    await spool.close()


@pytest.mark.parametrize("page", range(2, 40, 3))
async def test_a_page_of_the_index_that_rots_costs_a_restart_at_most(bench: Bench, page: int) -> None:
    spool = await bench.open()
    for number in range(500):
        spool.release(await put(spool, envelope(number, f"u{number}@d{number % 7}.example")))
    await spool.close()
    index = bench.folder / "index.db"
    octets = bytearray(index.read_bytes())
    assert len(octets) > 40 * 4096
    octets[page * 4096 : (page + 1) * 4096] = b"\xa5" * 4096
    index.write_bytes(octets)
    spool = await bench.open()
    found = set()
    with contextlib.suppress(SpoolError):
        found = {work.stored.id for work in await lease_all(spool)}
    if len(found) < 500:
        await spool.close()
        spool = await bench.open()
        assert bench.kinds(SpoolDamaged)
        found = {work.stored.id for work in await lease_all(spool)}
    assert len(found) == 500
    await spool.close()


async def test_released_mail_does_not_keep_its_content_in_memory(bench: Bench) -> None:
    spool = await bench.open()
    works = await put(spool, envelope(1, "a@example.org", "b@example.org"), b"content")
    spool.release(works[:1])
    assert [work.stored.content for work in works] == [b"content"] * 2
    spool.release(works[1:])
    assert [work.stored.content for work in works] == [None] * 2
    assert await spool.body(works[0].stored) == b"content"
    await spool.close()


async def test_a_flood_is_entered_early_and_in_order(bench: Bench) -> None:
    spool = await bench.open()
    count = 12_000
    futures = [start_put(spool, envelope(number), b"") for number in range(count)]
    for future in futures:
        spool.release((await future)[1])
    await asyncio.sleep(0)
    assert spool._ledger.fresh < count
    assert len(await lease_all(spool)) == count
    await spool.close()


async def test_two_leases_at_once_share_the_work(bench: Bench) -> None:
    spool = await bench.open()
    for number in range(20):
        spool.release(await put(spool, envelope(number)))
    leases = await asyncio.gather(*(spool.lease(7, START, ()) for _ in range(4)))
    ids = [work.stored.id for works in leases for work in works]
    assert sorted(ids) == [queue_id(number) for number in range(20)]
    await spool.close()


async def test_what_becomes_final_while_a_lease_runs_is_counted(bench: Bench) -> None:
    spool = await bench.open()
    works = await put(spool, envelope(1, "a@example.org", "b@example.org", "c@example.org"))
    await spool.flush()
    spool.release(works[2:])
    lease = asyncio.ensure_future(lease_all(spool))
    await asyncio.sleep(0)
    await settle(spool, delivered(works[0]))
    await settle(spool, delivered(works[1]))
    (last,) = await lease
    assert last.stored.open == 1
    await settle(spool, [deferred(last, START + HOUR)])
    await settle(spool, delivered(last))
    assert (await spool.desk.stats()).messages == 0
    await spool.close()


async def test_lanes_that_fit_a_pattern_are_passed_over_whoever_comes_and_goes(bench: Bench) -> None:
    spool = await bench.open()
    for number in range(30):
        spool.release(await put(spool, envelope(number, f"u@{'ab'[number % 2]}{number}.example")))
    closed = Closed({"mx:b1.example"}, ("a*.example", "nobody"))
    assert {work.lane[3] for work in await spool.lease(100, START, Closed((), ("*",)))} == set()
    assert await spool.next_due(Closed((), ("**",))) is None
    works = await spool.lease(100, START, closed)
    assert {work.lane for work in works} == {f"mx:b{number}.example" for number in range(3, 30, 2)}
    await settle(spool, delivered(*works))
    await spool.flush()
    await spool._catalog.worker.call(spool._catalog.index.forget_names)  # and give their numbers to others
    spool.release(await put(spool, envelope(50, "u@a50.example", "u@c50.example")))
    assert [work.lane for work in await spool.lease(100, START, closed)] == ["mx:c50.example"]
    assert await spool.next_due(closed) is None
    assert {work.lane for work in await spool.lease(100, START, Closed((), ("a*",)))} == {"mx:b1.example"}
    assert len(await spool.lease(100, START, ())) == 16
    await spool.close()
