"""Journals of several processes, in one: edges that accept, die and come back, and the one that delivers.

Everything that was accepted is there once, whoever died when; what is finished never comes back, with the index or
without it; segments go, also those of edges that are no more.
"""

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from postroad.model.records import SpoolDamaged, SpoolFaulted
from postroad.model.work import Change, Status, Stored, Work
from postroad.spool.edge import EdgeSpool
from postroad.spool.layout import Layout, Reach
from postroad.spool.spool import EmbeddedSpool
from postroad.spool.tools import verify
from tests.support.clock import ManualClock
from tests.unit.spool.building import Bench, content_of, delivered, envelope, lease_all, put, settle

NAMES = ("edge-1", "edge-2", "edge-3")


class Board:
    """What the processes tell each other in shared memory."""

    def __init__(self) -> None:
        self.known: dict[str, Reach] = {}
        self.asked: list[tuple[str, int]] = []

    def reaches(self) -> Mapping[str, Reach]:
        return dict(self.known)

    def ask_to_end(self, journal: str, segment: int) -> None:
        self.asked.append((journal, segment))


class House:
    """A spool with its processes."""

    def __init__(self, folder: Path) -> None:
        self.bench = Bench(folder, segment_size=1 << 16, inline_size=4096)
        self.board = self.bench.others = Board()
        self.edges: dict[str, EdgeSpool] = {}
        self.works: dict[str, list[Work]] = {}
        self.admitted: list[str] = []
        self.number = 0
        self.layout = Layout(folder)

    @property
    def clock(self) -> ManualClock:
        assert isinstance(self.bench.clock, ManualClock)
        return self.bench.clock

    async def edge(self, name: str) -> EdgeSpool:
        """Another life of an edge."""

        def reached(segment: int, offset: int) -> None:
            assert (segment, offset) >= self.board.known.get(name, (0, 0))
            self.board.known[name] = (segment, offset)

        spool = EdgeSpool(
            self.bench.folder,
            self.bench.settings,
            clock=self.clock,
            emit=self.bench.records.append,
            journal=name,
            reached=reached,
            others_have_room=lambda: True,
        )
        await spool.open()
        self.edges[name] = spool
        return spool

    async def courier(self, *, beside: bool = False) -> EmbeddedSpool:
        """Another life of the courier."""
        spool = await self.bench.open(beside=beside)
        self.works.clear()
        spool.follow(self.admit)
        return spool

    def admit(self, stored: Stored, works: list[Work]) -> None:
        assert stored.id not in self.works, "taken in twice in one life"
        self.admitted.append(stored.id)
        self.works[stored.id] = works

    async def put(self, name: str, content: bytes = b"hello\r\n") -> str:
        self.number += 1
        one = envelope(self.number, size=len(content))
        spool = self.edges[name]
        if len(content) > 4096:
            draft = spool.draft(lambda: None)
            for start in range(0, len(content), 3000):
                draft.append(content[start : start + 3000])
            await put(spool, one, draft)
        else:
            await put(spool, one, content)
        return one.id

    async def taken(self, spool: EmbeddedSpool) -> None:
        """Wait until everything accepted has been taken in."""
        followers = spool._journals._followers
        async with asyncio.timeout(20):
            while any(followers._followed[name].tail.position < reach for name, reach in self.board.known.items()):
                spool.look()
                await asyncio.sleep(0)


async def kill(spool: EdgeSpool) -> None:
    """End it as a kill would, room written ahead and all."""
    spool._room.stop()
    for worker in (spool._commits._worker, spool._drafting, spool._watching):
        worker.stop()
    if spool._journal.is_open:
        spool._disk.close(spool._journal._fd)
    await asyncio.sleep(0)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path / "spool")


async def test_mail_of_an_edge_is_delivered_and_gone(house: House) -> None:
    courier = await house.courier()
    await house.edge("edge-1")
    large = bytes(range(256)) * 100
    small_id, large_id = await house.put("edge-1"), await house.put("edge-1", large)
    await house.taken(courier)
    assert house.admitted == [small_id, large_id]
    assert house.works[small_id][0].lane.startswith("mx:")
    assert house.works[small_id][0].stored.content == b"hello\r\n"
    assert await content_of(courier, house.works[small_id][0]) == b"hello\r\n"
    assert await content_of(courier, house.works[large_id][0]) == large
    for works in list(house.works.values()):
        await settle(courier, delivered(*works))
    await house.edges["edge-1"].close()
    await courier.close()
    courier = await house.bench.open()
    assert await lease_all(courier) == []
    assert list(house.layout.content.iterdir()) == []
    await courier.close()
    assert verify(house.bench.folder).problems == []


