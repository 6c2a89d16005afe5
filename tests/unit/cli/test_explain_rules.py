"""Rules at the command line: explain tells what each of them said, check tries the cases beside them."""

import json
from pathlib import Path

import pytest

from tests.support.command import run_command

CONFIG = """
hostname = "relay.example.com"
listeners.mx.bind = ["127.0.0.1:2525"]
listeners.submission.bind = ["127.0.0.1:2587"]
access.relay_domains = ["example.com"]
access.relay_networks = ["10.0.0.0/8"]
resolver = { nameservers = ["127.0.0.1:9"], timeout = "100ms", attempts = 1 }
senders.bind = true
routes = [
    { name = "dlp", recipients = ["dlp.invalid"], next_hops = ["smtp://192.0.2.26"] },
    { next_hops = ["smtp://192.0.2.25"] },
]

[[rules]]
name = "night"
when = { time = "22:00-06:00", direction = "outbound" }
then = { hold = "nobody writes at night" }

[[rules]]
name = "interns"
when = { group = "interns", direction = "outbound" }
then = { reject = "Interns write to colleagues" }

[[rules]]
name = "secrets"
when = { header = { Subject = "*secret*" } }
then = { route = "dlp", tls = "required", tag = "secret" }

[[rules]]
when = { login = "*" }
then = "accept"
"""
EXPECT = """
[[expect]]
name = "interns stay inside"
login = "ida@example.com"
groups = ["interns"]
sender = "ida@example.com"
recipient = "x@example.net"
at = "2026-03-02 12:00"
outcome = "reject"
by = "interns"

[[expect]]
sender = "boss@example.com"
login = "ida@example.com"
recipient = "b@example.com"
outcome = "reject"
by = "senders.bind"

[[expect]]
ip = "10.1.1.1"
recipient = "b@example.com"
headers = { Subject = "a secret" }
outcome = "accept"
by = "relay control"
route = "dlp"
tags = ["secret"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "postroad.toml"
    file.write_text(CONFIG)
    return file


def explain(config: Path, *arguments: str) -> list[str]:
    done = run_command("explain", "-c", config, *arguments)
    assert (done.code, done.err) == (0, "")
    return done.out.splitlines()


def test_explain_tells_rule_by_rule(config: Path) -> None:
    said = explain(
        config, "--login", "ida@example.com", "--group", "Interns", "--from", "ida@example.com",
        "--to", "x@example.net", "--ip", "192.0.2.1", "--at", "2026-03-02 12:00",
    )  # fmt: skip
    assert said[1:9] == [
        "rule      mail    senders.bind  sender is not the login's own does not hold",
        "rule      rcpt    night         time does not hold",
        "rule      rcpt    interns       matches",
        "rule      rcpt    4             not asked: rule interns ended it",
        "rules     reject, by interns",
        "access    refused: rule interns",
        "reply     550 5.7.1 Interns write to colleagues",
        "          (if it were accepted:)",
    ]


def test_explain_goes_on_with_what_the_rules_decided(config: Path) -> None:
    said = explain(config, "--to", "b@example.com", "--ip", "10.1.1.1", "--header", "Subject: my secret")
    assert "access    accepted: client is in access.relay_networks as 10.0.0.0/8" in said
    assert "rule      message secrets         matches" in said
    assert "tags      secret" in said
    assert "tls       required by a rule" in said
    assert 'route     route dlp (recipients = ["dlp.invalid"]), chosen by policy; by TLS alone, by policy' in said
    assert "next hop  smtp://192.0.2.26:25?tls=required" in said


def test_explain_tells_what_is_held(config: Path) -> None:
    said = explain(
        config, "--login", "anna@example.com", "--from", "", "--to", "x@example.net", "--at", "2026-03-02 23:00"
    )
    assert "held      nobody writes at night (rule night)" in said
    assert "plan      held: nobody writes at night (rule night)" in said


def test_explain_of_somebody_who_is_somebody_else(config: Path) -> None:
    arguments = ["--login", "app", "--from", "sales@example.com", "--to", "x@example.net", "--at", "2026-03-02 12:00"]
    assert "reply     553 5.7.1 Sender address rejected: not yours to use" in explain(config, *arguments)
    assert "access    accepted: rule 4" in explain(config, *arguments, "--own", "sales@example.com", "--tls", "any")


def test_explain_as_json(config: Path) -> None:
    done = run_command("explain", "-c", config, "--to", "b@example.com", "--json")
    found = json.loads(done.out)["judged"]
    assert (found["outcome"], found["by"], found["to"]) == ("accept", "relay control", ["b@example.com"])
    assert {"stage": "message", "rule": "secrets", "matches": False, "why": "header does not hold"} in found["steps"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tls", "much"], "--tls much: write one of none, any, verified"),
        (["--at", "noon"], '--at noon: write it like "2026-03-02 22:30", in UTC'),
        (["--header", "Subject"], '--header Subject: write it like "Subject: hello"'),
    ],
)
def test_explain_of_nonsense(config: Path, arguments: list[str], words: str) -> None:
    done = run_command("explain", "-c", config, "--to", "b@example.com", *arguments)
    assert (done.code, done.err) == (64, f"postroad: {words}\n")


def test_cases_that_come_out_as_expected_are_no_problem(config: Path) -> None:
    config.write_text(CONFIG + EXPECT)
    done = run_command("check", "-c", config)
    assert done.code == 0, done.err


def test_cases_that_do_not_come_out_are_problems_with_the_evaluation(config: Path) -> None:
    wrong = EXPECT.replace('"reject"\nby = "interns"', '"accept"').replace('tags = ["secret"]', 'tags = ["x"]')
    config.write_text(CONFIG + wrong.replace('by = "senders.bind"', 'by = "4"'))
    done = run_command("check", "-c", config)
    assert done.code == 78
    first = CONFIG.count("\n") + 2
    assert (
        f'{config}:{first}: expect[0]: "interns stay inside" comes out as reject by interns, not as accept' in done.err
    )
    assert "    rcpt     interns: matches" in done.err
    assert "    reply    550 5.7.1 Interns write to colleagues" in done.err
    assert "expect[1]: case 2 is decided by senders.bind, not by 4" in done.err
    assert "expect[2]: case 3 has no tag x" in done.err


def test_a_rule_that_cannot_be_used_is_a_problem(config: Path) -> None:
    config.write_text(
        f'{CONFIG}\n[[rules]]\nwhen = {{ sender = "/(/" }}\nthen = "reject"\n'
        '[[rules]]\nwhen = { network = { file = "not-there" } }\nthen = "reject"\n'
    )
    done = run_command("check", "-c", config)
    assert done.code == 78
    assert "rules[4]: /(/ cannot be compiled: missing )" in done.err
    assert f"rules[5]: {config.parent / 'not-there'}: cannot be read: No such file" in done.err
