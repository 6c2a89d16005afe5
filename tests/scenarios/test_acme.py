"""Certificates by ACME against a real CA (pebble): what is issued, renewed and kept, and what becomes of failures.

Time is driven by hand; the CA really connects to where challenges are answered, and really verifies signatures.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from postroad.desk.challengepages import ChallengePages
from postroad.desk.http import DeskServer
from postroad.house.renewing import Renewing
from postroad.model.acme import Wanted
from postroad.model.records import CertificateNotObtained, CertificateObtained, Record
from postroad.model.renewal import DAY, HOUR, RenewalState
from postroad.net.acme.alpnserver import AlpnServer
from postroad.net.clock import SystemClock
from postroad.net.process.inherited import Inherited
from postroad.net.tls.certfacts import CertificateFacts
from postroad.net.tls.keyfiles import READ_FACTS
from postroad.store.acme import AcmeFolder
from tests.support.clock import ManualClock
from tests.support.pebble import EAB_KEY, Pebble, Reply, problem

NAMES = ("relay.example.com", "mx.example.com")
SECONDS = 40.0


@pytest.fixture(scope="module")
def pebble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    with Pebble(tmp_path_factory.mktemp("pebble")) as running:
        yield running


class World:
    """One server's renewals, whose clock stands still."""

    def __init__(self, pebble: Pebble, folder: Path, wanted: Wanted) -> None:
        self.pebble = pebble
        self.folder = AcmeFolder(folder / "acme")
        self.clock = ManualClock(SystemClock().now())
        self.records: list[Record] = []
        self.renewing = Renewing(wanted, 86400.0, self.folder, (self.clock, self.records.append), lambda: 0.0)

    async def until(self, count: int) -> Record:
        """The record that is the `count`th."""
        async with asyncio.timeout(SECONDS):
            while len(self.records) < count or self.clock.next_due() is None:
                await asyncio.sleep(0.01)
        return self.records[count - 1]

    async def settled(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not holds():
                await asyncio.sleep(0.01)

    async def passes(self, seconds: float) -> None:
        """Let time pass, once nothing is being done."""
        await self.settled(lambda: self.clock.next_due() is not None)
        self.clock.advance(seconds)

    @property
    def state(self) -> RenewalState:
        return self.folder.state()

    @property
    def facts(self) -> CertificateFacts:
        return READ_FACTS.load()(self.folder.certificate())


def wanted_of(pebble: Pebble, **other: object) -> Wanted:
    options = {"contact": ("postmaster@example.com",), "ca": str(pebble.ca), **other}
    return Wanted(pebble.directory, NAMES, **options)  # type: ignore[arg-type]


@asynccontextmanager
async def world_of(pebble: Pebble, folder: Path, **other: object) -> AsyncIterator[World]:
    """Renewals, and a listener for challenges."""
    wanted = wanted_of(pebble, **other)
    pebble.door.forget()
    world = World(pebble, folder, wanted)
    shown = world.renewing.shown
    server: AlpnServer | DeskServer
    if wanted.challenge == "http-01":
        pages = ChallengePages(shown.answer)
        clock = SystemClock()
        at = (f"127.0.0.1:{pebble.http_port}",)
        server = DeskServer(at, pages, connections=8, clock=clock, emit=world.records.append, name="acme")
    else:
        server = AlpnServer((f"127.0.0.1:{pebble.tls_port}",), shown)
    await server.bind(Inherited(()))
    await server.start()
    world.renewing.start()
    try:
        yield world
    finally:
        await world.renewing.stop()
        await server.stop()


@pytest.mark.parametrize(("challenge", "key"), [("tls-alpn-01", "ecdsa-p256"), ("http-01", "rsa-2048")])
async def test_the_first_certificate(pebble: Pebble, tmp_path: Path, challenge: str, key: str) -> None:
    async with world_of(pebble, tmp_path, challenge=challenge, key=key) as world:
        told = await world.until(1)
        assert isinstance(told, CertificateObtained), told
        assert told.names == NAMES
        assert set(world.facts.names) == set(NAMES)
        assert told.expires == world.facts.expires
        pem = world.folder.certificate()
        assert (b"BEGIN PRIVATE KEY" in pem, pem.count(b"BEGIN CERTIFICATE")) == (True, 2)
        assert len(pem) > (2500 if key == "rsa-2048" else 1500)
        for file in world.folder.path.iterdir():
            assert file.stat().st_mode & 0o777 == 0o600, file
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(world.folder.path / "certificate.pem")
        assert not world.renewing.shown.answer("")
        assert world.renewing.shown.context(NAMES[0]) is None, "proofs are gone when the order is done"


async def test_renewals_in_time_with_the_same_account(pebble: Pebble, tmp_path: Path) -> None:
    """A certificate of a week is renewed in its last day, by `renew_before`; a restart keeps the account."""
    async with world_of(pebble, tmp_path) as world:
        await world.until(1)
        first = world.facts
        left = (first.expires - world.clock.now()) / 1e6
        await world.passes(left - 1.2 * 86400)
        await world.clock.turn()
        await world.settled(lambda: world.state.ask > world.clock.now())  # it was looked, and nothing was due
        assert len(world.records) == 1
        await world.passes(0.2 * 86400)
        assert isinstance(await world.until(2), CertificateObtained)
        assert world.facts.fingerprint != first.fingerprint
        account = world.folder.account(pebble.directory)
        assert account is not None
        assert account.uri
        assert sum("sign-me-up" in path for path in pebble.door.asked) == 1
    async with world_of(pebble, tmp_path) as world:
        world.renewing.renew()
        assert isinstance(await world.until(1), CertificateObtained)
        assert world.folder.account(pebble.directory) == account
        assert not any("sign-me-up" in path for path in pebble.door.asked), "the account is known"


async def test_a_name_more_is_ordered_at_once(pebble: Pebble, tmp_path: Path) -> None:
    async with world_of(pebble, tmp_path) as world:
        await world.until(1)
        more = Wanted(pebble.directory, (*NAMES, "in.example.com"), ("other@example.com",), ca=str(pebble.ca))
        world.renewing.adopt(more, 86400.0)
        assert isinstance(await world.until(2), CertificateObtained)
        assert "in.example.com" in world.facts.names
        account = world.folder.account(pebble.directory)
        assert account is not None
        assert account.contact == ("other@example.com",)


async def test_a_name_that_is_not_proven(pebble: Pebble, tmp_path: Path) -> None:
    """Nothing answers where the CA looks: a failure in words, then longer and longer pauses; the certificate stays."""
    async with world_of(pebble, tmp_path) as world:
        await world.until(1)
        before = world.folder.certificate()
        world.renewing.adopt(wanted_of(pebble, challenge="http-01"), 86400.0)  # where nobody listens
        world.renewing.renew()
        told = await world.until(2)
        assert isinstance(told, CertificateNotObtained)
        assert "not proven" in told.reason
        assert any(name in told.reason for name in NAMES)
        assert "connection" in told.reason
        assert (told.failures, told.days) == (1, 6)
        assert told.next - told.at == 600_000_000
        assert world.folder.certificate() == before
        assert world.state.reason == told.reason
        for count, pause in ((3, 1200), (4, 2400)):
            world.renewing.renew()
            told = await world.until(count)
            assert isinstance(told, CertificateNotObtained)
            assert (told.next - told.at) // 1_000_000 == pause


async def test_a_rate_limit_is_waited_for_over_restarts(pebble: Pebble, tmp_path: Path) -> None:
    limit = problem(429, "rateLimited", "too many certificates", Retry_After="18000")
    async with world_of(pebble, tmp_path, contact=()) as world:
        pebble.door.once("order", limit)
        # the order may have begun before the limit was set: then it is the next one that meets it
        told = await world.until(1)
        if isinstance(told, CertificateObtained):
            world.renewing.renew()
            told = await world.until(2)
        assert isinstance(told, CertificateNotObtained)
        assert told.reason == "too many certificates (rateLimited)"
        assert told.next - told.at == 5 * HOUR
        count, asked = len(world.records), len(pebble.door.asked)
        (world.folder.path / "certificate.pem").unlink(missing_ok=True)
        await world.passes(4 * 3600)
        await world.clock.turn()
        await asyncio.sleep(0.1)
        assert (len(world.records), len(pebble.door.asked)) == (count, asked)
    async with world_of(pebble, tmp_path, contact=()) as world:
        await world.settled(lambda: world.clock.next_due() is not None)
        assert not world.records
        assert not pebble.door.asked, "a restart is no reason to ask earlier"
        await world.passes(5 * 3600)
        assert isinstance(await world.until(1), CertificateObtained)


async def test_a_refused_nonce_is_replaced(pebble: Pebble, tmp_path: Path) -> None:
    async with world_of(pebble, tmp_path) as world:
        await world.until(1)
        for _ in range(3):
            pebble.door.once("order", problem(400, "badNonce", "not this one"))
        world.renewing.renew()
        assert isinstance(await world.until(2), CertificateObtained)


async def test_an_account_that_the_ca_has_forgotten(pebble: Pebble, tmp_path: Path) -> None:
    async with world_of(pebble, tmp_path) as world:
        await world.until(1)
        pebble.door.forget()
        pebble.door.once("order", problem(400, "accountDoesNotExist", "who is that?"))
        world.renewing.renew()
        assert isinstance(await world.until(2), CertificateObtained)
        assert any("sign-me-up" in path for path in pebble.door.asked)


async def test_directories_that_are_broken(pebble: Pebble, tmp_path: Path) -> None:
    """Whatever stands there is a failure in words, and the key of the account is kept."""
    replies = {
        "no answer is empty": (Reply(200, b"<html>", {"Content-Type": "text/html"}), "makes no sense"),
        "an error": (Reply(503, b"down", {}), "answers 503 without a word of why"),
        "no newOrder": (Reply(200, b'{"newNonce": "https://127.0.0.1:1/"}', {}), "makes no sense"),
        "not HTTPS": (Reply(302, b"", {"Location": "http://127.0.0.1:1/"}), "not HTTPS"),
        "a list": (Reply(200, b"[]", {}), "makes no sense"),
        "too large": (Reply(200, b"[" + b" " * (2 << 20), {}), "larger than 1 MiB"),
    }
    async with world_of(pebble, tmp_path) as world:
        await world.until(1)
        for count, (reply, words) in enumerate(replies.values(), 2):
            pebble.door.once("/dir", reply)
            world.renewing.renew()
            told = await world.until(count)
            assert isinstance(told, CertificateNotObtained)
            assert words in told.reason, told
        gone = Wanted("https://127.0.0.1:9/dir", NAMES)
        world.renewing.adopt(gone, 86400.0)
        world.renewing.renew()
        told = await world.until(len(replies) + 2)
        assert isinstance(told, CertificateNotObtained)
        assert "cannot be reached" in told.reason
        assert told.failures == 1, "another CA is another matter"
        stranger = Wanted(pebble.directory, NAMES)
        world.renewing.adopt(stranger, 86400.0)  # its certificate is not that of a CA that the system knows
        world.renewing.renew()
        told = await world.until(len(replies) + 3)
        assert isinstance(told, CertificateNotObtained)
        assert "self-signed certificate" in told.reason or "issuer certificate" in told.reason


async def test_the_ca_suggests_a_time(pebble: Pebble, tmp_path: Path) -> None:
    """RFC 9773: asked every six hours; what it suggests is kept to when it is earlier."""
    at = SystemClock().now() + 2 * DAY

    def with_suggestions(reply: Reply) -> Reply:
        said = json.loads(reply.body)
        said["renewalInfo"] = f"https://127.0.0.1:{pebble.door.port}/renewal"
        return reply._replace(body=json.dumps(said).encode())

    when = datetime.fromtimestamp(at / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    window = Reply(200, json.dumps({"suggestedWindow": {"start": when, "end": when}}).encode(), {"Retry-After": "99"})
    async with world_of(pebble, tmp_path) as world:
        await world.until(1)
        pebble.door.change("/dir", with_suggestions)
        pebble.door.once("/renewal/", window)
        await world.passes(6 * 3600 + 1)
        await world.settled(lambda: world.state.suggested > 0)
        assert abs(world.state.suggested - at) < 2_000_000
        assert world.state.ask - world.clock.now() == 6 * HOUR
        assert len(world.records) == 1
        await world.passes(2 * 86400)
        assert isinstance(await world.until(2), CertificateObtained)
        assert world.state.suggested == 0


async def test_an_account_that_the_ca_knows_already(tmp_path: Path) -> None:
    with Pebble(tmp_path / "pebble", needs_account=True) as pebble:
        for at, (kid, secret, words) in enumerate(
            (("", "", "set acme.external_account"), ("kid-1", "!", ""), ("kid-2", EAB_KEY, ""))
        ):
            async with world_of(pebble, tmp_path / f"{at}", kid=kid, secret=secret) as world:
                told = await world.until(1)
                assert isinstance(told, CertificateNotObtained)
                assert words in told.reason
                assert EAB_KEY not in repr(world.renewing._wanted)
        async with world_of(pebble, tmp_path / "good", kid="kid-1", secret=EAB_KEY) as world:
            assert isinstance(await world.until(1), CertificateObtained)


async def test_a_stop_in_the_middle_of_an_order(pebble: Pebble, tmp_path: Path) -> None:
    """The end of the server does not wait for a CA; what comes later changes nothing."""
    held = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(reply: Reply) -> Reply:
        loop.call_soon_threadsafe(held.set)
        return reply._replace(status=503)

    async with world_of(pebble, tmp_path) as world:
        pebble.door.change("/nonce", hold)
        async with asyncio.timeout(SECONDS):
            await world.settled(lambda: held.is_set() or bool(world.records))
        await world.renewing.stop()
        assert not world.folder.certificate() or world.records
