"""`postroad explain` about DKIM: which keys sign, which do not, and why; the same for reports of ours."""

import json
from pathlib import Path

import pytest

from tests.support.command import run_command
from tests.support.mailauth import key

RSA, ED, NEXT = key("rsa1024"), key("ed25519"), key("ed25519", 1)
CONFIGURATION = """\
hostname = "relay.example.com"
[listeners.mx]
bind = ["127.0.0.1:2599"]
[listeners.submission]
bind = ["127.0.0.1:2597"]
[access]
relay_networks = ["127.0.0.0/8"]
[resolver]
nameservers = ["127.0.0.1:9"]
[[routes]]
next_hops = ["capture:"]
[[dkim.keys]]
domain = "example.com"
selector = "{rsa}"
key = {{ file = "{folder}/rsa" }}
authors = ["*.example.com", "example.com"]
[[dkim.keys]]
domain = "example.com"
selector = "{ed}"
key = {{ file = "{folder}/ed" }}
[[dkim.keys]]
domain = "example.com"
selector = "{next}"
key = {{ file = "{folder}/next" }}
begins = 2026-01-01
ends = 2999-01-01
[[dkim.keys]]
domain = "example.com"
selector = "later"
key = {{ file = "{folder}/ed" }}
begins = 2999-01-01
[[dkim.keys]]
domain = "example.com"
selector = "ended"
key = {{ file = "{folder}/ed" }}
ends = 2020-01-01
[[dkim.keys]]
domain = "example.net"
selector = "net"
key = {{ file = "{folder}/ed" }}
listeners = ["submission"]
logins = ["shop"]
[[dkim.keys]]
domain = "example.org"
selector = "gone"
key = {{ file = "{folder}/gone" }}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    for name, own in (("rsa", RSA), ("ed", ED), ("next", NEXT)):
        (tmp_path / name).write_bytes(own.pem())
    file = tmp_path / "postroad.toml"
    names = {"rsa": RSA.selector, "ed": ED.selector, "next": NEXT.selector}
    file.write_text(CONFIGURATION.format(folder=tmp_path, **names))
    return file


def told(config: Path, *more: str) -> list[str]:
    code, out, err = run_command("explain", "-c", str(config), "--to", "x@example.edu", *more)
    assert code == 0, err
    return [line.removeprefix("dkim      ") for line in out.splitlines() if line.startswith("dkim")]


def test_each_key_is_told_with_its_reason(config: Path) -> None:
    lines = told(config, "--from", "joe@example.com")
    unread = f"dkim.keys[6].key: {config.parent}/gone cannot be read: No such file or directory"
    assert lines == [
        f"{RSA.name} signs: author example.com",
        f"{ED.name} does not sign: replaced by {NEXT.selector}, which began later",
        f"{NEXT.name} signs: author example.com, since 2026-01-01, until 2999-01-01",
        "later._domainkey.example.com does not sign: begins on 2999-01-01",
        "ended._domainkey.example.com does not sign: ended on 2020-01-01",
        "net._domainkey.example.net does not sign: only what comes in by submission",
        f"gone._domainkey.example.org does not sign: cannot be read here: {unread}",
        f"reports of ours: {RSA.name}",
    ]


def test_the_from_field_goes_before_the_sender_and_the_login_counts(config: Path) -> None:
    asked = ("--from", "joe@example.com", "--header", "From: Shop <x@example.net>", "--listener", "submission")
    lines = told(config, *asked)
    assert "net._domainkey.example.net does not sign: only what the logins shop send" in lines
    assert lines[-2] == "not signed: no key is for mail of example.net by the listener submission"
    lines = told(config, *asked, "--login", "shop")
    assert "net._domainkey.example.net signs: author example.net, listener submission, login shop" in lines
    assert f"{RSA.name} does not sign: only mail of *.example.com, example.com" in lines


def test_strangers_are_not_signed_for(config: Path) -> None:
    lines = told(config, "--from", "joe@example.com", "--ip", "192.0.2.1")
    assert lines == ["not signed: mail of strangers is never signed", f"reports of ours: {RSA.name}"]
    run = run_command("explain", "-c", str(config), "--to", "x@example.edu", "--from", "<>", "--json")
    dkim = json.loads(run.out)["dkim"]
    assert dkim["message"][-1]["why"] == "the From field has no address with a domain"
    assert [one["key"] for one in dkim["reports"] if one["signs"]] == [RSA.name]
