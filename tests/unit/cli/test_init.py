"""`postroad init`: what it writes passes `check`, questions are asked at a terminal alone, nothing is made unasked."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from postroad.config.load import load_config
from tests.support.command import run_command

NAME = ("--hostname", "relay.example.com")
QUESTIONS = 8  # at most


def test_defaults_make_a_configuration_that_passes_check(tmp_path: Path) -> None:
    file = tmp_path / "postroad.toml"
    done = run_command("init", "-c", file, "--yes", *NAME, "--data-dir", tmp_path / "mail")
    assert done.code == 0, done
    assert run_command("check", "-c", file).code == 0
    config = load_config(file)
    assert config.hostname == "relay.example.com"
    assert config.listeners["mx"].bind == ("0.0.0.0:25", "[::]:25")
    assert config.access.relay_domains == ()
    assert config.routes[0].next_hops == ("mx",)
    assert not (tmp_path / "mail").exists()
    assert "not made: " in done.out


def test_every_answer_is_in_it(tmp_path: Path) -> None:
    file = tmp_path / "postroad.toml"
    options = (
        *("--domain", "example.com", "--domain", "example.org", "--deliver-to", "smtp://mail.internal:25"),
        *("--network", "10.0.0.0/8", "--smart-host", "smtp://smart.example.net:587", "--listen", "127.0.0.1:2525"),
        *("--data-dir", "mail", "--make"),
    )
    done = run_command("init", "-c", file, "-y", *NAME, *options, "--user", "root")
    assert done.code == 0, done
    config = load_config(file)
    assert config.access.relay_domains == ("example.com", "example.org")
    assert [route.next_hops for route in config.routes] == [
        ("smtp://mail.internal:25",),
        ("smtp://smart.example.net:587",),
    ]
    assert [str(network) for network in config.access.relay_networks] == ["10.0.0.0/8"]
    assert config.process.user == "root"
    assert (tmp_path / "mail").stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mail", "postroad.toml"]


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "postroad.toml"
    file.write_text("mine")
    done = run_command("init", "-c", file, "--yes")
    assert (done.code, file.read_text()) == (74, "mine")
    assert "is there already" in done.err


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--hostname", "not a name"), 78, "hostname"),
        (("--network", "10.0.0.0/99"), 78, "relay_networks"),
        (("--listen", "smtp"), 78, "listeners.mx.bind"),
        (("--domain", "example.com"), 64, "--deliver-to"),
    ],
)
def test_a_wrong_answer_writes_nothing(tmp_path: Path, options: tuple[str, ...], code: int, words: str) -> None:
    file = tmp_path / "postroad.toml"
    done = run_command("init", "-c", file, "--yes", *options)
    assert done.code == code, done
    assert words in done.err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    done = run_command("init", "-c", tmp_path / "etc" / "postroad.toml", "--yes", *NAME)
    assert done.code == 66
    assert not list(tmp_path.iterdir())


def test_questions_at_a_terminal(tmp_path: Path) -> None:
    file = tmp_path / "postroad.toml"
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "postroad", "init", "-c", str(file), "--data-dir", "mail"]
    answers = ["example.com, example.org", "relay.example.com", "127.0.0.1:2525", "", "smtp://mail.internal:25"]
    os.write(ours, "\n".join([*answers, *[""] * (QUESTIONS - len(answers))]).encode() + b"\n")
    try:
        done = subprocess.run(command, stdin=theirs, capture_output=True, text=True, timeout=60, check=False)
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 0, done
    config = load_config(file)
    assert config.access.relay_domains == ("example.com", "example.org")
    assert config.listeners["mx"].bind == ("127.0.0.1:2525",)
    assert config.routes[0].next_hops == ("smtp://mail.internal:25",)
    assert config.routes[1].next_hops == ("mx",)
    assert "Domains of your own" in done.stdout