async def test_what_a_killed_edge_had_accepted_is_taken_in(house: House) -> None:
    courier = await house.courier()
    edge = await house.edge("edge-1")
    first = await house.put("edge-1")
    await kill(edge)
    # A frame that was cut by the kill, in room written ahead: nobody was promised anything.
    path = house.layout.segment("edge-1", 1)
    octets = path.read_bytes()
    frames = octets.rstrip(b"\0")
    path.write_bytes(octets[: len(frames)] + frames[-300:-20] + bytes(50_000))
    edge = await house.edge("edge-1")
    second = await house.put("edge-1")
    await house.taken(courier)
    assert house.admitted == [first, second]
    assert house.board.known["edge-1"][0] == 2
    await kill(edge)
    await courier.close()


async def test_a_frame_that_was_durable_but_not_told_of_is_taken_in_with_the_next_life(house: House) -> None:
    courier = await house.courier()
    edge = await house.edge("edge-1")
    first = await house.put("edge-1")
    before = house.board.known["edge-1"]
    second = await house.put("edge-1")
    house.board.known["edge-1"] = before
    await house.taken(courier)
    assert house.admitted == [first]
    await kill(edge)
    await house.edge("edge-1")
    await house.taken(courier)
    assert house.admitted == [first, second]
    await kill(house.edges["edge-1"])
    await courier.close()


async def test_segments_change_while_they_are_read(house: House) -> None:
    courier = await house.courier()
    edge = await house.edge("edge-1")
    ids = [await house.put("edge-1", bytes([number]) * 4000) for number in range(60)]
    assert house.board.known["edge-1"][0] > 3
    await house.taken(courier)
    assert house.admitted == ids
    for number, one in enumerate(ids):
        assert await content_of(courier, house.works[one][0]) == bytes([number]) * 4000
    await kill(edge)
    await courier.close()


async def test_damage_in_a_live_journal_costs_its_frame_alone(house: House) -> None:
    courier = await house.courier()
    edge = await house.edge("edge-1")
    ids = [await house.put("edge-1") for _ in range(3)]
    path = house.layout.segment("edge-1", 1)
    octets = bytearray(path.read_bytes())
    at = octets.index(ids[1].encode())
    octets[at - 14] ^= 1  # in the header of the second
    path.write_bytes(octets)
    await house.taken(courier)
    assert house.admitted == [ids[0], ids[2]]
    assert len(house.bench.kinds(SpoolDamaged)) == 1
    await kill(edge)
    await courier.close()


async def test_a_journal_that_cannot_be_read_is_read_later(house: House) -> None:
    courier = await house.courier()
    edge = await house.edge("edge-1")
    one = await house.put("edge-1")
    path = house.layout.segment("edge-1", 1)
    path.rename(path.with_name("elsewhere"))
    courier.look()
    await asyncio.sleep(0.01)
    assert house.admitted == []
    assert len(house.bench.kinds(SpoolFaulted)) == 1
    path.with_name("elsewhere").rename(path)
    await house.taken(courier)
    assert house.admitted == [one]
    await kill(edge)
    await courier.close()


async def test_the_courier_leaves_alone_what_live_edges_are_about_to_accept(house: House) -> None:
    await house.courier()
    edge = await house.edge("edge-1")
    draft = edge.draft(lambda: None)
    for _ in range(3):
        draft.append(bytes(3000))
    file = house.layout.file("1234567890123")
    file.write_bytes(b"published, its frame comes next")
    await house.bench.crash(house.bench.spools[-1])
    courier = await house.courier(beside=True)
    assert file.exists()
    one = envelope(7, size=9000)
    await put(edge, one, draft)
    await house.taken(courier)
    assert await content_of(courier, house.works[one.id][0]) == bytes(9000)
    await kill(edge)
    await courier.close()
    await (await house.courier()).close()
    assert not file.exists()


