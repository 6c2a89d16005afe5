"""The commands as people run them: a process, its output and its exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from postroad import VERSION

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


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "postroad", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_version() -> None:
    done = _run("--version")
    assert (done.returncode, done.stdout) == (0, f"postroad {VERSION}\n")


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["queue", "list", "-h"], ["spool", "cat", "-h"]])
def test_help_has_an_example(arguments: list[str]) -> None:
    done = _run(*arguments)
    assert done.returncode == 0
    assert "Example: postroad" in done.stdout


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["check", "--nonsense"], ["explain"], ["queue", "show"], ["queue", "nonsense"]]
)
def test_a_wrong_command_line_is_64(arguments: list[str]) -> None:
    done = _run(*arguments)
    assert done.returncode == 64
    assert "Traceback" not in done.stderr


def test_check_of_a_good_file(config: Path) -> None:
    done = _run("check", "-c", config)
    assert done.returncode == 0
    ok = f"{config}: ok: relay.example.com; mx on 127.0.0.1:0; 2 routes; data in {config.parent}/data\n"
    assert done.stdout == ok
    assert done.stderr == (
        f"postroad: warning: {config}:11: routes: no route takes all mail: "
        'what matches none waits until it expires; end with recipients = ["*"]\n'
    )


def test_check_of_a_bad_file_tells_everything_and_is_78(config: Path) -> None:
    config.write_text(_GOOD + "[queue]\nwindow = 1\n[logs]\n")
    done = _run("check", "-c", config)
    assert done.returncode == 78
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"postroad: {config}:18: queue.window: 1: expected whole number, at least 100, at most 1000000",
        f"postroad: {config}:19: logs: unknown key; did you mean log?",
        "postroad: 2 problems; nothing would start",
    ]


def test_check_as_json(config: Path) -> None:
    config.write_text(_GOOD + "[logs]\n")
    done = _run("check", "--json", "-c", config)
    assert done.returncode == 78
    assert json.loads(done.stdout) == {
        "ok": False,
        "problems": [{"file": str(config), "line": 17, "path": "logs", "text": "unknown key; did you mean log?"}],
        "warnings": [],
    }


@pytest.mark.parametrize("command", [["serve"], ["explain", "--to", "a@example.com"], ["queue", "list"], ["spool", "verify"]])
def test_no_command_runs_on_a_bad_configuration(command: list[str], config: Path) -> None:
    config.write_text("listeners = 1\n")
    done = _run(*command, "-c", config)
    assert done.returncode == 78
    assert done.stderr == f"postroad: {config}:1: listeners: 1: expected tables by name, at least 1 given\n"


def test_a_missing_file_is_78(tmp_path: Path) -> None:
    done = _run("check", "-c", tmp_path / "none.toml")
    assert done.returncode == 78
    assert "cannot be read: No such file or directory" in done.stderr


def test_serve_insists_on_a_folder_it_can_write(config: Path) -> None:
    (config.parent / "data").touch()
    done = _run("serve", "-c", config)
    assert done.returncode == 78
    assert f'data_dir: "{config.parent}/data": {config.parent}/data is not a folder' in done.stderr


def test_explain_of_mail_from_inside(config: Path) -> None:
    done = _run("explain", "--from", "me@example.org", "--to", "you@example.com", "--ip", "10.1.2.3", "-c", config)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "message   from <me@example.org> to <you@example.com>, client 10.1.2.3, listener mx",
        "access    accepted: client is in access.relay_networks as 10.0.0.0/8",
        'route     route 1 (recipients = ["example.com"])',
        "next hop  smtp://192.0.2.25:25,lmtp:///run/lmtp.sock",
        "plan      route: smtp://192.0.2.25:25; then lmtp:///run/lmtp.sock",
        "target 1  192.0.2.25[192.0.2.25]:25",
        "target 2  /run/lmtp.sock[/run/lmtp.sock]",
    ]


def test_explain_of_a_stranger(config: Path) -> None:
    taken = _run("explain", "--to", "you@example.com", "-c", config).stdout
    assert "access    accepted: domain is in access.relay_domains as example.com" in taken
    denied = _run("explain", "--to", "you@example.org", "-c", config)
    assert denied.returncode == 0
    assert "access    refused: client is not in access.relay_networks" in denied.stdout
    assert "reply     554 5.7.1 <you@example.org>: Relay access denied" in denied.stdout
    assert "route     no route matches" in denied.stdout


def test_explain_as_json_tells_what_dns_said(config: Path) -> None:
    done = _run("explain", "--from", "<>", "--to", "you@example.net", "--ip", "10.1.2.3", "--json", "-c", config)
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert (found["sender"], found["lane"], found["access"]["accepted"]) == ("", "mx:example.net", True)
    assert found["plan"]["result"] == "deferred"
    (question,) = found["plan"]["dns"]
    assert (question["name"], question["kind"]) == ("example.net", "MX")
    assert question["answer"] in ("timed out", "SERVFAIL")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "nobody"], "address without a domain"),
        (["--to", "a@example.com", "--from", "a@@b"], "local part has '@' outside quotes"),
        (["--to", "a@example.com", "--ip", "here"], "not an IP address: here"),
        (["--to", "a@example.com", "--listener", "my"], "no such listener: my; there are: mx"),
    ],
)
def test_explain_of_nonsense_is_64(arguments: list[str], words: str, config: Path) -> None:
    done = _run("explain", "-c", config, *arguments)
    assert (done.returncode, done.stderr) == (64, f"postroad: {words}\n")
