"""Looking in from outside shows the same as the daemon knows, while it runs and when it is down."""

from pathlib import Path

import pytest

from postroad.model.errors import SpoolError
from postroad.model.work import Change, Status
from postroad.spool.query import Query, SpoolReader
from tests.support.clock import START
from tests.unit.spool.building import HOUR, Bench, deferred, delivered, envelope, put, queue_id, settle


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "spool")


async def build(bench: Bench, *, flush_after: int) -> SpoolReader:
    """Six messages in all states, the index as it was after `flush_after` steps; the daemon is dead."""
    spool = await bench.open()
    held = (await put(spool, envelope(1)))[0]
    twice = await put(spool, envelope(2, "a@example.org", "b@example.net"))
    gone = await put(spool, envelope(3))
    late = await put(spool, envelope(4))
    steps = [
        [Change(held, Status.HELD, START, reply="held")],
        delivered(twice[0]),
        [deferred(twice[1], START + HOUR)],
        delivered(*gone),
        [deferred(late[0], START + HOUR), deferred(late[0], START + 2 * HOUR)],
    ]
    for number, step in enumerate(steps):
        if number == flush_after:
            await spool.flush()
        await settle(spool, step)
    await put(spool, envelope(5))
    await bench.crash(spool)
    return SpoolReader(bench.folder)


@pytest.mark.parametrize("flush_after", range(6))
@pytest.mark.parametrize("index", ["keep", "remove", "spoil"])
async def test_the_tail_is_laid_over_the_index(bench: Bench, flush_after: int, index: str) -> None:
    reader = await build(bench, flush_after=flush_after)
    if index != "keep":
        for path in bench.folder.glob("index.db*"):
            path.unlink()
    if index == "spoil":
        (bench.folder / "index.db").write_bytes(b"spoiled" * 2000)
    listed = reader.list()
    assert [one.id for one in listed] == [queue_id(number) for number in (1, 2, 4, 5)]
    states = {
        one.id: {r.index: (r.status, r.attempts) for r in one.recipients if not r.status.is_final} for one in listed
    }
    assert states[queue_id(1)] == {0: (Status.HELD, 0)}
    assert states[queue_id(2)] == {1: (Status.PENDING, 1)}
    assert states[queue_id(4)] == {0: (Status.PENDING, 1)}
    assert listed[2].recipients[0].due == START + 2 * HOUR
    assert [one.id for one in reader.list(Query(status=Status.HELD))] == [queue_id(1)]
    assert [one.id for one in reader.list(Query(recipient="b@example.net"))] == [queue_id(2)]
    assert pages(reader, 1) == pages(reader, 3) == [one.id for one in listed]
    counts = reader.counts()
    assert (counts.messages, counts.pending, counts.held) == (4, 3, 1)
    shown = reader.show(queue_id(2))
    assert shown is not None
    assert shown.envelope is not None
    assert [one.address.text for one in shown.envelope.recipients] == ["a@example.org", "b@example.net"]
    assert reader.show(queue_id(3)) is None
    assert reader.show("nonsense") is None


def pages(reader: SpoolReader, size: int) -> list[str]:
    """All ids, fetched page by page."""
    found: list[str] = []
    query = Query(limit=size)
    while page := reader.list(query):
        found += [one.id for one in page]
        query = query.behind(page[-1].num, page[-1].id)
    return found


async def test_it_works_beside_the_running_daemon(bench: Bench) -> None:
    spool = await bench.open()
    reader = SpoolReader(bench.folder)
    assert reader.list() == []
    works = await put(spool, envelope(1))
    assert [one.id for one in reader.list()] == [queue_id(1)]
    await spool.flush()
    assert [one.id for one in reader.list()] == [queue_id(1)]
    assert reader.list()[0].recipients[0].lane == "mx:example.org"
    await settle(spool, delivered(*works))
    assert reader.list() == []
    assert reader.counts().messages == 0
    await spool.close()
    assert reader.list() == []


async def test_it_says_when_there_is_no_spool(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match="there is no spool"):
        SpoolReader(tmp_path).list()


async def test_it_changes_nothing(bench: Bench) -> None:
    reader = await build(bench, flush_after=2)
    for path in bench.folder.glob("index.db*"):
        path.unlink()
    before = {path: path.read_bytes() for path in bench.folder.rglob("*") if path.is_file()}
    reader.list()
    reader.counts()
    reader.show(queue_id(1))
    assert {path: path.read_bytes() for path in bench.folder.rglob("*") if path.is_file()} == before
