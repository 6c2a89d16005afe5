"""The users file as a source: passwords of every form, what was said about them, and the file as it changes."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from postroad.auth.gate import Gate
from postroad.auth.passwords import ARGON2
from postroad.auth.source import EXPIRED, PASSWORDS, SCRAM_SHA1, SCRAM_SHA256, WEAK, Attempt, Denied, ScramKeys
from postroad.auth.userlines import end_of, last_day
from postroad.auth.users import TOLD, UsersFile
from postroad.model.identity import Identity
from postroad.model.records import Record, TableLoaded, TableRefused, UserLineIgnored
from postroad.store.tablefile import TableFileError
from tests.support.clock import START, ManualClock
from tests.support.logins import argon2_line, scram_line, users_file, write_lines

PLAIN = Attempt("192.0.2.1", "submission", "PLAIN")
SCRAM = Attempt("192.0.2.1", "submission", "SCRAM-SHA-256")
DAY = 86_400_000_000


def source(path: Path, lines: Sequence[str], *, clock: ManualClock | None = None, is_forced: bool = False) -> UsersFile:
    return users_file(path / "users", lines, clock=clock or ManualClock(), is_forced=is_forced)


async def test_passwords_of_every_form(tmp_path: Path) -> None:
    users = source(
        tmp_path,
        [
            argon2_line("alice", "one"),
            scram_line("alice", "one"),
            scram_line("alice", "two", app="phone"),
            scram_line("bob", "three", "sha1"),
        ],
    )
    for login, secret in (("alice", "one"), ("ALICE", "two"), ("bob", "three")):
        found = await users.verify(login, secret, PLAIN)
        assert found == Identity(login.lower(), "users", "PLAIN")
    assert await users.verify("alice", "three", PLAIN) == Denied("wrong password")
    assert await users.verify("bob", "one", PLAIN) == Denied("wrong password")
    assert await users.verify("carol", "one", PLAIN) is None
    assert await users.token("alice", "one", PLAIN) is None


async def test_what_is_said_about_passwords(tmp_path: Path) -> None:
    clock = ManualClock()
    today = last_day(START + 1)
    over = end_of(today) - DAY
    users = source(
        tmp_path,
        [
            argon2_line("alice", "one", expires=end_of(today)),
            scram_line("alice", "two", app="old", expires=over),
            scram_line("alice", "three", app="here", scope=("submission", "x"), addresses=("@other.example",)),
            scram_line("alice", "four", app="there", scope=("mx",)),
            "alice:-:addresses=a@example.com groups=staff,ops",
            argon2_line("bob", "one"),
            "bob:-:locked",
            argon2_line("carol", "one"),
            scram_line("carol", "two", app="phone"),
            "carol:-:strong",
        ],
        clock=clock,
    )
    alice = await users.verify("alice", "one", PLAIN)
    assert isinstance(alice, Identity)
    assert [mailbox.text for mailbox in alice.addresses] == ["a@example.com"]
    assert alice.groups == {"staff", "ops"}
    assert await users.verify("alice", "two", PLAIN) == Denied("the app password old has expired")
    here = await users.verify("alice", "three", PLAIN)
    assert isinstance(here, Identity)
    assert [(mailbox.local, mailbox.domain) for mailbox in here.addresses] == [("", "other.example")]
    assert here.scopes == ("submission", "x")
    there = await users.verify("alice", "four", PLAIN)
    assert there == Denied("the app password there is not for listener submission")
    assert await users.verify("bob", "one", PLAIN) == Denied("the user is locked")
    assert await users.look_up("bob", PLAIN) == Denied("the user is locked")
    assert await users.look_up("nobody", PLAIN) is None
    weak = Denied("the user may not send a password (strong)", WEAK)
    assert await users.verify("carol", "one", PLAIN) == await users.verify("carol", "two", PLAIN) == weak
    await clock.run(86_400)
    assert await users.verify("alice", "one", PLAIN) == Denied("the password has expired", EXPIRED)


async def test_scram_keys(tmp_path: Path) -> None:
    users = source(
        tmp_path,
        [
            argon2_line("alice", "one"),
            scram_line("alice", "one"),
            scram_line("alice", "two", app="phone", scope=("mx",)),
            scram_line("alice", "three", app="other", salt=b"another"),
            argon2_line("bob", "one"),
        ],
    )
    keys = await users.scram_keys("alice", "sha256", SCRAM)
    assert isinstance(keys, ScramKeys)
    assert (keys.stored.salt, len(keys.stored.keys)) == (b"salt-of-the-user", 2)
    assert isinstance(keys.identities[0], Identity)
    assert isinstance(keys.identities[1], Denied)
    assert isinstance(await users.verify("alice", "three", PLAIN), Identity)
    assert isinstance(await users.scram_keys("bob", "sha256", SCRAM), Denied)
    assert await users.scram_keys("carol", "sha256", SCRAM) is None


@pytest.mark.parametrize(
    ("lines", "offered", "forced"),
    [
        ([argon2_line("a", "x")], set(), set()),
        ([], set(), set()),
        ([scram_line("a", "x")], {SCRAM_SHA256}, {SCRAM_SHA256}),
        ([scram_line("a", "x", "sha1"), scram_line("b", "x", "sha1")], {SCRAM_SHA1}, {SCRAM_SHA1}),
        ([argon2_line("a", "x"), scram_line("a", "x")], {SCRAM_SHA256}, {SCRAM_SHA256}),
        ([argon2_line("a", "x"), scram_line("a", "y", app="phone")], set(), {SCRAM_SHA256}),
        ([scram_line("a", "x"), argon2_line("b", "x")], set(), {SCRAM_SHA256}),
        ([scram_line("a", "x"), scram_line("a", "y", app="p", salt=b"z")], set(), {SCRAM_SHA256}),
        ([scram_line("a", "x"), "b:-:locked"], {SCRAM_SHA256}, {SCRAM_SHA256}),
    ],
)
def test_scram_is_offered_when_it_works_for_everybody(
    tmp_path: Path, lines: list[str], offered: set[str], forced: set[str]
) -> None:
    assert source(tmp_path, lines).offers == offered | {PASSWORDS}
    assert source(tmp_path, lines, is_forced=True).offers == forced | {PASSWORDS}


def test_flaws_over_lines(tmp_path: Path) -> None:
    lines = [
        argon2_line("a", "x"),
        argon2_line("A", "y"),
        "a:-:locked",
        "a:-:strong",
        scram_line("a", "x"),
        scram_line("a", "y", app="p", salt=b"z"),
        "broken",
    ]
    users = UsersFile(write_lines(tmp_path / "users", lines), Gate(1, 1), ARGON2, ManualClock())
    records = users.load()
    told = [record.line for record in records if isinstance(record, UserLineIgnored)]
    assert told == [2, 4, 6, 7]
    assert records[-1] == TableLoaded(at=START, table=str(tmp_path / "users"), entries=1, doubts=4)
    write_lines(tmp_path / "users", ["broken"] * (TOLD + 9))
    assert len(users.load()) == TOLD + 1


async def test_the_file_as_it_changes(tmp_path: Path) -> None:
    clock, told, changes = ManualClock(), [], []
    path = tmp_path / "users"
    users = source(tmp_path, [argon2_line("alice", "one")], clock=clock)
    users.changed = lambda: changes.append(True)

    async def looks(count: int = 2) -> list[Record]:
        for _ in range(count):
            told.extend(users.look())
        found, told[:] = list(told), []
        return found

    assert await looks() == []
    write_lines(path, [argon2_line("alice", "two"), argon2_line("bob", "two")])
    assert await looks(1) == []  # not before it has stayed the same for one look
    assert [type(record) for record in await looks()] == [TableLoaded]
    assert isinstance(await users.verify("bob", "two", PLAIN), Identity)
    path.chmod(0o644)
    (refused,) = await looks(3)
    assert isinstance(refused, TableRefused)
    assert "chmod 640" in refused.reason
    assert isinstance(await users.verify("bob", "two", PLAIN), Identity)
    path.unlink()
    (gone,) = await looks(3)
    assert isinstance(gone, TableRefused)
    assert "is not there" in gone.reason
    assert isinstance(await users.verify("alice", "two", PLAIN), Identity)
    write_lines(path, [argon2_line("carol", "three")])
    assert [type(record) for record in await looks(3)] == [TableLoaded]
    assert await users.verify("alice", "two", PLAIN) is None


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o620, 0o666, 0o641])
def test_a_file_that_others_can_read_is_not_read(tmp_path: Path, mode: int) -> None:
    path = write_lines(tmp_path / "users", [argon2_line("alice", "one")])
    path.chmod(mode)
    with pytest.raises(TableFileError, match="others can read or change"):
        UsersFile(path, Gate(1, 1), ARGON2, ManualClock()).load()


def test_real_hashes() -> None:
    hashed = ARGON2.hash("pa\u00dfwort\u00a0x")
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert ARGON2.verify(hashed, "pa\u00dfwort x")
    assert not ARGON2.verify(hashed, "passwort x")
    assert not ARGON2.verify("$argon2id$v=19$m=64,t=1,p=1$x$y", "x")
