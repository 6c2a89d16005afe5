"""`postroad user`: what it writes is what the server reads."""

import grp
import io
import os
import stat
import sys
from pathlib import Path

import msgspec
import pytest

from postroad.auth.gate import Gate
from postroad.auth.passwords import ARGON2
from postroad.auth.source import Attempt, Denied, ScramKeys
from postroad.auth.users import UsersFile
from postroad.model.identity import Identity
from tests.support.clock import ManualClock
from tests.support.command import Done, run_command

ATTEMPT = Attempt("192.0.2.1", "submission", "PLAIN")
CONFIG = """
hostname = "relay.example.com"
[listeners.submission]
bind = ["127.0.0.1:0"]
auth = "required"
[auth.users]
file = "users"
scram = {scram}
scram_rounds = 4096
"""


class Site:
    """A configuration, its users file, and commands on it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, scram: str = "[]") -> None:
        self.config = folder / "postroad.toml"
        self.config.write_text(CONFIG.format(scram=scram))
        self.file = folder / "users"
        self._patch = monkeypatch

    def run(self, *arguments: object, secret: str = "") -> Done:
        self._patch.setattr(sys, "stdin", io.StringIO(f"{secret}\n"))
        more = ["--password-stdin"] if secret else []
        return run_command("user", *arguments, *more, "-c", self.config)

    def source(self) -> UsersFile:
        users = UsersFile(self.file, Gate(1, 10), ARGON2, ManualClock())
        assert [type(record).__name__ for record in users.load()] == ["TableLoaded"]
        return users


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


async def test_the_life_of_a_user(site: Site) -> None:
    assert site.run("list").code == 78
    done = site.run(
        "add", "alice", "--address", "alice@example.com", "--address", "@x.example", "--group", "staff", secret="one"
    )
    assert done == Done(0, "", "")
    assert stat.S_IMODE(site.file.stat().st_mode) == 0o640
    alice = await site.source().verify("alice", "one", ATTEMPT)
    assert isinstance(alice, Identity)
    assert [mailbox.domain for mailbox in alice.addresses] == ["example.com", "x.example"]
    assert alice.groups == {"staff"}
    assert site.run("add", "ALICE", secret="x").code == 64
    assert site.run("passwd", "alice", "--expires", "2001-01-01", secret="two") == Done(0, "", "")
    assert await site.source().verify("alice", "one", ATTEMPT) == Denied("wrong password")
    assert await site.source().verify("alice", "two", ATTEMPT) == Denied("the password has expired", "expired")
    assert site.run("passwd", "alice", secret="three").code == 0
    assert isinstance(await site.source().verify("alice", "three", ATTEMPT), Identity)
    assert site.run("lock", "alice").code == 0
    assert await site.source().verify("alice", "three", ATTEMPT) == Denied("the user is locked")
    assert "LOCKED" in site.run("list").out
    assert site.run("unlock", "alice").code == 0
    assert await site.source().verify("alice", "three", ATTEMPT) == alice
    assert site.run("delete", "alice").code == 0
    assert site.file.read_text().strip() == ""
    assert site.run("delete", "alice").code == site.run("passwd", "alice", secret="x").code == 66


def test_a_new_file_is_for_whoever_has_the_data(site: Site, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    wanted = os.getegid()
    if os.geteuid() == 0:  # only root makes files for others
        wanted = next(entry.gr_gid for entry in grp.getgrall() if entry.gr_gid != 0)
        os.chown(data, -1, wanted)
    site.run("add", "alice", secret="one")
    assert site.file.stat().st_gid == wanted


async def test_what_is_said_of_a_user_changes(site: Site) -> None:
    site.run("add", "alice", "--address", "alice@example.com", "--group", "staff", secret="one")
    assert site.run("set", "alice", "--address", "@x.example", "--strong").code == 0
    alice = await site.source().look_up("alice", ATTEMPT)
    assert isinstance(alice, Identity)
    assert ([one.text for one in alice.addresses], alice.groups) == (["@x.example"], frozenset({"staff"}))
    assert await site.source().verify("alice", "one", ATTEMPT) == Denied(
        "the user may not send a password (strong)", "weak"
    )
    assert site.run("set", "alice", "--address", "", "--group", "", "--no-strong").code == 0
    assert await site.source().verify("alice", "one", ATTEMPT) == Identity("alice", "users", "PLAIN")
    assert len(site.file.read_text().splitlines()) == 1
    assert site.run("set", "alice", "--address", "nowhere").code == 64
    assert site.run("set", "nobody", "--strong").code == 66


async def test_app_passwords(site: Site) -> None:
    site.run("add", "alice", secret="one")
    made = site.run("app-password", "alice", "--label", "scanner", "--scope", "submission", "--expires", "90d")
    secret = made.out.strip()
    assert (made.code, len(secret)) == (0, 27)
    assert secret not in site.file.read_text()
    site.run("app-password", "alice")
    unnamed = site.run("app-password", "alice").out.strip()
    assert site.run("app-password", "alice", "--label", "scanner").code == 64
    assert site.run("app-password", "alice", "--scope", "nowhere").code == 64
    over = site.run("app-password", "alice", "--expires", "2001-01-01")
    assert (over.code, over.out) == (64, "")
    assert "that day is over" in over.err
    assert site.run("app-password", "nobody").code == 66
    assert isinstance(await site.source().verify("alice", secret, ATTEMPT), Identity)
    elsewhere = await site.source().verify("alice", secret, Attempt("192.0.2.1", "mx", "PLAIN"))
    assert elsewhere == Denied("the app password scanner is not for listener mx")
    listed = msgspec.json.decode(site.run("list", "--json").out)
    assert [app["label"] for app in listed["apps"]] == ["scanner", "app1", "app2"]
    assert listed["apps"][0]["scope"] == ["submission"]
    assert listed["kinds"] == ["argon2id"]
    text = site.run("list").out
    assert "app scanner  for submission  until " in text
    assert site.run("passwd", "alice", secret="two").code == 0
    assert isinstance(await site.source().verify("alice", unnamed, ATTEMPT), Identity)
    assert site.run("delete", "alice", "--app", "app2").code == 0
    assert await site.source().verify("alice", unnamed, ATTEMPT) == Denied("wrong password")
    assert site.run("delete", "alice", "--app", "app2").code == 66
    assert isinstance(await site.source().verify("alice", "two", ATTEMPT), Identity)


async def test_scram_forms_share_their_salt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path, monkeypatch, '["SCRAM-SHA-256", "SCRAM-SHA-1"]')
    site.run("add", "alice", secret="one")
    site.run("app-password", "alice")
    site.run("passwd", "alice", secret="two")
    users = site.source()
    assert {"sha256", "sha1"} < users.offers
    for name in ("sha256", "sha1"):
        keys = await users.scram_keys("alice", name, ATTEMPT)
        assert isinstance(keys, ScramKeys)
        assert len(keys.stored.keys) == 2
    assert "SCRAM-SHA-256, SCRAM-SHA-1" in site.run("list").out


def test_other_lines_stay_as_they_are(site: Site) -> None:
    site.run("add", "bob", secret="x")
    hashed = site.file.read_text()
    site.file.write_text(f"# ours\n\n{hashed}broken line\n  # indented\n")
    site.run("add", "alice", secret="y")
    site.run("app-password", "bob")
    lines = site.file.read_text().splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "# ours",
        "",
        "bob",
        "bob",
        "broken line",
        "  # indented",
        "alice",
    ]
    listed = site.run("list")
    assert [line.split()[0] for line in listed.out.splitlines()] == ["alice", "bob", "app"]
    assert "users:5: " in listed.err
    site.run("delete", "bob")
    assert site.file.read_text().startswith("# ours\n\nbroken line\n  # indented\nalice:")


def test_what_is_refused(site: Site, tmp_path: Path) -> None:
    assert site.run("add", "a:b", secret="x").code == 64
    assert site.run("add", "alice", "--address", "not an address", secret="x").code == 64
    assert site.run("add", "alice", "--address", "alice", secret="x").code == 64
    assert site.run("add", "alice", "--group", "a b", secret="x").code == 64
    assert site.run("add", "alice", "--expires", "soon", secret="x").code == 64
    no_terminal = site.run("add", "alice")
    assert no_terminal.code == 64
    assert "--password-stdin" in no_terminal.err
    assert run_command("user", "add", "alice", "--password-stdin", "-c", site.config).code == 64
    assert not site.file.exists()
    site.run("add", "alice", secret="x")
    site.file.chmod(0o644)
    open_file = site.run("add", "bob", secret="x")
    assert open_file.code == 78
    assert "chmod 640" in open_file.err
    bare = tmp_path / "bare.toml"
    bare.write_text('hostname = "relay.example.com"\nlisteners.mx.bind = ["127.0.0.1:0"]\n')
    assert run_command("user", "list", "-c", bare).code == 78
