"""MTA-STS policies over days: fetched once, kept over restarts, refreshed; what trouble changes, what it does not."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from postroad.model.outcome import Deferred
from postroad.model.records import Record, SpoolFaulted, TlsPolicyNotFetched
from postroad.model.security import Security, TlsOutcome
from postroad.net.http.fetching import Answer
from postroad.routing import stscache
from postroad.routing.stscache import StsPolicies
from postroad.store.stspolicies import StsStore
from tests.support.clock import ManualClock
from tests.support.dns import FakeLookup

TXT = ("_mta-sts.example.com", "TXT")
URL = "https://mta-sts.example.com/.well-known/mta-sts.txt"
SPIN = 50


def page(mode: str = "enforce", max_age: int = 604800, mx: str = "mx1.example.com") -> Answer:
    text = f"version: STSv1\nmode: {mode}\nmx: {mx}\nmax_age: {max_age}\n"
    return Answer(200, "OK", body=text.encode(), content_type="text/plain; charset=utf-8")


class World:
    """A domain with its record and page, and whoever keeps its policy; `start` is a restart."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "mta-sts.db"
        self.clock = ManualClock()
        self.lookup = FakeLookup({TXT: ["v=STSv1; id=one;"]})
        self.page: Answer = page()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.fetched: list[str] = []
        self.records: list[Record] = []
        self.outcomes: list[TlsOutcome] = []
        self.start()

    def start(self) -> None:
        self.store = StsStore(self.file)
        self.policies = StsPolicies(
            self.lookup, self.get, self.store, clock=self.clock, emit=self.records.append, observe=self.outcomes.append
        )

    async def get(self, url: str) -> Answer:
        self.fetched.append(url)
        await self.may_answer.wait()
        return self.page

    async def stop(self) -> None:
        await self.policies.close()
        self.store.close()

    async def mode(self, domain: str = "example.com") -> str:
        """The mode in force now; whatever goes on behind it is done when this returns."""
        kept = await self.policies.of(domain)
        await self.settle()
        return kept.policy.mode if kept is not None else ""

    async def settle(self) -> None:
        for _ in range(SPIN):
            await asyncio.sleep(0)

    async def later(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await self.settle()


def run(folder: Path, story: Callable[[World], "asyncio.Future[None] | object"]) -> None:
    async def told() -> None:
        world = World(folder)
        try:
            await story(world)  # type: ignore[misc]
        finally:
            await world.stop()

    asyncio.run(told())


def test_a_policy_is_fetched_once_and_outlives_a_restart(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        assert await asyncio.gather(*(world.mode() for _ in range(50))) == ["enforce"] * 50
        assert world.fetched == [URL]
        await world.stop()
        world.start()
        world.lookup.failing.add(TXT)
        world.page = Answer(0, "refused")
        assert await world.mode("Example.COM.") == "enforce"
        assert world.fetched == [URL]
        assert world.outcomes == []

    run(tmp_path, story)


def test_the_sending_side_obeys(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        find = world.policies.find
        found = await find("example.com", "mx1.example.com", 25, authentic=False)
        assert isinstance(found, Security)
        assert found.names == ("mx1.example.com",)
        assert isinstance(await find("example.com", "mx.evil.example", 25, authentic=True), Deferred)
        (outcome,) = world.outcomes
        assert (outcome.result, outcome.mx_host, outcome.policy_type) == (
            "validation-failure",
            "mx.evil.example",
            "sts",
        )
        assert await find("other.example", "mx.other.example", 25, authentic=False) is None
        assert await find("[192.0.2.1]", "192.0.2.1", 25, authentic=False) is None
        assert await find("192.0.2.1", "192.0.2.1", 25, authentic=False) is None
        assert {name for name, _ in world.lookup.asked} == {"_mta-sts.example.com", "_mta-sts.other.example"}

    run(tmp_path, story)


def test_another_id_brings_another_policy(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        assert await world.mode() == "enforce"
        world.page, world.lookup.records[TXT] = page("testing"), ["v=STSv1; id=two"]
        await world.later(1800)
        assert await world.mode() == "enforce"  # not asked for again within the hour
        await world.later(1800)
        assert await world.mode() == "enforce"  # the old one while the new one is fetched
        assert await world.mode() == "testing"
        assert len(world.fetched) == 2

    run(tmp_path, story)


def test_it_is_refreshed_daily_without_mail(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        assert await world.mode() == "enforce"
        for day in range(1, 10):
            for _ in range(24 * 12):
                await world.later(300)
            assert len(world.fetched) == 1 + day
        world.lookup.failing.add(TXT)
        assert await world.mode() == "enforce"  # days after the first one would have ended

    run(tmp_path, story)


def test_failure_keeps_the_old_policy_until_it_ends(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.page = page(max_age=86400)
        assert await world.mode() == "enforce"
        start = world.clock.now()
        world.page = Answer(0, "certificate verify failed", untrusted=True)
        world.lookup.records[TXT] = ["v=STSv1; id=evil"]
        while world.clock.now() + 60_000_000 < start + 86400 * 1_000_000:
            await world.later(60)
            assert await world.mode() == "enforce"
        tries = len(world.fetched) - 1
        assert 200 < tries <= 86400 / 300  # again and again, not more often than each five minutes
        state = world.policies.state("example.com")
        assert state is not None
        assert "certificate verify failed" in state.fault
        assert {one.result for one in world.outcomes} == {"sts-webpki-invalid"}
        await world.later(60)
        assert await world.mode() == ""
        await world.later(300)
        world.page = page("testing")
        assert await world.mode() == "testing"

    run(tmp_path, story)


def test_a_record_that_goes_away_changes_nothing_while_it_holds(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.page = page(max_age=7200)
        assert await world.mode() == "enforce"
        del world.lookup.records[TXT]
        world.page = Answer(404, "Not Found", content_type="text/plain")
        await world.later(7000)
        assert await world.mode() == "enforce"
        await world.later(200)
        assert await world.mode() == ""
        await world.later(4000)
        fetched = len(world.fetched)
        assert await world.mode() == ""
        assert len(world.fetched) == fetched  # without a record nobody asks for a page

    run(tmp_path, story)


def test_mode_none_ends_it(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        assert await world.mode() == "enforce"
        world.page, world.lookup.records[TXT] = page("none"), ["v=STSv1; id=off"]
        await world.later(3600)
        await world.mode()
        assert await world.mode() == "none"
        assert await world.policies.find("example.com", "mx.evil.example", 25, authentic=False) is None
        world.page, world.lookup.records[TXT] = Answer(500, "broken"), ["v=STSv1; id=gone"]
        fetched = len(world.fetched)
        await world.later(3600)
        assert await world.mode() == "none"
        await world.settle()
        assert len(world.fetched) == fetched + 1
        assert (world.outcomes, world.records) == ([], [])  # what nobody has to know

    run(tmp_path, story)


def test_no_policy_and_a_failing_fetch_is_no_sts(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        answers = [
            (Answer(0, "refused"), "sts-policy-fetch-error"),
            (Answer(301, "Moved"), "sts-policy-fetch-error"),
            (Answer(0, "bad", untrusted=True), "sts-webpki-invalid"),
            (Answer(200, "OK", body=page().body, content_type="text/html"), "sts-policy-invalid"),
            (Answer(200, "OK", body=page().body), "sts-policy-invalid"),
            (Answer(200, "OK", body=b"\0", content_type="text/plain"), "sts-policy-invalid"),
        ]
        for number, (answer, result) in enumerate(answers, 1):
            world.page = answer
            assert await world.mode() == ""
            assert await world.mode() == ""
            assert len(world.fetched) == number
            assert world.outcomes[-1].result == result
            told = world.records[-1]
            assert isinstance(told, TlsPolicyNotFetched)
            assert (told.domain, told.reason, told.is_kept) == (
                "example.com",
                world.policies.fault("example.com"),
                False,
            )
            await world.later(299)
            assert await world.mode() == ""
            assert len(world.fetched) == number
            await world.later(1)

    run(tmp_path, story)


def test_the_first_message_does_not_wait_for_ever(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.may_answer.clear()
        first = asyncio.create_task(world.mode())
        await world.settle()
        assert not first.done()
        world.clock.advance(stscache.FIRST_WAIT)
        assert await first == ""
        world.may_answer.set()
        await world.settle()
        assert await world.mode() == "enforce"  # what was fetched meanwhile
        assert len(world.fetched) == 1

    run(tmp_path, story)


def test_dns_that_fails_is_asked_again_after_a_while(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.lookup.failing.add(TXT)
        assert await world.mode() == ""
        world.lookup.failing.clear()
        assert await world.mode() == ""
        await world.later(300)
        assert await world.mode() == "enforce"

    run(tmp_path, story)


def test_many_domains_take_turns(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        names = [f"d{number}.example" for number in range(stscache.WAITING + 50)]
        world.lookup.records |= {(f"_mta-sts.{name}", "TXT"): ["v=STSv1; id=x"] for name in names}
        world.may_answer.clear()
        asking = [asyncio.create_task(world.mode(name)) for name in names]
        await world.settle()
        await world.settle()
        assert len(world.fetched) == stscache.FETCHES
        assert sum(task.done() for task in asking) == 50  # beyond what may wait in line
        world.may_answer.set()
        modes = await asyncio.gather(*asking)
        assert modes.count("enforce") == stscache.WAITING

    run(tmp_path, story)


def test_a_file_that_cannot_be_used_is_told_once_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "mta-sts.db").write_bytes(b"no database at all, but long enough to look like one " * 50)

    async def story(world: World) -> None:
        assert await world.mode() == "enforce"
        assert await world.mode() == "enforce"
        (fault,) = world.records
        assert isinstance(fault, SpoolFaulted)
        assert "mta-sts.db cannot be used" in fault.reason

    run(tmp_path, story)


def test_two_processes_see_the_same(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        reader = StsStore(world.file, reads_only=True)
        assert reader.get("example.com") is None
        assert not world.file.exists()
        assert await world.mode() == "enforce"
        other = StsPolicies(world.lookup, world.get, reader, clock=world.clock, emit=world.records.append)
        state = other.state("example.com")
        assert state is not None
        assert (state.mode, state.age, state.id) == ("enforce", 0, "one")
        assert state.next_refresh == world.clock.now() + 86400 * 1_000_000
        reader.forget("example.com")
        assert len(reader.all()) == 1
        reader.close()

    run(tmp_path, story)
