"""Failure reports: at once, to those who ask and may, no more than the day's number over all processes and restarts."""

import asyncio
from email import message_from_bytes
from pathlib import Path

import msgspec
import pytest

from postroad.house.reports import dmarcfailures
from postroad.house.reports.dmarcfailures import WAITING, FailureReports
from postroad.message.dmarcfailure import Failure
from postroad.message.reportmail import Author
from postroad.model.errors import SpoolError
from postroad.model.records import Record, SpoolFaulted
from postroad.model.reportjob import DAY
from tests.support.clock import ManualClock
from tests.support.dns import FakeLookup
from tests.support.outbox import Queue

START = 20_000 * DAY
FAILURE = Failure("example.com", "example.com", START, "dmarc", "reject", "203.0.113.9", "a@b.example", " x; none")
AUTHOR = Author("Us", "", "dmarc@example.net")


class World:
    """Two processes with one file."""

    def __init__(self, folder: Path, ruf: str = "mailto:ruf@example.com", most: int = 3) -> None:
        self.lookup = FakeLookup({("_dmarc.example.com", "TXT"): [f"v=DMARC1; p=reject; ruf={ruf}"]})
        self.queue = Queue()
        self.clock = ManualClock(START)
        self.records: list[Record] = []
        self.file = folder / "dmarc-reports.db"
        self.most = most
        self.restart()

    def restart(self) -> None:
        self.processes = [
            FailureReports(
                self.file,
                AUTHOR,
                self.most,
                lookup=lambda: self.lookup,
                outbox=self.queue.outbox(),
                clock=self.clock,
                emit=self.records.append,
            )
            for _ in range(2)
        ]

    async def fail(self, times: int = 1, domain: str = "example.com") -> None:
        for number in range(times):
            self.clock.advance(1)
            one = msgspec.structs.replace(FAILURE, domain=domain, at=self.clock.now())
            self.processes[number % 2].hear(one)
        await asyncio.gather(*(one.send() for one in self.processes))

    @property
    def sent(self) -> list[str]:
        return [str(envelope.recipients[0].address) for envelope, _ in self.queue.put_in]


async def test_no_more_than_the_days_number(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.fail(2)
    assert world.sent == ["ruf@example.com"] * 2
    world.restart()
    await world.fail(4)
    assert len(world.sent) == 3
    world.clock.advance(86_400)
    await world.fail(7)
    assert len(world.sent) == 6
    ids = {message_from_bytes(content)["Message-ID"] for _, content in world.queue.put_in}
    assert len(ids) == 6
    assert all(envelope.sender.text == "" for envelope, _ in world.queue.put_in)


async def test_all_domains_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dmarcfailures, "IN_ALL", 5)
    world = World(tmp_path)
    for number in range(8):
        name = f"d{number}.example"
        world.lookup.records[f"_dmarc.{name}", "TXT"] = [f"v=DMARC1; p=none; ruf=mailto:r@{name}"]
        await world.fail(1, name)
    assert len(world.sent) == 5


@pytest.mark.parametrize(
    ("ruf", "elsewhere", "to"),
    [
        ("mailto:a@third.example", "", []),
        ("mailto:a@third.example", "v=DMARC1", ["a@third.example"]),
        ("mailto:a@third.example", "v=DMARC1; rua=mailto:x@third.example", ["a@third.example"]),
        ("mailto:a@third.example", "v=DMARC1; ruf=mailto:x@third.example", ["x@third.example"]),
        ("mailto:a@example.com!10", "", []),
        ("mailto:a@example.com!10k", "", ["a@example.com"]),
        (",".join(f"mailto:a{n}@example.com" for n in range(9)), "", ["a0@example.com", "a1@example.com"]),
    ],
)
async def test_who_is_told(tmp_path: Path, ruf: str, elsewhere: str, to: list[str]) -> None:
    world = World(tmp_path, ruf)
    if elsewhere:
        world.lookup.records["example.com._report._dmarc.third.example", "TXT"] = [elsewhere]
    await world.fail()
    assert world.sent == to


async def test_a_flood_is_dropped_and_the_server_ends_at_once(tmp_path: Path) -> None:
    world = World(tmp_path, most=1000)
    one, other = world.processes
    for _ in range(WAITING * 3):
        one.hear(FAILURE)
    await one.send()
    assert len(world.sent) == WAITING
    other.start()
    other.hear(FAILURE)
    async with asyncio.timeout(30):
        while len(world.sent) == WAITING:
            await asyncio.sleep(0.01)
    other.hear(FAILURE)
    await other.stop()


async def test_a_file_or_queue_that_does_not_work_is_told_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.file.mkdir()
    await world.fail(4)
    world.file.rmdir()
    assert sum(isinstance(one, SpoolFaulted) for one in world.records) == 2  # one of each process
    world.queue.fault = SpoolError("no room")
    await world.fail()
    world.queue.fault = None
    await world.fail()
    assert [one.reason for one in world.records if isinstance(one, SpoolFaulted)][2:] == ["no room"]
    assert len(world.sent) == 1
