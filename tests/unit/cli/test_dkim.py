"""`postroad dkim`: keys in files, records for DNS, and lines for the configuration that fit together."""

import json
import re
import stat
import tomllib
from datetime import date, timedelta
from pathlib import Path

import pytest

from postroad.cli.dkimkeys import published, state_of
from postroad.listener.signsettings import DkimKeySettings
from postroad.mailauth.dkim_facts import KeyFacts
from postroad.mailauth.dkim_key import DkimKey, read_key
from postroad.mailauth.dkim_private import read_signing_key
from postroad.model.dns import Answer, DnsStatus
from postroad.model.option import Secret
from tests.support.command import run_command
from tests.support.mailauth import key as made_key

BASE = 'hostname = "relay.example.com"\ndata_dir = "{data}"\nlisteners.mx.bind = ["127.0.0.1:2525"]\n'
SECRET = "-----BEGIN"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "postroad.toml"
    file.write_text(BASE.format(data=tmp_path / "data"))
    return file


def lines_for(out: str) -> str:
    """What a command printed for the configuration; TOML takes all of it but the zone's lines."""
    return "".join(line + "\n" for line in out.splitlines() if " IN TXT " not in line)


def test_new_keys_fit_their_records_and_lines(config: Path) -> None:
    done = run_command("dkim", "new", "Example.COM", "-c", config)
    assert (done.code, done.err) == (0, "")
    assert SECRET not in done.out
    keys = tomllib.loads(lines_for(done.out))["dkim"]["keys"]
    records = dict(re.findall(r"(?m)^(\S+)\. IN TXT \( (.*) \)$", done.out))
    assert [key["domain"] for key in keys] == ["example.com"] * 2
    for key in keys:
        path = Path(key["key"]["file"])
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        private = read_signing_key(key["domain"], key["selector"], path.read_bytes())
        published = read_key("".join(re.findall(r'"([^"]*)"', records[private.name])))
        assert isinstance(published, DkimKey)
        assert private.record() == "".join(re.findall(r'"([^"]*)"', records[private.name]))
    config.write_text(config.read_text() + lines_for(done.out))
    assert run_command("check", "-c", config).code == 0
    shown = [json.loads(line) for line in run_command("dkim", "show", "-c", config, "--json").out.splitlines()]
    assert [(one["facts"]["kind"], one["facts"]["bits"], one["state"]) for one in shown] == [
        ("rsa", 2048, "signs"),
        ("ed25519", 256, "signs"),
    ]
    text = run_command("dkim", "show", "example.com", "-c", config).out
    assert "rsa, 2048 bits  signs" in text
    assert SECRET not in text


def test_a_rotation_keeps_what_is_and_says_what_to_do_when(config: Path) -> None:
    made = run_command("dkim", "new", "example.com", "--kind", "ed25519", "--selector", "old", "-c", config)
    config.write_text(config.read_text() + lines_for(made.out) + 'authors = ["*.example.com"]\nlogins = ["shop"]\n')
    done = run_command("dkim", "rotate", "example.com", "--after", 3, "-c", config)
    assert done.code == 0
    (key,) = tomllib.loads(lines_for(done.out))["dkim"]["keys"]
    today = date.fromisoformat(re.findall(r"(?m)^# (\S+): publish", done.out)[0])
    assert key["begins"] == today + timedelta(days=3)
    assert (key["authors"], key["logins"]) == (["*.example.com"], ["shop"])
    assert f"# {today + timedelta(days=15)}: take old._domainkey.example.com out of DNS, old out" in done.out
    again = run_command("dkim", "rotate", "example.com", "-c", config)  # the same day: another name
    assert tomllib.loads(lines_for(again.out))["dkim"]["keys"][0]["selector"] == key["selector"] + "2"
    config.write_text(config.read_text() + lines_for(done.out))
    shown = run_command("dkim", "show", "-c", config).out
    assert "old  ed25519, 256 bits  signs" in shown
    assert f"begins on {key['begins']}" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("new", "exa mple"), 64, "not a domain"),
        (("new", "example.com", "--selector", "x"), 64, "two keys cannot have one name"),
        (("rotate", "example.com"), 66, "no key of example.com signs: postroad dkim new example.com"),
        (("show",), 66, "the configuration has no [[dkim.keys]]"),
        (("show", "example.com"), 66, "the configuration has no key of example.com"),
    ],
)
def test_what_cannot_be_done_is_said(config: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    done = run_command("dkim", *arguments, "-c", config)
    assert done.code == code
    assert words in re.sub(r"[\s│]+", " ", done.err)


def test_a_key_that_is_there_is_left_alone(config: Path) -> None:
    asked = ("dkim", "new", "example.com", "--kind", "ed25519", "--selector", "one", "-c", config)
    assert run_command(*asked).code == 0
    (path,) = (config.parent / "data" / "dkim").rglob("*.pem")
    before = path.read_bytes()
    done = run_command(*asked)
    assert (done.code, path.read_bytes()) == (73, before)
    assert "is there already" in done.err


ED = made_key("ed25519", 0, "example.com")
GOOD = ED.record()


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ((GOOD,), "in DNS"),
        ((GOOD.replace("v=DKIM1; ", "").replace("; ", " ;  "),), "in DNS"),
        ((made_key("ed25519", 1, "example.com").record(),), "DNS has another key of that name"),
        ((GOOD, "p="), "DNS has 2 records of that name, and there must be one"),
        ((GOOD.replace("k=ed25519; ", ""),), "in a record that is of no use: the key "),
        ((GOOD.replace("p=", "h=sha1; p="),), "cannot be used: it is only for the hashes 'sha1'"),
        ((GOOD.replace("p=", "s=tlsrpt; p="),), "cannot be used: it is only for the services 'tlsrpt'"),
    ],
)
def test_what_dns_has_is_compared(records: tuple[str, ...], words: str) -> None:
    """The same key in a record that no verifier takes is not published."""
    facts = KeyFacts("ed25519", 256, ED.name, GOOD, "")
    said = published(facts, Answer(DnsStatus.FOUND, records))
    assert words in said
    assert (said == "in DNS") == (words == "in DNS")


