"""The guard: what it hears becomes bans and held accounts, is seen by others, told, and kept for the next start."""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from postroad.config.schema import Config
from postroad.house.guard.board import GuardBoard
from postroad.house.guard.guard import KEEP_EVERY, LISTEN_EVERY, Guard
from postroad.house.guard.lookout import Eyes, Lookout, shield_of
from postroad.model.address import Mailbox, parse_mailbox
from postroad.model.content import Content
from postroad.model.envelope import Envelope, Origin, Recipient
from postroad.model.outcome import Delivered, Failed, Outcome, Scope
from postroad.model.records import AccountHeld, NetworkBanned, Record, SpoolFaulted
from postroad.model.reply import Reply
from postroad.model.route import Route
from postroad.model.work import Place, Stored, Work
from postroad.policy.shield.accounts import Account, hold_reason
from postroad.policy.shield.bantable import FOREVER
from postroad.policy.shield.conduct import Conduct
from tests.support.clock import ManualClock

BASE: dict[str, Any] = {
    "hostname": "relay.example.com",
    "listeners": {"test": {"bind": ["127.0.0.1:2525"]}},
    "access": {"relay_networks": ["10.0.0.0/8"]},
    "bans": {"auth_failed": 3, "refused": 0},
    "breaker": {"recipients": 20, "new_recipients": 1000, "failures": 5},
}
FAILED = Conduct("auth_failed", "192.0.2.1", "test")


class World:
    """A guard, its records and letters, over one folder."""

    def __init__(self, folder: Path, clock: ManualClock, places: int = 1, **more: object) -> None:
        self.config = Config.model_validate(BASE | more | {"data_dir": str(folder)})
        self.clock = clock
        self.board = GuardBoard(places, b"key")
        self.records: list[Record] = []
        self.letters: list[tuple[str, str]] = []
        self.guard = Guard(self.config, self.board, clock, self.records.append)
        self.guard.tell = self.write
        self.eyes = Eyes(self.board, self.guard.hear, clock)
        self.lookout = Lookout(self.config, self.eyes)

    def write(self, _hostname: str, to: Mailbox, subject: str, text: str, _now: int) -> None:
        assert to == parse_mailbox("postmaster@relay.example.com")
        self.letters.append((subject, text))

    def send(self, login: str, count: int) -> None:
        recipients = tuple(Recipient(Mailbox(f"user{number}@example.net")) for number in range(count))
        envelope = Envelope("id", Mailbox("a@example.com"), recipients, 0, 1, Origin(login=login))
        self.guard.admitting(lambda _stored, _works: None)(Stored(envelope, Place("", 0, 0, 0)), [])

    async def deliver(self, login: str, outcomes: Sequence[Outcome]) -> None:
        envelope = Envelope("id", Mailbox("a@example.com"), (), 0, 1, Origin(login=login))
        works = [Work(Stored(envelope, Place("", 0, 0, 0)), 0, "") for _ in outcomes]

        async def done(_route: Route, _works: list[Work], _content: Content) -> list[Outcome]:
            return list(outcomes)

        assert await self.guard.delivering(done)(None, works, b"") == outcomes  # type: ignore[arg-type]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, ManualClock())


def test_conduct_leads_to_a_ban_that_is_seen_and_told(world: World) -> None:
    for _ in range(3):
        assert world.lookout.ban_of("192.0.2.1") is None
        world.eyes.tell(FAILED)
    ban = world.lookout.ban_of("192.0.2.1")
    assert ban is not None
    (record,) = world.records
    assert isinstance(record, NetworkBanned)
    assert (record.network, record.seconds, record.kind) == ("192.0.2.1/32", 600, "auth_failed")
    assert world.lookout.nearness("192.0.2.1") == 1.0
    world.clock.advance(600)
    assert world.lookout.ban_of("192.0.2.1") is None
    for _ in range(9):
        world.eyes.tell(Conduct("auth_failed", "10.0.0.1", "test"))  # one of ours
        world.eyes.tell(Conduct("refused", "192.0.2.2", "test"))  # does not count here
    assert len(world.records) == 1