async def test_segments_go_and_those_with_outcomes_stay_as_long(house: House) -> None:
    courier = await house.courier()
    for name in ("edge-1", "edge-2"):
        await house.edge(name)
    kept = await house.put("edge-2", bytes(4000))
    for _ in range(12):
        for _ in range(40):
            await house.put("edge-1", bytes(3000))
        await house.taken(courier)
        done = [works for queue_id, works in house.works.items() if queue_id != kept]
        for works in done:
            await settle(courier, delivered(*works))
            del house.works[works[0].stored.id]
        # Outcomes with long replies fill our own journal.
        held = house.works[kept]
        for number in range(30):
            await settle(courier, [_later(held[0], number)])
        await house.clock.run(1.0)
        await courier.maintain()
        if house.board.asked:
            name, segment = house.board.asked[-1]
            house.edges[name].end_segment(segment)
    await house.clock.run(3.0)
    await courier.maintain()
    await asyncio.sleep(0.05)
    assert len(house.layout.segment_numbers("edge-1")) <= 3
    assert ("edge-2", 1) in house.board.asked
    assert house.layout.segment_numbers("edge-2") in ([1], [])
    assert len(house.layout.segment_numbers("main")) <= 8
    for edge in house.edges.values():
        await edge.close()
    await courier.close()
    house.layout.index.unlink()
    again = await house.bench.open()
    assert {work.stored.id for work in await lease_all(again)} == {kept}
    await again.close()


def _later(work: Work, number: int) -> Change:
    return Change(work, Status.PENDING, work.due + number, work.deadline, number, False, "451 " + "x" * 4000)


class Lives:
    """A model beside the house: what was accepted, and what was settled."""

    def __init__(self, house: House, dice: random.Random) -> None:
        self.house = house
        self.dice = dice
        self.accepted: set[str] = set()
        self.settled: set[str] = set()

    async def begin(self) -> None:
        self.courier = await self.house.courier()
        for name in NAMES:
            await self.house.edge(name)

    async def accept(self) -> None:
        size = self.dice.choice((10, 3000, 9000))
        self.accepted.add(await self.house.put(self.dice.choice(NAMES), bytes(size)))

    async def kill_edge(self) -> None:
        name = self.dice.choice(NAMES)
        await kill(self.house.edges[name])
        await self.house.edge(name)

    async def deliver(self) -> None:
        self.courier.look()
        await asyncio.sleep(0)
        works = self.house.works
        for queue_id in self.dice.sample(sorted(works), len(works) // 2):
            if self.dice.random() < 0.7:
                assert queue_id not in self.settled
                await settle(self.courier, delivered(*works.pop(queue_id)))
                self.settled.add(queue_id)
            else:
                self.courier.release(works.pop(queue_id))

    async def kill_courier(self) -> None:
        await self.house.bench.crash(self.courier)
        if self.dice.random() < 0.3:
            for path in self.house.bench.folder.glob("index.db*"):
                path.unlink()
        self.courier = await self.house.courier(beside=True)
        for work in await lease_all(self.courier):
            self.house.works.setdefault(work.stored.id, []).append(work)
        assert not self.settled & set(self.house.works)

    async def step(self) -> None:
        """Something happens."""
        match self.dice.randrange(10):
            case 0 | 1 | 2 | 3:
                await self.accept()
            case 4:
                await self.kill_edge()
            case 5 | 6:
                await self.deliver()
            case 7:
                await self.house.clock.run(self.dice.choice((0.3, 1.0, 2.5)))
            case 8:
                await self.courier.maintain()
            case _:
                await self.kill_courier()

    async def end(self) -> None:
        """Everybody is killed, and one process goes on alone."""
        await self.house.bench.crash(self.courier)
        for name in NAMES:
            await kill(self.house.edges[name])
        courier = await self.house.bench.open()
        assert {work.stored.id for work in await lease_all(courier)} == self.accepted - self.settled
        await courier.close()


async def test_accepted_mail_is_there_once_whoever_dies_when(house: House, long_mode: bool) -> None:
    for seed in range(40 if long_mode else 3):
        lives = Lives(House(house.layout.folder / str(seed)), random.Random(seed))
        await lives.begin()
        for _ in range(120):
            await lives.step()
        await lives.end()
        assert not lives.house.bench.kinds(SpoolDamaged)
        assert verify(lives.house.bench.folder).problems == []
