"""The commands as people type them: output and exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from postroad import VERSION
from tests.support.command import run_command

_GOOD = """\
hostname = "relay.example.com"
[listeners.mx]
bind = ["127.0.0.1:0"]
[access]
relay_networks = ["10.0.0.0/8"]
relay_domains = ["example.com"]
[resolver]
nameservers = ["127.0.0.1:9"]
timeout = "100ms"
attempts = 1
[[routes]]
recipients = ["example.com"]
next_hops = ["smtp://192.0.2.25:25", "lmtp:///run/lmtp.sock"]
[[routes]]
recipients = ["example.net"]
next_hops = ["mx"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "postroad.toml"
    file.write_text(_GOOD)
    return file


def test_a_real_process(config: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "postroad", "check", "-c", config],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout[: len(str(config))]) == (0, str(config))
    assert "warning: " in done.stderr


def test_version() -> None:
    done = run_command("--version")
    assert (done.code, done.out) == (0, f"postroad {VERSION}\n")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["serve", "--help"], ["queue", "list", "-h"], ["spool", "cat", "-h"]]
)
def test_help_has_an_example(arguments: list[str]) -> None:
    done = run_command(*arguments)
    assert done.code == 0
    assert "Example: postroad" in done.out


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["check", "--nonsense"], ["explain"], ["queue", "show"], ["queue", "nonsense"]]
)
def test_a_wrong_command_line_is_64(arguments: list[str]) -> None:
    done = run_command(*arguments)
    assert done.code == 64
    assert "Traceback" not in done.err


def test_check_of_a_good_file(config: Path) -> None:
    done = run_command("check", "-c", config)
    assert done.code == 0
    ok = f"{config}: ok: relay.example.com; mx on 127.0.0.1:0; 2 routes; data in {config.parent}/data\n"
    assert done.out == ok
    assert done.err == (
        f"postroad: warning: {config}:11: routes: no route takes all mail: "
        'what matches none waits until it expires; end with recipients = ["*"]\n'
    )


def test_check_of_a_bad_file_tells_everything_and_is_78(config: Path) -> None:
    config.write_text(_GOOD + "[queue]\nwindow = 1\n[logs]\n")
    done = run_command("check", "-c", config)
    assert done.code == 78
    assert done.out == ""
    assert done.err.splitlines() == [
        f"postroad: {config}:18: queue.window: 1: expected whole number, at least 100, at most 1000000",
        f"postroad: {config}:19: logs: unknown key; did you mean log?",
        "postroad: 2 problems; nothing would start",
    ]


def test_check_as_json(config: Path) -> None:
    config.write_text(_GOOD + "[logs]\n")
    done = run_command("check", "--json", "-c", config)
    assert done.code == 78
    assert json.loads(done.out) == {
        "ok": False,
        "problems": [{"file": str(config), "line": 17, "path": "logs", "text": "unknown key; did you mean log?"}],
        "warnings": [],
    }


@pytest.mark.parametrize(
    "command", [["serve"], ["explain", "--to", "a@example.com"], ["queue", "list"], ["spool", "verify"]]
)
def test_no_command_runs_on_a_bad_configuration(command: list[str], config: Path) -> None:
    config.write_text("listeners = 1\n")
    done = run_command(*command, "-c", config)
    assert done.code == 78
    assert done.err == f"postroad: {config}:1: listeners: 1: expected tables by name, at least 1 given\n"


def test_a_missing_file_is_78(tmp_path: Path) -> None:
    done = run_command("check", "-c", tmp_path / "none.toml")
    assert done.code == 78
    assert "cannot be read: No such file or directory" in done.err


def test_serve_insists_on_a_folder_it_can_write(config: Path) -> None:
    (config.parent / "data").touch()
    done = run_command("serve", "-c", config)
    assert done.code == 78
    assert f'data_dir: "{config.parent}/data": {config.parent}/data is not a folder' in done.err


def test_explain_of_mail_from_inside(config: Path) -> None:
    done = run_command(
        "explain", "--from", "me@example.org", "--to", "you@example.com", "--ip", "10.1.2.3", "-c", config
    )
    assert done.code == 0
    assert done.out.splitlines() == [
        "message   from <me@example.org> to <you@example.com>, client 10.1.2.3, listener mx",
        "access    accepted: client is in access.relay_networks as 10.0.0.0/8",
        'route     route 1 (recipients = ["example.com"])',
        "next hop  smtp://192.0.2.25:25,lmtp:///run/lmtp.sock",
        "plan      route: smtp://192.0.2.25:25; then lmtp:///run/lmtp.sock",
        'target 1  192.0.2.25[192.0.2.25]:25; TLS opportunistic, by default: delivery.tls = "opportunistic"',
        'target 2  /run/lmtp.sock[/run/lmtp.sock]; TLS opportunistic, by default: delivery.tls = "opportunistic"',
    ]


def test_explain_of_what_the_sender_wants_of_tls(config: Path) -> None:
    """RFC 8689 4.1: REQUIRETLS goes before the header section."""
    ask = ("explain", "--to", "you@example.com", "--ip", "10.1.2.3", "-c", config)
    waived = run_command(*ask, "--header", "tls-required: no").out
    assert "TLS is not insisted on, as the sender asks (TLS-Required: No)" in waived
    wanted = run_command(*ask, "--requiretls", "--header", "TLS-Required: No").out
    assert "by verified TLS alone, as the sender requires (REQUIRETLS)" in wanted
    assert "TLS verified, by requiretls: REQUIRETLS, to a host that the route names" in wanted


def test_explain_of_a_stranger(config: Path) -> None:
    taken = run_command("explain", "--to", "you@example.com", "-c", config).out
    assert "access    accepted: domain is in access.relay_domains as example.com" in taken
    denied = run_command("explain", "--to", "you@example.org", "-c", config)
    assert denied.code == 0
    assert "access    refused: client is not in access.relay_networks" in denied.out
    assert "reply     554 5.7.1 <you@example.org>: Relay access denied" in denied.out
    assert "route     no route matches" in denied.out


def test_explain_as_json_tells_what_dns_said(config: Path) -> None:
    done = run_command("explain", "--from", "<>", "--to", "you@example.net", "--ip", "10.1.2.3", "--json", "-c", config)
    assert done.code == 0
    found = json.loads(done.out)
    assert (found["sender"], found["lane"], found["access"]["accepted"]) == ("", "mx:example.net", True)
    assert found["plan"]["result"] == "deferred"
    (question,) = found["plan"]["dns"]
    assert (question["name"], question["kind"]) == ("example.net", "MX")
    assert question["answer"] == "no name server can be reached"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "nobody"], "--to nobody: address without a domain"),
        (["--to", "a@example.com", "--from", "a@@b"], "--from a@@b: local part has '@' outside quotes"),
        (["--to", "a@example.com", "--ip", "here"], "not an IP address: here"),
        (["--to", "a@example.com", "--listener", "my"], "no such listener: my; there are: mx"),
    ],
)
def test_explain_of_nonsense_is_64(arguments: list[str], words: str, config: Path) -> None:
    done = run_command("explain", "-c", config, *arguments)
    assert (done.code, done.err) == (64, f"postroad: {words}\n")
