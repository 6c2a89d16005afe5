"""`postroad explain` tells which policies would be asked, what those that only look at DNS answer, what is broken."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import run_command
from tests.support.dnsserver import DnsServer

CONFIGURATION = """\
hostname = "relay.example.com"
[listeners.mx]
bind = ["127.0.0.1:2599"]
[listeners.inside]
bind = ["127.0.0.1:2598"]
[access]
relay_networks = ["10.0.0.0/8"]
relay_domains = ["example.com"]
[resolver]
nameservers = ["{nameserver}"]
timeout = "20s"
[[policies]]
use = "dnsbl"
listeners = ["mx"]
[[policies.lists]]
zone = "bl.test"
timeout = "20s"
[[policies]]
use = "dnsbl"
listeners = ["mx"]
[[policies.lists]]
zone = "odd.test"
timeout = "20s"
[[policies]]
use = "office:mark"
[[policies]]
use = "helo"
timeout = "25s"
[[policies]]
use = "greylist"
[[policies]]
use = "missing:function"
[[routes]]
next_hops = ["capture:"]
"""
LISTED = "554 5.7.1 Service unavailable; [203.0.113.9] is listed by bl.test"
OWN = '''
from postroad.policy.context import MessageContext

def mark(ctx: MessageContext) -> None:
    """Mark what is ours.

    And more.
    """
'''


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("explain")
    (folder / "policies").mkdir()
    (folder / "policies" / "office.py").write_text(OWN)
    zones = {"bl.test": "9.113.0.203 A 127.0.0.2", "odd.test": "* A 127.255.255.254", "test": "mail.there A 192.0.2.9"}
    with DnsServer(zones) as dns:
        file = folder / "postroad.toml"
        file.write_text(CONFIGURATION.format(nameserver=dns.nameserver))
        yield file


def explained(config: Path, *options: str) -> list[str]:
    done = run_command("explain", "--to", "bob@example.com", *options, "-c", config)
    assert done.code == 0, done.err
    return [line.removeprefix("policy    ") for line in done.out.splitlines() if line.startswith("policy")]


def test_a_stranger(config: Path) -> None:
    lines = explained(config, "--ip", "203.0.113.9", "--helo", "relay.example.com")
    assert lines[:4] == [
        f"dnsbl at rcpt: {LISTED} (dnsbl: bl.test has 203.0.113.9 (127.0.0.2) +1: 1)",
        "dnsbl at rcpt: no opinion; odd.test: it refuses to answer us: 127.255.255.254",
        "office:mark at message: Mark what is ours.",
        "helo at rcpt: 550 5.7.1 EHLO name rejected (helo: relay.example.com is our own)",
    ]
    assert lines[4].startswith("greylist at rcpt: Defer (451 4.7.1) the first mail")
    assert lines[5].startswith('missing:function cannot be used: "missing:function": there is neither')
    assert not (config.parent / "data").exists()  # nothing was remembered


def test_others(config: Path) -> None:
    assert explained(config, "--ip", "10.0.0.7", "--helo", "relay.example.com")[0] == "dnsbl at rcpt: no opinion"
    assert explained(config, "--ip", "203.0.113.9", "--login", "alice")[0] == "dnsbl at rcpt: no opinion"
    lines = explained(config, "--ip", "203.0.113.10", "--listener", "inside")
    assert lines[:2] == ["office:mark at message: Mark what is ours.", "helo at rcpt: not asked: give --helo NAME"]
    there = explained(config, "--ip", "203.0.113.10", "--helo", "gone.there.test")
    assert there[3] == "helo at rcpt: tag helo:unresolvable (helo: gone.there.test is not in DNS)"


def test_as_json(config: Path) -> None:
    done = run_command("explain", "--to", "bob@example.com", "--listener", "inside", "--json", "-c", config)
    found = json.loads(done.out)["policies"]
    assert [one["use"] for one in found] == ["office:mark", "helo", "greylist", "missing:function"]
