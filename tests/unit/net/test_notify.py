"""What the service manager is told, over a real datagram socket."""

import os
import socket
from pathlib import Path

import pytest

from postroad.net.process.notify import Notifier
from tests.support.clock import ManualClock


def manager(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(str(path))
    listening.setblocking(False)
    return listening


def heard(listening: socket.socket) -> list[list[str]]:
    found = []
    while True:
        try:
            found.append(listening.recv(4096).decode().split("\n"))
        except BlockingIOError:
            return found


def test_a_life_is_told_with_signs_of_it(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    clock = ManualClock()
    environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid()), "A": "b"}
    with manager(path) as listening:
        notifier = Notifier(environment, clock)
        assert environment == {"A": "b"}
        clock.advance(10)
        assert heard(listening) == []
        notifier.ready("running")
        assert heard(listening) == [["READY=1", "STATUS=running"], ["WATCHDOG=1"]]
        clock.advance(3)
        assert heard(listening) == [["WATCHDOG=1"]] * 3
        notifier.reloading()
        assert heard(listening) == [["RELOADING=1", "MONOTONIC_USEC=1013000000"]]
        notifier.ready("two\nlines")
        assert heard(listening) == [["READY=1", "STATUS=two lines"]]
        notifier.stopping()
        clock.advance(1)
        assert heard(listening) == [["STOPPING=1"], ["WATCHDOG=1"]]
        notifier.close()
        clock.advance(10)
        notifier.stopping()
        assert heard(listening) == []


@pytest.mark.parametrize("pid", ["1", "x"])
def test_a_watchdog_of_another_process_is_not_ours(tmp_path: Path, pid: str) -> None:
    path = tmp_path / "notify"
    clock = ManualClock()
    with manager(path) as listening:
        notifier = Notifier({"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "100", "WATCHDOG_PID": pid}, clock)
        notifier.ready("running")
        clock.advance(10)
        assert heard(listening) == [["READY=1", "STATUS=running"]]
        notifier.close()


def test_an_abstract_address(tmp_path: Path) -> None:
    name = f"postroad-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        notifier = Notifier({"NOTIFY_SOCKET": f"@{name}"}, ManualClock())
        notifier.stopping()
        assert listening.recv(100) == b"STOPPING=1"
        notifier.close()


def test_without_a_manager_and_with_one_that_is_gone_nothing_happens(tmp_path: Path) -> None:
    for environment in ({}, {"NOTIFY_SOCKET": str(tmp_path / "nobody")}, {"NOTIFY_SOCKET": "vsock:2:1"}):
        notifier = Notifier(dict(environment), ManualClock())
        notifier.ready("running")
        notifier.stopping()
        notifier.close()
