"""`postroad explain` about MTA-STS: what the server keeps of a domain's policy, read without being changed."""

import json
import time
from pathlib import Path

import pytest

from postroad.model.sts import StsKept, StsPolicy
from postroad.store.stspolicies import StsStore
from tests.support.command import run_command

CONFIGURATION = """\
hostname = "relay.example.com"
[listeners.mx]
bind = ["127.0.0.1:2599"]
[resolver]
nameservers = ["127.0.0.1:9"]
timeout = "100ms"
attempts = 1
[tls_out]
mta_sts = true
[[routes]]
recipients = ["fixed.example"]
next_hops = ["smtp://127.0.0.1:2598"]
[[routes]]
next_hops = ["mx"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "postroad.toml"
    file.write_text(CONFIGURATION)
    return file


def told(config: Path, to: str) -> str:
    code, out, err = run_command("explain", "-c", str(config), "--to", to, "--json")
    assert code == 0, err
    return str(json.loads(out)["mta_sts"])


def test_what_is_kept_is_told(config: Path) -> None:
    (config.parent / "data").mkdir()
    store = StsStore(config.parent / "data" / "mta-sts.db")
    fetched = time.time_ns() // 1000 - 7200 * 1_000_000
    policy = StsPolicy("enforce", 604800, ("mx1.example.net", "*.mx.example.net"), ("version: STSv1",))
    store.put(StsKept("example.net", "20260302", policy, fetched, fetched, fetched, "no answer within 60s"))
    store.close()
    text = told(config, "you@example.net")
    assert text.startswith(
        "example.net: mode enforce, mx mx1.example.net, *.mx.example.net, id 20260302, "
        "2h old, holds for 6d, fetched again in 21h"
    )
    assert text.endswith("; the last fetch failed: no answer within 60s")


def test_nothing_is_kept_and_nothing_is_made(config: Path) -> None:
    assert told(config, "you@example.org") == "example.org was not asked: DANE decides, or no host is known"
    assert told(config, "you@fixed.example") == ""
    assert not (config.parent / "data").exists()
