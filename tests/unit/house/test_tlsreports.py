"""TLS reports over days with a hand-driven clock: nothing written is lost, each is sent once, trouble passes."""

import asyncio
import gzip
import json
import signal
import subprocess
import sys
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from postroad.house.reports import tlsreports
from postroad.house.reports.tlsreports import TlsReports
from postroad.message.reportmail import Author
from postroad.model.errors import SpoolError
from postroad.model.records import Record, ReportNotSent, ReportSent, SpoolFaulted
from postroad.model.reportjob import DAY
from postroad.model.route import TLS_OPTIONAL
from postroad.model.security import TlsOutcome
from postroad.model.tlscounts import TlsCount, TlsKey
from postroad.net.http.fetching import Answer
from postroad.store.tlsreports import TlsReportStore
from tests.support.clock import ManualClock
from tests.support.command import run_command
from tests.support.dns import FakeLookup
from tests.support.outbox import Queue

AUTHOR = Author("Us", "help@example.net", "tlsrpt@example.net")
TXT = ("_smtp._tls.example.com", "TXT")
START = 20_000 * DAY + 43_200_000_000  # noon
POLICY = ("version: STSv1", "mode: testing", "mx: mx.example.com", "max_age: 86400")
HOUR = 3600.0


class World:
    """A server that reports; `restart` is one after a kill."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "tls-reports.db"
        self.clock = ManualClock(START)
        self.lookup = FakeLookup({TXT: ["v=TLSRPTv1; rua=mailto:reports@example.com"]})
        self.queue = Queue()
        self.answer = Answer(201, "Created")
        self.posted: list[tuple[str, bytes, Mapping[str, str]]] = []
        self.records: list[Record] = []
        self.random = 0.5
        self.restart()

    def restart(self) -> None:
        self.reports = TlsReports(
            TlsReportStore(self.file),
            AUTHOR,
            lookup=lambda: self.lookup,
            post=self.post,
            outbox=self.queue.outbox(),
            clock=self.clock,
            emit=self.records.append,
            random=lambda: self.random,
        )

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        self.posted.append((url, body, headers))
        return self.answer

    def observe(self, result: str = "success", domain: str = "example.com", words: str = "") -> None:
        host = "mx.example.com"
        self.reports.observe(TlsOutcome(domain, host, "sts", POLICY, result, "192.0.2.1", "192.0.2.9", words))

    async def pass_by(self, hours: float) -> None:
        for _ in range(round(hours * 4)):
            self.clock.advance(900)
            await self.reports.round()


def run(folder: Path, story: Callable[[World], Awaitable[None]]) -> None:
    async def told() -> None:
        world = World(folder)
        await story(world)
        await world.reports.stop()

    asyncio.run(told())


def sent(content: bytes) -> dict[str, Any]:
    coded = content.partition(b"Content-Disposition")[2].split(b"\r\n\r\n")[1].partition(b"--")[0]
    found: dict[str, Any] = json.loads(gzip.decompress(b64decode(coded)))
    return found


def test_a_day_is_told_once_by_mail(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        for _ in range(3):
            world.observe()
        world.observe("certificate-expired", words="it has\nexpired")
        await world.pass_by(11.75)
        assert world.queue.put_in == []
        world.observe()
        await world.pass_by(72)
        ((envelope, content),) = world.queue.put_in
        assert (envelope.sender.text, envelope.tls, envelope.size) == ("", TLS_OPTIONAL, len(content))
        assert [str(one.address) for one in envelope.recipients] == ["reports@example.com"]
        assert envelope.arrived == 20_001 * DAY + 2 * 3600 * 1_000_000  # half of four hours
        report = sent(content)
        assert report["date-range"] == {
            "start-datetime": "2024-10-04T00:00:00Z",
            "end-datetime": "2024-10-04T23:59:59Z",
        }
        (policy,) = report["policies"]
        assert policy["summary"] == {"total-successful-session-count": 4, "total-failure-session-count": 1}
        assert policy["failure-details"] == [
            {
                "result-type": "certificate-expired",
                "sending-mta-ip": "192.0.2.9",
                "receiving-mx-hostname": "mx.example.com",
                "receiving-ip": "192.0.2.1",
                "failure-reason-code": "it has?expired",
                "failed-session-count": 1,
            }
        ]

    run(tmp_path, story)


def test_a_kill_loses_nothing_that_was_written_nor_the_instant(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        for number in range(10):
            world.observe("success" if number % 2 else "validation-failure")
            world.reports.write()
            world.restart()
        world.observe()  # not written: that one is lost
        world.restart()
        await world.pass_by(12.25)
        for world.random in (0.0, 1.0):
            world.restart()
            await world.reports.round()
        assert world.queue.put_in == []
        world.restart()
        await world.pass_by(24)
        ((_, content),) = world.queue.put_in
        (policy,) = sent(content)["policies"]
        assert policy["summary"] == {"total-successful-session-count": 5, "total-failure-session-count": 5}

    run(tmp_path, story)


def test_by_https_until_it_works(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.lookup.records[TXT] = ["v=TLSRPTv1; rua=https://r.example/v1,mailto:reports@example.com"]
        world.lookup.failing.add(TXT)
        world.answer = Answer(503, "later")
        world.observe()
        await world.pass_by(15)
        assert (world.posted, world.queue.put_in) == ([], [])
        world.lookup.failing.clear()
        await world.pass_by(4)
        assert len(world.queue.put_in) == 1
        tries = len(world.posted)
        assert 1 < tries < 6
        world.answer = Answer(200, "OK")
        await world.pass_by(30)
        assert len(world.posted) == tries + 1
        assert len({body for _, body, _ in world.posted}) == 1
        url, body, headers = world.posted[-1]
        assert (url, headers) == ("https://r.example/v1", {"Content-Type": "application/tlsrpt+gzip"})
        assert json.loads(gzip.decompress(body))["organization-name"] == "Us"
        assert len(world.queue.put_in) == 1
        told = [(type(one), one.uri) for one in world.records if isinstance(one, ReportSent | ReportNotSent)]
        assert told.count((ReportSent, "mailto:reports@example.com")) == 1
        assert told.count((ReportSent, "https://r.example/v1")) == 1
        assert told.count((ReportNotSent, "https://r.example/v1")) == tries
        failed = next(one for one in world.records if isinstance(one, ReportNotSent))
        assert (failed.kind, failed.domain, failed.reason, failed.is_over) == (
            "tls",
            "example.com",
            "HTTP 503 later",
            False,
        )

    run(tmp_path, story)


def test_what_never_works_is_given_up_and_forgotten(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.lookup.records[TXT] = ["v=TLSRPTv1; rua=https://r.example/v1"]
        world.answer = Answer(0, "no route")
        world.observe()
        world.observe(domain="silent.example")
        await world.pass_by(24 * 6)
        assert 5 < len(world.posted) < 30
        store = TlsReportStore(world.file)
        assert store.days() == []
        assert store.due(world.clock.now(), 100) == []
        store.close()
        over = [one for one in world.records if isinstance(one, ReportNotSent) and one.is_over]
        assert [(one.uri, one.reason) for one in over] == [("https://r.example/v1", "2 days have passed")]

    run(tmp_path, story)


def test_a_full_spool_is_told_once_and_tried_again(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.queue.fault = SpoolError("no room")
        world.observe()
        await world.pass_by(20)
        assert [one.reason for one in world.records if isinstance(one, SpoolFaulted)] == ["no room"]
        world.queue.fault = None
        await world.pass_by(12)
        assert len(world.queue.put_in) == 1

    run(tmp_path, story)


def test_a_file_that_cannot_be_written_loses_no_count(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.file.mkdir()
        world.observe()
        world.reports.write()
        world.file.rmdir()
        world.observe()
        world.reports.write()
        store = TlsReportStore(world.file)
        assert [one.count for one in store.counts(20_000, "example.com")] == [2]
        store.close()
        assert len(world.records) == 1

    run(tmp_path, story)


def test_memory_is_bounded_and_counts_hold(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        for number in range(3 * tlsreports.IN_MEMORY):
            world.observe("validation-failure", words=f"reason {number}")
        world.reports.write()
        for number in range(3 * tlsreports.IN_MEMORY):
            world.observe(domain=f"d{number}.example")
        world.reports.write()
        store = TlsReportStore(world.file)
        assert len(store.days()) == 1 + 2 * tlsreports.IN_MEMORY
        report = store.counts(20_000, "example.com")
        assert (len(report), report[0].count) == (2000, 2 * tlsreports.IN_MEMORY)
        store.close()

    run(tmp_path, story)


WRITER = """
import sys
from pathlib import Path
from postroad.model.tlscounts import TlsCount, TlsKey
from postroad.store.tlsreports import TlsReportStore
store = TlsReportStore(Path(sys.argv[1]))
key = TlsKey(20000, "example.com", "sts", "", "success")
while True:
    store.add([TlsCount(key, 1)])
    print("written", flush=True)