@pytest.mark.parametrize(
    ("status", "words"),
    [(DnsStatus.NO_NAME, "not in DNS: NXDOMAIN"), (DnsStatus.TIMED_OUT, "DNS could not be asked: timed out")],
)
def test_what_dns_has_not_is_told(status: DnsStatus, words: str) -> None:
    assert published(KeyFacts("ed25519", 256, ED.name, GOOD, ""), Answer(status)) == words


def test_a_key_that_cannot_be_read_here_hides_no_other(config: Path) -> None:
    """It may be in the environment of the server, or of a user that we are not."""
    made = run_command("dkim", "new", "example.com", "--kind", "ed25519", "--selector", "one", "-c", config)
    away = '[[dkim.keys]]\ndomain = "{}"\nselector = "away"\nkey = {{ env = "NOT_IN_THIS_SHELL" }}\n'
    config.write_text(config.read_text() + away.format("other.example") + lines_for(made.out))
    done = run_command("dkim", "show", "-c", config)
    assert done.code == 0
    assert "other.example  away  cannot be read here: " in done.out
    assert "example.com  one  ed25519, 256 bits  signs" in done.out
    assert run_command("dkim", "rotate", "example.com", "-c", config).code == 0
    refused = run_command("dkim", "rotate", "other.example", "-c", config)
    assert refused.code == 78
    assert "away: cannot be read here: " in refused.err
    assert run_command("dkim", "show", "--json", "-c", config).code == 0


def test_the_key_that_seals_is_made_and_shown(config: Path) -> None:
    made = run_command("dkim", "new", "example.com", "--seal", "--selector", "arc", "-c", config)
    assert tomllib.loads(lines_for(made.out))["dkim"]["seal"]["selector"] == "arc"
    config.write_text(config.read_text() + lines_for(made.out) + '[[policies]]\nuse = "dkim"\n')
    shown = run_command("dkim", "show", "example.com", "-c", config)
    assert (shown.code, "arc  rsa, 2048 bits  seals (ARC)" in shown.out) == (0, True)
    assert run_command("dkim", "show", "other.example", "-c", config).code == 66


def settings(selector: str, begins: str = "", ends: str = "") -> DkimKeySettings:
    return DkimKeySettings(domain="example.com", selector=selector, key=Secret("x"), begins=begins, ends=ends)


def test_the_state_of_a_key_is_that_of_the_day() -> None:
    old, new, far = settings("old"), settings("new", "2026-03-01"), settings("far", "2026-05-01", "2026-06-01")
    states = {
        day: [state_of(one, (old, new, far), day) for one in (old, new, far)]
        for day in ("2026-02-28", "2026-03-01", "2026-05-02", "2026-06-01")
    }
    assert states == {
        "2026-02-28": ["signs", "begins on 2026-03-01", "begins on 2026-05-01"],
        "2026-03-01": ["replaced by new", "signs", "begins on 2026-05-01"],
        "2026-05-02": ["replaced by far", "replaced by far", "signs"],
        "2026-06-01": ["replaced by new", "signs", "ended on 2026-06-01"],
    }
    twin = settings("twin", "2026-03-01")
    assert state_of(twin, (old, new, twin), "2026-03-02") == (
        "signs nothing: new is for the same mail, and stands before it"
    )
    assert state_of(new, (old, new, twin), "2026-03-02") == "signs"
