"""Reports about DMARC over days with a hand-driven clock: nothing written is lost, each is sent once, to who may."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from postroad.config.load import load_config
from postroad.house.reports import daily
from postroad.house.reports.dmarcreports import DmarcReports
from postroad.house.reports.dmarctally import IN_MEMORY, DmarcTally
from postroad.message.dmarcreport import DkimResult, DmarcReport, Published, Seen, SpfResult
from postroad.message.dmarcreportread import report_in_mail
from postroad.message.reportmail import Author
from postroad.model.dns import Answer
from postroad.model.errors import SpoolError
from postroad.model.records import Record, ReportSent, SpoolFaulted
from postroad.model.reportjob import DAY
from postroad.store import dmarcreports
from postroad.store.dmarcreports import DmarcReportStore
from tests.support.clock import ManualClock
from tests.support.dns import FakeLookup
from tests.support.outbox import Queue

AUTHOR = Author("Us", "https://example.net/dmarc", "dmarc@example.net")
TXT = ("_dmarc.example.com", "TXT")
SLOW = 30
START = 20_000 * DAY + 43_200_000_000  # noon
POLICY = Published("example.com", "reject", "reject", "reject", "r", "r", "100", "n", "0")
GOOD = Seen(
    "192.0.2.1",
    "none",
    "pass",
    "pass",
    "example.com",
    "example.com",
    signatures=(DkimResult("example.com", "s", "pass"),),
    senders=(SpfResult("example.com", "mfrom", "pass"),),
)
BAD = Seen("203.0.113.9", "reject", "fail", "fail", "example.com", senders=(SpfResult("x.example", "helo", "none"),))
CONFIG = """
hostname = "relay.example.net"
data_dir = "data"
listeners.mx.bind = ["127.0.0.1:2525"]
[[routes]]
next_hops = ["capture:"]
[dmarc_reports]
from = "dmarc@example.net"
"""


class World:
    """A server of two processes that count, and reports; `restart` is one after a kill."""

    def __init__(self, folder: Path) -> None:
        (folder / "postroad.toml").write_text(CONFIG)
        self.config = load_config(folder / "postroad.toml")
        self.config.data_dir.mkdir()
        self.clock = ManualClock(START)
        self.lookup = FakeLookup({TXT: ["v=DMARC1; p=reject; rua=mailto:reports@example.com"]})
        self.queue = Queue()
        self.records: list[Record] = []
        self.restart()

    def restart(self) -> None:
        self.counting = [DmarcTally(self.config, self.clock, self.records.append) for _ in range(2)]
        self.reports = DmarcReports(
            self.config.dmarc_reports_file,
            AUTHOR,
            lookup=lambda: self.lookup,
            outbox=self.queue.outbox(),
            clock=self.clock,
            emit=self.records.append,
            random=lambda: 0.5,
        )

    def see(self, seen: Seen, times: int = 1, policy: Published = POLICY) -> None:
        for number in range(times):
            self.counting[number % 2].tally.add(policy, seen)

    async def write(self) -> None:
        await asyncio.gather(*(one.write() for one in self.counting))

    async def pass_by(self, hours: float) -> None:
        for _ in range(round(hours * 4)):
            self.clock.advance(900)
            await self.write()
            await self.reports.round()

    @property
    def sent(self) -> list[tuple[str, DmarcReport]]:
        return [(str(one.recipients[0].address), report_in_mail(content)) for one, content in self.queue.put_in]


def run(folder: Path, story: Callable[[World], Awaitable[None]]) -> None:
    async def told() -> None:
        world = World(folder)
        await story(world)
        await world.reports.stop()

    asyncio.run(told())


def test_a_day_is_told_once(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.see(GOOD, 40)
        await world.write()
        world.see(BAD, 3)
        world.see(GOOD, 2)
        await world.pass_by(11.75)
        assert world.sent == []
        await world.pass_by(72)
        ((to, report),) = world.sent
        assert to == "reports@example.com"
        assert (report.organization, report.email, report.contact) == (
            "Us",
            "dmarc@example.net",
            "https://example.net/dmarc",
        )
        assert (report.begin, report.end) == (20_000 * 86_400, 20_001 * 86_400 - 1)
        assert report.published == POLICY
        assert [(row.seen, row.count) for row in report.rows] == [(GOOD, 42), (BAD, 3)]
        ((envelope, content),) = world.queue.put_in
        assert (envelope.sender.text, envelope.size) == ("", len(content))
        head = content.partition(b"\r\n\r\n")[0].decode()
        assert "Subject: Report Domain: example.com\r\n Submitter: example.net\r\n Report-ID: <" in head
        assert b'filename="example.net!example.com!1728000000!1728086399.xml.gz"' in content

    run(tmp_path, story)


def test_a_kill_loses_nothing_that_was_written(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        for _ in range(5):
            world.see(GOOD)
            await world.write()
            world.restart()
        world.see(GOOD)  # not written: that one is lost
        world.restart()
        await world.pass_by(20)
        world.restart()
        await world.pass_by(20)
        assert [report.total for _, report in world.sent] == [5]

    run(tmp_path, story)


@pytest.mark.parametrize(
    ("rua", "records", "to"),
    [
        ("mailto:a@sub.example.com", {}, ["a@sub.example.com"]),
        ("mailto:a@third.example", {}, []),
        ("mailto:a@third.example", {"example.com._report._dmarc.third.example": "v=DMARC1"}, ["a@third.example"]),
        ("mailto:a@third.example", {"example.com._report._dmarc.third.example": "v=spf1"}, []),
        (
            "mailto:a@third.example,mailto:c@example.com",
            {"example.com._report._dmarc.third.example": "v=DMARC1; rua=mailto:b@third.example,mailto:x@else.example"},
            ["b@third.example", "c@example.com"],
        ),
        ("mailto:a@example.com!1,mailto:b@example.com!1g", {}, ["b@example.com"]),
        ("mailto:a@example.com!200,mailto:b@example.com!20k", {}, ["b@example.com"]),
        ("mailto:a@example.com,mailto:a@example.com", {}, ["a@example.com"]),
        ("https://example.com/r,mailto:,mailto:nobody,mailto:a@[192.0.2.1]", {}, []),
        (
            ",".join(f"mailto:a{number}@example.com" for number in range(20)),
            {},
            [f"a{n}@example.com" for n in range(5)],
        ),
        ("", {}, []),
    ],
)
def test_who_gets_it(tmp_path: Path, rua: str, records: dict[str, str], to: list[str]) -> None:
    async def story(world: World) -> None:
        world.lookup.records[TXT] = [f"v=DMARC1; p=none; rua={rua}"]
        world.lookup.records |= {(name, "TXT"): [text] for name, text in records.items()}
        world.see(GOOD)
        await world.pass_by(30)
        assert [address for address, _ in world.sent] == to
        assert sum(isinstance(one, ReportSent) for one in world.records) == len(to)

    run(tmp_path, story)


def test_a_fault_of_dns_is_no_answer(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        name = "example.com._report._dmarc.third.example"
        world.lookup.records[TXT] = ["v=DMARC1; p=none; rua=mailto:a@third.example"]
        world.lookup.failing.add(name)
        world.see(GOOD)
        await world.pass_by(15)
        assert world.sent == []
        world.lookup.failing.clear()
        world.lookup.records[name, "TXT"] = ["v=DMARC1;"]
        await world.pass_by(24)
        assert [address for address, _ in world.sent] == ["a@third.example"]

    run(tmp_path, story)


def test_a_domain_whose_dns_is_slow_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daily, "_PATIENCE", 0.5)

    async def story(world: World) -> None:
        waiting: set[str] = set()
        most = 0

        class Slow(FakeLookup):
            async def __call__(self, name: str, kind: str) -> Answer:
                nonlocal most
                if name.endswith("slow.example"):
                    waiting.add(name)
                    most = max(most, len(waiting))
                    try:
                        await asyncio.get_running_loop().create_future()
                    finally:
                        waiting.discard(name)
                return await super().__call__(name, kind)

        world.lookup = Slow({TXT: world.lookup.records[TXT]})
        for number in range(SLOW):
            world.see(GOOD, 1, Published(f"{number}.slow.example", "none"))
        world.see(GOOD)
        await world.write()
        world.clock.advance(86_400)
        await world.reports.round()  # plans
        world.clock.advance(7200)
        await world.reports.round()
        assert most == SLOW
        assert [address for address, _ in world.sent] == ["reports@example.com"]

    run(tmp_path, story)


def test_a_full_spool_is_told_once_and_tried_again(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.queue.fault = SpoolError("no room")
        world.see(GOOD)
        await world.pass_by(20)
        assert [one.reason for one in world.records if isinstance(one, SpoolFaulted)] == ["no room"]
        world.queue.fault = None
        await world.pass_by(12)
        assert len(world.sent) == 1

    run(tmp_path, story)


def test_a_file_that_cannot_be_written_loses_no_count(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.config.dmarc_reports_file.mkdir()
        world.see(GOOD, 2)
        await world.write()
        await world.write()
        assert sum(isinstance(one, SpoolFaulted) for one in world.records) == 2  # one of each process
        world.config.dmarc_reports_file.rmdir()
        world.see(GOOD)
        await world.write()
        store = DmarcReportStore(world.config.dmarc_reports_file)
        assert store.counts(20_000, "example.com") is not None
        await world.pass_by(20)
        assert [report.total for _, report in world.sent] == [3]
        store.close()

    run(tmp_path, story)


def test_what_is_being_written_at_the_end_is_not_lost(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        for number in range(20):
            one = DmarcTally(world.config, world.clock, world.records.append)
            one.start()
            one.tally.add(POLICY, GOOD)
            writing = asyncio.create_task(one.write())
            for _ in range(number % 4):
                await asyncio.sleep(0)
            one.tally.add(POLICY, BAD)
            await one.stop()
            await writing
        store = DmarcReportStore(world.config.dmarc_reports_file)
        counted = store.counts(20_000, "example.com")
        store.close()
        assert counted is not None
        assert [row.count for row in counted[1]] == [20, 20]
        assert world.records == []

    run(tmp_path, story)


def test_one_domain_does_not_take_the_room_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dmarcreports, "REPORTED", 10)

    async def story(world: World) -> None:
        for number in range(20):
            world.see(msgspec.structs.replace(BAD, source_ip=f"203.0.113.{number}"), 2)
            await world.write()
        world.see(GOOD, 1, Published("other.example", "none"))
        await world.write()
        store = DmarcReportStore(world.config.dmarc_reports_file)
        counted = store.counts(20_000, "example.com")
        assert counted is not None
        assert [row.count for row in counted[1]] == [2] * 10
        assert store.counts(20_000, "other.example") is not None
        store.close()

    run(tmp_path, story)


def test_memory_and_disk_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dmarcreports, "ROWS", 100)

    async def story(world: World) -> None:
        (one, _) = world.counting
        for number in range(IN_MEMORY + 10):
            policy = Published(f"d{number}.example", "none")
            one.tally.add(policy, GOOD)
        assert len(one.tally.take()) == IN_MEMORY
        world.see(GOOD)
        await world.write()
        for number in range(200):
            world.see(GOOD, 1, Published(f"d{number}.example", "none"))
        await world.write()
        world.see(GOOD, 4)
        world.see(BAD)
        await world.write()
        store = DmarcReportStore(world.config.dmarc_reports_file)
        counted = store.counts(20_000, "example.com")
        assert counted is not None
        assert [(row.seen, row.count) for row in counted[1]] == [(GOOD, 5)]  # what is known already goes on
        assert len(store.days()) == 100
        await world.pass_by(24 * 6)
        world.see(BAD)
        await world.write()
        assert store.counts(20_000, "example.com") is None
        assert store.days() == [(20_006, "example.com")]
        store.close()

    run(tmp_path, story)
