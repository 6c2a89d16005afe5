"""Under a service manager: what it is told, sockets that it hands over, and the unit files by its own tools."""

import os
import re
import smtplib
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.meta.source import TOP
from tests.support.command import run_command
from tests.support.processes import MakeRelay
from tests.support.relay import STOP_SECONDS, Relay, greets, wait_until

UNITS = TOP / "packaging" / "systemd"
EXPOSED_AT_MOST = 1.6  # of 10, as `systemd-analyze security` counts


def test_the_manager_is_told_of_a_whole_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_relay: MakeRelay
) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(STOP_SECONDS)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")

        def next_of(word: str) -> list[str]:
            while True:
                told = manager.recv(4096).decode().split("\n")
                if told[0] == word:
                    return told

        with make_relay(tmp_path / "relay") as relay:
            assert next_of("READY=1") == ["READY=1", "STATUS=running as relay.example.com"]
            next_of("WATCHDOG=1")
            next_of("WATCHDOG=1")
            assert run_command("reload", "-c", relay.config).code == 0
            assert next_of("RELOADING=1")[1].startswith("MONOTONIC_USEC=")
            next_of("READY=1")
            relay.stop()
            next_of("STOPPING=1")


def test_an_upgrade_is_a_reload_to_the_manager_and_the_watchdog_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(STOP_SECONDS)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        monkeypatch.setenv("WATCHDOG_USEC", "60000000")

        def told() -> str:
            return manager.recv(4096).decode().split("\n")[0]

        with Relay(tmp_path / "relay") as relay:
            assert [told(), told()] == ["READY=1", "WATCHDOG=1"]
            monkeypatch.delenv("NOTIFY_SOCKET")
            assert run_command("upgrade", "-c", relay.config).code == 0
            # Before the program goes, as soon as the next one lives, and when it takes mail.
            assert [told(), told(), told(), told()] == ["RELOADING=1", "WATCHDOG=1", "WATCHDOG=1", "READY=1"]
            relay.stop()
            assert told() == "STOPPING=1"


@pytest.mark.parametrize("name", ["test", "other"])
def test_a_socket_that_was_handed_over_is_used_and_outlives_us(
    tmp_path: Path, name: str, make_relay: MakeRelay
) -> None:
    relay = make_relay(tmp_path)
    with socket.create_server(("127.0.0.1", relay.port)) as listening:
        command = (
            f"LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES={name} "
            f"exec {sys.executable} -m postroad serve -c {relay.config} 3<&{listening.fileno()}"
        )
        for round_ in range(2):
            with relay.log_file.open("ab") as log, (tmp_path / "stdout").open("ab") as out:
                process = subprocess.Popen(
                    ["bash", "-c", command], stdout=out, stderr=log, pass_fds=[listening.fileno()]
                )
            try:
                with smtplib.SMTP("127.0.0.1", relay.port, timeout=STOP_SECONDS) as client:
                    client.sendmail("a@example.com", ["b@example.net"], f"Subject: round-{round_}-\r\n\r\nHello\r\n")
                relay.wait_captured(f"round-{round_}-".encode())
                upgraded = run_command("upgrade", "-c", relay.config)  # one process gives it on by its name
                assert upgraded.code == 0 or "process.edges" in upgraded.err
                assert (upgraded.code == 0) is ("edges = 0" in relay.config.read_text())
                assert greets(relay.port)
            finally:
                process.terminate()
                assert process.wait(STOP_SECONDS) == 0
        with socket.create_connection(("127.0.0.1", relay.port), timeout=5):
            pass  # the port stayed open: who connects now waits for the next start
    assert not greets(relay.port)
    relay.check_log()


def test_a_socket_that_nobody_wants_is_told(tmp_path: Path) -> None:
    relay = Relay(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        command = (
            "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=odd "
            f"exec {sys.executable} -m postroad serve -c {relay.config} 3<&{listening.fileno()}"
        )
        out = tmp_path / "stdout"
        with relay.log_file.open("ab") as log, out.open("ab") as stdout:
            process = subprocess.Popen(
                ["bash", "-c", command], stdout=stdout, stderr=log, pass_fds=[listening.fileno()]
            )
        try:
            wait_until(lambda: greets(relay.port), "a greeting")
        finally:
            process.terminate()
            assert process.wait(STOP_SECONDS) == 0
        assert f"a socket that was handed to us: odd 127.0.0.1:{port}" in out.read_text()


def units(folder: Path) -> list[str]:
    """The unit files with the program of this checkout, as the manager would find them."""
    program = Path(sys.executable).parent / "postroad"
    assert program.is_file()
    for unit in UNITS.iterdir():
        (folder / unit.name).write_text(unit.read_text().replace("/usr/bin/postroad", str(program)))
    return sorted(str(unit) for unit in folder.iterdir())


def test_the_units_are_sound(tmp_path: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units(tmp_path)], capture_output=True, text=True, check=False
    )
    told = [line for line in (done.stdout + done.stderr).splitlines() if "postroad" in line]
    assert (done.returncode, told) == (0, [])


def test_the_service_is_exposed_little(tmp_path: Path) -> None:
    (service,) = (unit for unit in units(tmp_path) if unit.endswith(".service"))
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", service],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "SYSTEMD_COLORS": "0"},
    )
    found = re.search(r"Overall exposure level for postroad\.service: ([0-9.]+)", done.stdout)
    assert found, done.stdout
    assert float(found[1]) <= EXPOSED_AT_MOST, done.stdout