def test_whoever_speaks_for_clients_is_never_banned(tmp_path: Path) -> None:
    """Neither for what clients do whom it cannot name, nor for what its neighbours do."""
    spoken = {
        "mx": {"bind": ["127.0.0.1:2525"], "proxy_protocol": True, "proxies": ["192.0.2.7/32"]},
        "inside": {"bind": ["127.0.0.1:2526"], "xclient": ["192.0.2.8/32"]},
    }
    world = World(tmp_path, ManualClock(), listeners=spoken)
    for ip in ("192.0.2.7", "192.0.2.8", *(f"192.0.2.{number}" for number in range(20, 40))):
        world.eyes.tell(Conduct("auth_failed", ip, "mx", count=20))
    found = {ip: world.lookout.ban_of(ip) for ip in ("192.0.2.7", "192.0.2.8", "192.0.2.9", "192.0.2.20")}
    assert [ip for ip, ban in found.items() if ban is None] == ["192.0.2.7", "192.0.2.8"]
    assert str(found["192.0.2.9"] and found["192.0.2.9"].network) == "192.0.2.0/24"


def test_a_login_that_sends_too_much_is_held(world: World) -> None:
    world.send("ann", 20)
    assert world.eyes.account_of("ann") is None
    world.send("", 100)
    world.send("ann", 1)
    account = world.eyes.account_of("ann")
    assert account is not None
    assert account.standing == "held"
    (record,) = [record for record in world.records if isinstance(record, AccountHeld)]
    assert record.reason == "21 recipients; usual are 0, allowed 20"
    ((subject, text),) = world.letters
    assert subject == "Mail of ann is held"
    assert "postroad account release ann" in text
    world.send("ann", 100)
    assert len(world.letters) == 1
    world.guard.free("ann")
    assert world.eyes.account_of("ann") is None
    world.send("ann", 1)
    assert world.eyes.account_of("ann") is None  # so much is usual now


def test_case_does_not_matter_in_logins(world: World) -> None:
    """Whoever locks "ANN" means "ann", and what "Ann" sends is hers."""
    assert world.guard.put(Account("ANN", "locked", 0, "stolen", "root"))
    for login in ("ann", "Ann", "ANN"):
        assert world.eyes.is_locked(login)
        assert world.guard.accounts.is_locked(login)
    assert hold_reason("ANN") == hold_reason("ann")
    assert world.guard.free("aNN") is not None
    assert not world.eyes.is_locked("ANN")
    world.send("Bob@Example.com", 11)
    world.send("bob@example.com", 10)
    assert world.eyes.account_of("BOB@example.com") is not None


def test_what_a_thief_did_is_nobodys_habit(world: World) -> None:
    world.send("ann", 40)
    assert world.eyes.account_of("ann") is not None
    assert world.guard.put(Account("ann", "locked", 0, "stolen", "root"))
    world.guard.free("ann", is_usual=False)
    world.send("ann", 20)
    assert world.eyes.account_of("ann") is None  # it begins anew
    world.send("ann", 1)
    assert world.eyes.account_of("ann") is not None  # and is allowed no more than before


async def test_failures_hold_a_login(world: World) -> None:
    failed = Failed(Reply(550, "5.1.1", "no"), Scope.RECIPIENT)
    await world.deliver("ann", [failed] * 5)
    await world.deliver("news", [Delivered(Reply(250, "2.0.0", "ok"))] * 40 + [failed] * 10)
    assert world.guard.accounts.all() == ()
    world.eyes.tell(Conduct("unknown_recipient", "10.0.0.1", "test", login="ann"))
    assert [account.login for account in world.guard.accounts.all()] == ["ann"]


async def test_what_is_known_outlives_a_restart(world: World, tmp_path: Path) -> None:
    world.guard.start()
    for _ in range(3):
        world.eyes.tell(FAILED)
    world.send("ann", 21)
    assert world.guard.put(Account("bob", "locked", world.clock.now(), "stolen", "root"))
    await world.clock.run(KEEP_EVERY + 1)
    while not world.config.habits_file.exists():
        await asyncio.sleep(0.01)
    again = World(tmp_path, world.clock)
    assert again.lookout.ban_of("192.0.2.1") == world.lookout.ban_of("192.0.2.1")
    assert [account.login for account in again.guard.accounts.all()] == ["ann", "bob"]
    assert again.eyes.is_locked("bob")
    assert again.guard.habits is not None
    assert again.guard.habits.known["ann"].amounts[0] == pytest.approx(21)
    assert again.records == []
    world.eyes.tell(Conduct("auth_failed", "192.0.2.2", "test", count=3))
    await world.guard.stop()
    assert World(tmp_path, world.clock).lookout.ban_of("192.0.2.2") is not None


