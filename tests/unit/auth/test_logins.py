"""The driver: sources in order, what each answer means, what is remembered, and what nobody can tell from outside."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from postroad.auth.gate import CrowdedError, Gate
from postroad.auth.logins import Found
from postroad.auth.source import PASSWORDS, SCRAM_SHA1, SCRAM_SHA256, TOKENS, Attempt, Denied, ScramKeys, Unavailable
from postroad.model.identity import Identity, TlsState
from tests.support.clock import ManualClock
from tests.support.logins import Scripted, argon2_line, logins_of, scram_line, users_file

ATTEMPT = Attempt("192.0.2.1", "submission", "PLAIN", "s1", is_secure=True)
ALICE = Identity("alice", "first", "PLAIN")
WRONG = Denied("wrong password")
DOWN = Unavailable("connection refused")
BROKEN = ValueError("canary")
PLAIN_TLS = TlsState("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256)


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        (ALICE, WRONG, Found("first", ALICE)),
        (None, ALICE, Found("second", ALICE)),
        (WRONG, ALICE, Found("first", WRONG)),
        (DOWN, ALICE, Found("first", DOWN)),
        (None, DOWN, Found("second", DOWN)),
        (None, None, Found("", Denied("no source knows the login"))),
        (BROKEN, ALICE, Found("first", Unavailable("failed: ValueError"))),
        (CrowdedError("too many"), ALICE, Found("first", Unavailable("too many"))),
    ],
)
async def test_the_first_that_knows_decides(first: Any, second: Any, found: Found) -> None:
    one, two = Scripted("first", first), Scripted("second", second)
    logins = logins_of([one, two])
    assert await logins.password("alice", "canary", ATTEMPT) == found
    assert len(one.asked) == 1
    assert len(two.asked) == (first is None)
    if found.source:
        assert await logins.token("alice", "canary", ATTEMPT) == found


async def test_a_source_is_asked_only_what_it_offers() -> None:
    one = Scripted("first", ALICE, offers=[TOKENS])
    two = Scripted("second", None, offers=[PASSWORDS])
    logins = logins_of([one, two])
    assert (await logins.password("alice", "x", ATTEMPT)).source == ""
    assert not one.asked
    assert (await logins.token("alice", "x", ATTEMPT)).source == "first"


async def test_a_source_that_hangs_is_down() -> None:
    slow = Scripted("slow", ALICE)
    slow.gate = asyncio.Event()
    logins = logins_of([slow], source_timeout="100ms")
    found = await logins.password("alice", "x", ATTEMPT)
    assert found == Found("slow", Unavailable("did not answer within 0.1 s"))


async def test_what_was_right_is_remembered_for_a_while() -> None:
    clock = ManualClock()
    source = Scripted("first", ALICE)
    logins = logins_of([source], monotonic=clock.monotonic, cache="1m", cache_size=2)
    for _ in range(3):
        assert await logins.password("alice", "x", ATTEMPT) == Found("first", ALICE)
    assert len(source.asked) == 1
    source.answer = WRONG
    assert await logins.password("alice", "x", ATTEMPT) == Found("first", ALICE)
    for other in (("alice", "y", ATTEMPT), ("alic", "ex", ATTEMPT), ("alice", "x", Attempt("192.0.2.2", "a", "b"))):
        assert await logins.password(*other) == Found("first", WRONG)
    assert await logins.token("alice", "x", ATTEMPT) == Found("first", WRONG)
    await clock.run(61)
    assert await logins.password("alice", "x", ATTEMPT) == Found("first", WRONG)
    source.answer = ALICE
    for secret in ("one", "two", "three"):
        await logins.password("alice", secret, ATTEMPT)
    assert len(logins.remembered) == 2
    logins.remembered.forget()
    assert len(logins.remembered) == 0


async def test_nothing_is_remembered_when_that_is_off() -> None:
    source = Scripted("first", ALICE)
    logins = logins_of([source], cache="0s")
    for _ in range(3):
        await logins.password("alice", "x", ATTEMPT)
    assert len(source.asked) == 3


async def test_scram_keys_of_who_is_not_known(tmp_path: Path) -> None:
    users = users_file(tmp_path / "users", [scram_line("alice", "one")])
    logins = logins_of([users])

    async def keys(login: str) -> ScramKeys:
        _, found = await logins.keys(login, "sha256", ATTEMPT)
        assert found is not None
        return found

    nobody = await keys("nobody")
    assert nobody.stored == (await keys("NOBODY")).stored  # the same each time, as a user's are
    assert nobody.stored.salt != (await keys("other")).stored.salt
    assert len(nobody.stored.salt) == len((await keys("alice")).stored.salt)
    assert not any(isinstance(one, Identity) for one in nobody.identities)
    found, again = await logins_of([users], key=b"z" * 32).keys("nobody", "sha256", ATTEMPT)
    assert found == Found("", Denied("no source knows the login"))
    assert again is not None
    assert again.stored != nobody.stored
    down = logins_of([Scripted("first", DOWN, offers=[SCRAM_SHA256]), users])
    assert await down.keys("alice", "sha256", ATTEMPT) == (Found("first", DOWN), None)


def usable(
    *offers: list[str], tls: TlsState | None = None, sends: bool = True, bound: bool = False, **options: Any
) -> str:
    sources = [Scripted(f"s{place}", None, offers=offer) for place, offer in enumerate(offers)]
    return " ".join(logins_of(sources, **options).usable(sends=sends, is_bound=bound, tls=tls))


def test_what_is_offered() -> None:
    both = [PASSWORDS, SCRAM_SHA256, SCRAM_SHA1]
    assert usable(both) == "SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN"
    assert usable(both, sends=False) == "SCRAM-SHA-256 SCRAM-SHA-1"
    assert usable(both, bound=True, sends=False) == "SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1"
    assert usable(both, [PASSWORDS]) == "PLAIN LOGIN"  # it would not work for the second's
    assert usable(both, [PASSWORDS], mechanisms=["SCRAM-SHA-256", "LOGIN"]) == "SCRAM-SHA-256 LOGIN"
    assert usable(both, [TOKENS]) == "SCRAM-SHA-256 SCRAM-SHA-1 OAUTHBEARER XOAUTH2 PLAIN LOGIN"
    assert usable([TOKENS], sends=False) == ""
    assert usable(both, mechanisms=["XOAUTH2"]) == ""


DIGEST = "ab" * 32


def with_certificate(names: tuple[str, ...] = (), *, verified: bool = True, fingerprint: str = DIGEST) -> TlsState:
    return TlsState("TLSv1.3", "x", 256, "", fingerprint, "CN=x", names, verified)


async def test_certificates() -> None:
    source = Scripted("first", None)
    logins = logins_of(
        [source],
        certificates={
            f"SHA256:{DIGEST.upper()}": "printer",
            "scanner.example.com": "scanner",
            "Carol@Example.com": "carol",
            "two.example.com": "printer",
        },
    )
    assert logins.owners(None) == logins.owners(PLAIN_TLS) == ()
    assert logins.owners(with_certificate()) == ("printer",)
    names = ("DNS:Scanner.Example.com", "email:carol@example.com", "DNS:two.example.com")
    assert logins.owners(with_certificate(names)) == ("printer", "scanner", "carol")
    assert logins.owners(with_certificate(names, verified=False)) == ("printer",)
    assert logins.owners(with_certificate(names, fingerprint="cd" * 32)) == ("scanner", "carol", "printer")
    assert "EXTERNAL" in logins.usable(sends=False, is_bound=False, tls=with_certificate())
    assert "EXTERNAL" not in logins.usable(sends=False, is_bound=False, tls=PLAIN_TLS)

    found = await logins.certificate("", with_certificate(), ATTEMPT)
    assert found.answer == Identity("printer", "certificates", "EXTERNAL")
    assert isinstance((await logins.certificate("scanner", with_certificate(), ATTEMPT)).answer, Denied)
    assert isinstance((await logins.certificate("", PLAIN_TLS, ATTEMPT)).answer, Denied)
    several = with_certificate(names)
    assert isinstance((await logins.certificate("", several, ATTEMPT)).answer, Denied)
    assert isinstance((await logins.certificate("SCANNER", several, ATTEMPT)).answer, Identity)
    source.answer = Denied("the user is locked")
    assert await logins.certificate("", with_certificate(), ATTEMPT) == Found("first", source.answer)
    source.answer = DOWN
    assert await logins.certificate("", with_certificate(), ATTEMPT) == Found("first", DOWN)


def test_networks_without_tls() -> None:
    logins = logins_of([], plain_text_networks=["192.0.2.0/24", "fd00::/8"])
    assert logins.may_send("192.0.2.9")
    assert logins.may_send("fd00::1%eth0")
    assert not logins.may_send("198.51.100.1")
    assert not logins.may_send("not an address")
    assert not logins_of([]).may_send("192.0.2.9")


async def test_who_is_not_known_costs_a_hash(tmp_path: Path) -> None:
    users = users_file(tmp_path / "users", [argon2_line("alice", "one")])
    logins = logins_of([users])
    hashed: list[str] = []

    class Counting:
        def hash(self, secret: str) -> str:
            return f"hash of {secret}"

        def verify(self, hashed_text: str, _secret: str) -> bool:
            hashed.append(hashed_text)
            return False

    logins._tools = type(logins._tools)(Gate(1, 1), Counting(), logins._tools.monotonic, b"k" * 32)
    for _ in range(2):
        assert isinstance((await logins.password("nobody", "x", ATTEMPT)).answer, Denied)
    assert len(hashed) == 2


async def test_the_gate_has_room_for_so_many() -> None:
    gate = Gate(1, 1)
    begun, release = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def work() -> str:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(60)
        return "done"

    first = asyncio.create_task(gate.run(work))
    await begun.wait()
    second = asyncio.create_task(gate.run(lambda: "second"))
    await asyncio.sleep(0)
    with pytest.raises(CrowdedError, match="too many"):
        await gate.run(lambda: "third")
    first.cancel()  # whoever leaves makes no room
    await asyncio.gather(first, return_exceptions=True)
    with pytest.raises(CrowdedError):
        await gate.run(lambda: "third")
    release.set()
    assert await second == "second"
    async with asyncio.timeout(60):
        while True:
            try:
                assert await gate.run(lambda: "fourth") == "fourth"
                break
            except CrowdedError:
                await asyncio.sleep(0.01)
    gate.close()
    with pytest.raises(CrowdedError, match="ends"):
        await gate.run(lambda: "fifth")