"""


def test_a_writer_that_is_killed_loses_nothing_that_it_told_of(tmp_path: Path) -> None:
    file = tmp_path / "tls-reports.db"
    written = 0
    for life in (3, 50, 200):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, file], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        for _ in range(life):
            assert writer.stdout.readline() == b"written\n"
        writer.send_signal(signal.SIGKILL)
        written += life + writer.stdout.read().count(b"written\n")
        writer.stdout.close()
        writer.wait(30)
    store = TlsReportStore(file)
    ((count),) = store.counts(20_000, "example.com")
    store.close()
    assert written <= count.count <= written + 3  # one of each life may be written and not told of


def test_they_are_shown(tmp_path: Path) -> None:
    config = tmp_path / "postroad.toml"
    head = 'hostname = "relay.example.net"\n[listeners.mx]\nbind = ["127.0.0.1:2599"]\n'
    config.write_text(head)
    done = run_command("tls", "reports", "-c", config)
    assert (done.code, done.out) == (0, "")
    assert "[tls_reports]" in done.err
    config.write_text(f'{head}[tls_reports]\nfrom = "tlsrpt@example.net"\n')
    assert run_command("tls", "reports", "-c", config) == (0, "", "")
    assert not (tmp_path / "data").exists()
    (tmp_path / "data").mkdir()
    store = TlsReportStore(tmp_path / "data" / "tls-reports.db")
    for domain in ("example.com", "other.example"):
        store.add(
            [
                TlsCount(TlsKey(20_000, domain, "sts", "", "success"), 7),
                TlsCount(TlsKey(20_000, domain, "sts", "", "certificate-expired", "mx.example.com", words="old"), 2),
            ]
        )
    store.close()
    assert run_command("tls", "reports", "Example.com", "-c", config).out == (
        "2024-10-04 example.com: 7 successful, 2 failed\n  2 sts certificate-expired mx.example.com old\n"
    )
    lines = run_command("tls", "reports", "--json", "-c", config).out.splitlines()
    assert [json.loads(line)["organization-name"] for line in lines] == ["example.net"] * 2
