"""`postroad explain` about routes in full: balance, fallback, sources, sites, decisions, and our own address."""

import json
from pathlib import Path
from typing import Final

import pytest

from postroad.model.suspension import NEXT_HOP, ROUTE, SITE, Suspension
from postroad.queue.times import NEVER
from postroad.store.suspensions import save
from tests.support.authority import Authority
from tests.support.command import run_command

DEFAULT: Final = '; TLS opportunistic, by default: delivery.tls = "opportunistic"'
CONFIGURATION = """\
hostname = "relay.example.com"
[listeners.mx]
bind = ["127.0.0.1:2599"]
[access]
relay_networks = ["10.0.0.0/8"]
[resolver]
nameservers = ["127.0.0.1:9"]
timeout = "100ms"
attempts = 1
[[routes]]
name = "renamed"
recipients = ["old.example"]
then = { rewrite = "*@shared.example" }
[[routes]]
name = "review"
recipients = ["held.example"]
then = "hold"
[[routes]]
recipients = ["spam.example"]
then = "discard"
[[routes]]
recipients = ["never.example"]
then = { fail = "550 5.7.1 We do not write to them" }
[[routes]]
recipients = ["large.example"]
larger_than = "1MiB"
logins = ["scanner"]
next_hops = ["smtp://192.0.2.9"]
[[routes]]
recipients = ["us.example"]
next_hops = ["smtp://127.0.0.1:2598", "mx:[127.0.0.1]"]
[[routes]]
recipients = ["srv.example"]
next_hops = ["smtp+srv://srv.example"]
[[routes]]
name = "shared"
next_hops = [{ hop = "smtp://192.0.2.1", weight = 3 }, "smtp://192.0.2.2"]
balance = "weighted"
fallback = ["smtp://192.0.2.3"]
fallback_after = "90m"
fallback_on = ["4.4.1", "4.7."]
[[egress]]
tags = ["news"]
source = "bulk"
[sources.bulk]
address = "192.0.2.50"
[sites]
here = ["192.0.2.1", "192.0.2.2"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "postroad.toml"
    file.write_text(CONFIGURATION)
    return file


def explain(config: Path, address: str, *options: str) -> list[str]:
    done = run_command("explain", "--to", address, "--ip", "10.1.1.1", *options, "-c", config)
    assert done.code == 0, done.err
    return done.out.splitlines()[2:]


def test_balance_weights_source_site_and_fallback(config: Path) -> None:
    assert explain(config, "a@old.example", "--tag", "news") == [
        'rewritten to <a@shared.example> by route renamed (recipients = ["old.example"])',
        'route     route shared (recipients = ["*"]); from bulk by egress rule 1',
        (
            "next hop  smtp://192.0.2.1:25*3,smtp://192.0.2.2:25?balance=weighted&source=bulk"
            "&fallback=smtp://192.0.2.3:25%3Fbalance%3Dweighted%26source%3Dbulk&after=5400&on=4.4.1,4.7."
        ),
        "plan      route: smtp://192.0.2.1:25; beside smtp://192.0.2.2:25",
        "site      here",
        "source    bulk",
        "balance   weighted",
        f"target 1  192.0.2.1[192.0.2.1]:25 (tier 1, weight 3){DEFAULT}",
        f"target 2  192.0.2.2[192.0.2.2]:25 (tier 1, weight 1){DEFAULT}",
        "fallback  after 90m, on 4.4.1, on 4.7.: smtp://192.0.2.3:25?balance=weighted&source=bulk",
        "plan      route: smtp://192.0.2.3:25",
        "source    bulk",
        "balance   weighted",
        f"target 1  192.0.2.3[192.0.2.3]:25 (tier 1, weight 1){DEFAULT}",
    ]


@pytest.mark.parametrize(
    ("address", "lane", "plan"),
    [
        ("a@held.example", "hold:review", "held: held by route review"),
        ("a@spam.example", "discard:3", "discarded: 250 2.0.0 discarded by route 3"),
        ("a@never.example", "fail:550 5.7.1 We do not write to them", "failed: 550 5.7.1 We do not write to them"),
    ],
)
def test_decisions(address: str, lane: str, plan: str, config: Path) -> None:
    assert explain(config, address)[1:] == [f"next hop  {lane}", f"plan      {plan}"]


def test_conditions_of_size_and_login(config: Path) -> None:
    options = ("--size", "2MiB", "--login", "scanner")
    assert explain(config, "a@large.example", *options)[1] == "next hop  smtp://192.0.2.9:25"
    assert "route shared" in explain(config, "a@large.example", "--size", "2MiB")[0]
    assert "route shared" in explain(config, "a@large.example", "--size", "1MiB", "--login", "scanner")[0]
    wrong = run_command("explain", "--to", "a@b.example", "--size", "big", "-c", config)
    assert (wrong.code, wrong.err) == (64, 'postroad: \'big\' is not a size; write it like "50MiB" or "10kB"\n')


def test_our_own_addresses_are_known(config: Path) -> None:
    config.write_text(CONFIGURATION.replace("127.0.0.1:2599", "127.0.0.1:25"))
    lines = explain(config, "a@us.example")
    assert lines[-1] == f"target 1  127.0.0.1[127.0.0.1]:2598{DEFAULT}"
    assert "passed over: the best MX of [127.0.0.1] is this server itself: mail would loop" in lines[2]


def test_service_records_as_json(config: Path) -> None:
    done = run_command("explain", "--to", "a@srv.example", "--ip", "10.1.1.1", "--json", "-c", config)
    found = json.loads(done.out)
    assert found["plan"]["result"] == "deferred"
    (question,) = found["plan"]["dns"]
    assert (question["kind"], question["name"]) == ("SRV", "_smtp._tcp.srv.example")
    shared = json.loads(run_command("explain", "--to", "a@x.example", "--json", "-c", config).out)
    assert shared["plan"]["targets"][0] == {
        "target": "192.0.2.1[192.0.2.1]:25",
        "tier": 0,
        "weight": 3,
        "tls": "opportunistic",
        "tls_by": 'default: delivery.tls = "opportunistic"',
    }
    assert (shared["plan"]["balance"], shared["plan"]["site"]) == ("weighted", "here")
    assert (shared["fallback"]["after"], shared["fallback"]["on"]) == ("90m", ["4.4.1", "4.7."])


@pytest.mark.parametrize(
    ("kind", "name"), [(NEXT_HOP, "192.0.2.1:25"), (NEXT_HOP, "*"), (SITE, "here"), (ROUTE, "shared"), (ROUTE, "sha*")]
)
def test_what_operators_have_stopped_is_told(config: Path, kind: str, name: str) -> None:
    kept = config.parent / "data" / "suspensions.json"
    kept.parent.mkdir()
    save(kept, [Suspension(kind, name, NEVER, "root", 0, "new disks"), Suspension(kind, "other", NEVER, "root", 0)])
    told = [line for line in explain(config, "a@shared.example") if line.startswith("stopped")]
    assert told == [f"stopped   {kind} {name} suspended by root: new disks, until it is resumed"]


TLS_SITE = """
hostname = "relay.example.com"
data_dir = "{folder}/data"
{tls}
[listeners.first]
bind = ["127.0.0.1:2525"]
tls = "starttls"
[listeners.second]
bind = ["127.0.0.1:2587"]
tls = "required"
client_certificates = "require"
client_ca = "{ca}"
[listeners.third]
bind = ["127.0.0.1:2465"]
tls = "implicit"
[[routes]]
recipients = ["*"]
next_hops = ["capture:"]
"""


def test_tls_that_a_listener_asks_for_is_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    own = authority.issue("own", ["relay.example.com"])
    config = tmp_path / "postroad.toml"
    config.write_text(TLS_SITE.format(folder=tmp_path, tls=f"[tls]\n{own.options}", ca=authority.file))
    required = 'listeners.second.tls = "required": 530 5.7.0 Must issue a STARTTLS command first'
    certificate = 'listeners.second.client_certificates = "require": the handshake ends without one'
    implicit = 'listeners.third.tls = "implicit": cut off without TLS'
    for listener, state, told in (
        ("first", "none", []),
        ("second", "none", [f"{required} (if it came with --tls any:)"]),
        ("second", "any", [f"{certificate} (if it came with --tls verified:)"]),
        ("second", "verified", []),
        ("third", "none", [f"{implicit} (if it came with --tls any:)"]),
        ("third", "any", []),
    ):
        done = run_command("explain", "--to", "a@x.example", "--listener", listener, "--tls", state, "-c", config)
        lines = [line.removeprefix("tls       ") for line in done.out.splitlines() if line.startswith("tls ")]
        assert (done.code, lines) == (0, told)