async def test_who_comes_after_a_crash_goes_on_with_the_memory(world: World) -> None:
    """What was kept is older than what is in memory."""
    world.guard.start()
    assert world.guard.bans is not None
    world.guard.bans.add(ip_network("192.0.2.0/24"), FOREVER, world.clock.now() // 1_000_000)
    world.guard.changed()
    await world.guard.stop()
    ban = world.lookout.ban_of("192.0.2.1")
    assert ban is not None
    world.guard.bans.lift(ban)
    again = Guard(world.config, world.board, world.clock, world.records.append, is_first=False)
    assert again.bans is not None
    assert world.lookout.ban_of("192.0.2.1") is None


def test_files_that_make_no_sense_stop_nothing(world: World, tmp_path: Path) -> None:
    for file in (world.config.bans_file, world.config.accounts_file, world.config.habits_file):
        file.write_bytes(b"\0\0\0\1\xc1 nonsense")
    again = World(tmp_path, world.clock)
    assert sum(isinstance(record, SpoolFaulted) for record in again.records) == 3
    assert again.guard.accounts.all() == ()


async def test_edges_tell_by_rings(tmp_path: Path) -> None:
    world = World(tmp_path, ManualClock(), places=3)
    world.guard.start()
    edges = [Eyes(world.board, world.board.rings[place].put, world.clock) for place in (1, 2)]
    for eyes in (*edges, edges[0]):
        eyes.tell(FAILED)
    await world.clock.run(LISTEN_EVERY * 2)
    assert Lookout(world.config, edges[1]).ban_of("192.0.2.1") is not None
    assert world.guard.put(Account("ann", "locked", 0, ""))
    assert edges[0].is_locked("ann")
    world.guard.free("ann")
    assert not edges[0].is_locked("ann")
    await world.guard.stop()


def test_a_ring_that_is_full_leaves_out_and_goes_on() -> None:
    ring = GuardBoard(2, b"key").rings[1]
    sent = 0
    while not ring.left_out:
        ring.put(FAILED)
        sent += 1
    taken = list(ring.take())
    assert len(taken) == sent - 1
    assert set(taken) == {FAILED}
    for number in range(3 * sent):  # round and round
        ring.put(Conduct("refused", f"192.0.2.{number}", "test"))
        assert [conduct.ip for conduct in ring.take()] == [f"192.0.2.{number}"]


async def test_a_reload_begins_and_ends_bans(world: World) -> None:
    without = world.config.model_copy(update={"bans": None, "breaker": None})
    guard = Guard(without, world.board, world.clock, world.records.append)
    guard.start()
    guard.hear(Conduct("auth_failed", "192.0.2.1", "test", count=3))
    assert world.records == []
    guard.adopt(world.config)
    guard.hear(Conduct("auth_failed", "192.0.2.1", "test", count=3))
    assert world.lookout.ban_of("192.0.2.1") is not None
    assert Lookout(without, world.eyes).ban_of("192.0.2.1") is None
    guard.adopt(without)
    guard.hear(Conduct("auth_failed", "192.0.2.2", "test", count=3))
    assert world.lookout.ban_of("192.0.2.2") is None
    await guard.stop()
    assert world.config.bans_file.exists()


def test_without_sections_there_is_nothing(tmp_path: Path) -> None:
    config = Config.model_validate({"data_dir": str(tmp_path), "listeners": BASE["listeners"]})
    eyes = Eyes(GuardBoard(1, b"key"), lambda _conduct: None, ManualClock())
    shield = shield_of(config, eyes)
    assert (shield.connect, shield.mail, shield.message, shield.watch, shield.tarpit) == ((), (), (), None, None)
