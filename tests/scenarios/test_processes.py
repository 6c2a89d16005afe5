"""Several processes that serve as one: limits over all of them, metrics of all, signals, a start that fails."""

import contextlib
import os
import signal
import smtplib
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.command import run_command
from tests.support.ports import free_port
from tests.support.processes import Processes, is_alive, keep_records
from tests.support.relay import CAPTURE, greets, wait_until


def greeting(port: int) -> tuple[socket.socket, bytes]:
    """A connection, and what it is greeted with."""
    peer = socket.create_connection(("127.0.0.1", port), timeout=30)
    return peer, peer.recv(512)


def test_sessions_of_one_address_are_counted_over_all_edges(tmp_path: Path) -> None:
    with (
        Processes(tmp_path, f"{CAPTURE}\n[limits]\nsessions_per_ip = 3\n", edges=3) as relay,
        contextlib.ExitStack() as stack,
    ):
        relay.wait_for("ConnectionClosed")  # the probe of the start
        for round_ in range(3):
            codes = []
            for _ in range(12):
                peer, said = greeting(relay.port)
                stack.callback(peer.close)
                codes.append(said[:3])
            assert codes.count(b"220") == (3 if round_ == 0 else 0)
            assert codes.count(b"421") == 12 - codes.count(b"220")
        # An edge that dies takes its sessions with it, and not those of the others.
        for name in ("edge-1", "edge-2", "edge-3"):
            relay.hurt_and_wait(name)
        again = [greeting(relay.port) for _ in range(3)]
        for peer, _ in again:
            stack.callback(peer.close)
        assert [said[:3] for _, said in again] == [b"220"] * 3


def test_sessions_in_all_are_counted_over_all_edges(tmp_path: Path) -> None:
    with Processes(tmp_path, f"{CAPTURE}\n[limits]\nsessions = 4\n") as relay, contextlib.ExitStack() as stack:
        relay.wait_for("ConnectionClosed")  # the probe of the start
        said = []
        for _ in range(4):
            peer, greeted = greeting(relay.port)
            stack.callback(peer.close)
            said.append(greeted[:3])
        assert said == [b"220"] * 4
        peer, greeted = greeting(relay.port)
        stack.callback(peer.close)
        assert greeted.startswith(b"421 4.3.2")


def test_a_second_signal_cuts_the_drain_short(tmp_path: Path) -> None:
    with Processes(tmp_path) as relay, smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        client.ehlo()
        client.mail("a@example.com")
        client.rcpt("b@example.net")
        assert client.docmd("DATA")[0] == 354
        began = time.monotonic()
        os.kill(relay.pid, signal.SIGTERM)
        relay.wait_for("ServerStopping")
        os.kill(relay.pid, signal.SIGINT)
        assert relay.stop() == 0
        assert time.monotonic() - began < 20
        client.close()


def test_an_upgrade_is_refused_and_everything_goes_on(tmp_path: Path) -> None:
    with Processes(tmp_path) as relay:
        children = relay.children()
        os.kill(relay.pid, signal.SIGUSR2)
        relay.wait_for("ConfigRefused", by="SIGUSR2")
        assert run_command("upgrade", "-c", relay.config).code != 0
        assert relay.children() == children
        assert greets(relay.port)


def test_a_port_that_is_taken_is_told_and_nothing_starts(tmp_path: Path) -> None:
    with Processes(tmp_path / "one") as first:
        config = tmp_path / "two.toml"
        text = first.config.read_text().replace(str(first.data), str(tmp_path / "two"))
        config.write_text(text)
        done = run_in_another(config)
        assert done[0] == 78
        assert f"listeners.test.bind: cannot listen on 127.0.0.1:{first.port}: Address already in use" in done[1]
        assert greets(first.port)
        assert len(first.children()) == 3


def test_a_spool_that_is_in_use_is_told_and_nothing_starts(tmp_path: Path) -> None:
    with Processes(tmp_path / "one") as first:
        config = tmp_path / "two.toml"
        config.write_text(first.config.read_text().replace(str(first.port), str(free_port())))
        done = run_in_another(config)
        assert done[0] == 69
        assert f"in use by another process (pid {first.pid})" in done[1]


def run_in_another(config: Path) -> tuple[int, str]:
    """Exit code and complaints of a server that does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "postroad", "serve", "-c", str(config)], capture_output=True, timeout=60, check=False
    )
    return done.returncode, done.stderr.decode()


def test_what_an_edge_cannot_have_ends_the_start(tmp_path: Path) -> None:
    """A folder where its journal should be: the courier works, and no edge ever will."""
    relay = Processes(tmp_path)
    with relay:
        pass
    place = relay.data / "spool" / "journal" / "edge-1"
    for path in place.iterdir():
        path.unlink()
    place.rmdir()
    place.write_text("no folder")
    code, said = run_in_another(relay.config)
    assert code == 69
    assert "edge-1" in said


def test_an_edge_that_cannot_start_is_tried_with_growing_pauses(tmp_path: Path) -> None:
    with Processes(tmp_path) as relay:
        before = relay.pid_of("edge-2")
        place = relay.data / "spool" / "journal" / "edge-1"
        aside = tmp_path / "aside"
        place.rename(aside)
        place.write_text("no folder")
        relay.hurt("edge-1")
        lost = relay.wait_for("ProcessLost", 5, name="edge-1")
        pauses = [entry["pause"] for entry in lost[:5]]
        assert pauses[0] == 0
        assert pauses == sorted(pauses)
        assert pauses[-1] >= 1
        assert is_alive(before)
        began = time.monotonic()
        for _ in range(20):  # some of them come to the socket of the missing one
            peer, said = greeting(relay.port)
            peer.close()
            assert said.startswith(b"220")
        assert time.monotonic() - began < 15
        place.unlink()
        aside.rename(place)
        relay.wait_for("ProcessStarted", 2, name="edge-1")
        keep_records(relay)


def test_sessions_outlive_reloads_up_to_a_bound(tmp_path: Path) -> None:
    with Processes(tmp_path, f"{CAPTURE}\n[limits]\nhops = 40\n", edges=1) as relay, contextlib.ExitStack() as stack:
        clients = []
        for hops in range(41, 47):
            client = smtplib.SMTP("127.0.0.1", relay.port, timeout=30)
            stack.callback(client.close)
            client.ehlo()
            clients.append(client)
            relay.config.write_text(relay.config.read_text().replace(f"hops = {hops - 1}", f"hops = {hops}"))
            assert run_command("reload", "-c", relay.config).code == 0
            assert len(relay.children()) <= 1 + 4
        for client in clients[-3:]:
            client.sendmail("a@example.com", ["b@example.net"], "Subject: outlived\r\n\r\nHello\r\n")
        relay.wait_captured(b"outlived", 3)
        with pytest.raises(smtplib.SMTPException):
            clients[0].sendmail("a@example.com", ["b@example.net"], "Subject: x\r\n\r\nHello\r\n")


def test_a_reload_is_done_when_no_old_edge_accepts(tmp_path: Path) -> None:
    """Whom the kernel would deal a connection until then: an edge that is stopped has not closed its sockets yet."""
    relay = Processes(tmp_path, f"{CAPTURE}\n[limits]\nrecipients_per_message = 1000\n")
    relay.config.write_text(relay.config.read_text() + 'hang_after = "1m"\n')
    with relay:
        relay.config.write_text(
            relay.config.read_text().replace("recipients_per_message = 1000", "recipients_per_message = 1234")
        )
        stopped = relay.pid_of("edge-1")
        os.kill(stopped, signal.SIGSTOP)
        command = [sys.executable, "-m", "postroad", "reload", "-c", str(relay.config)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as reload:
            try:
                relay.wait_for("ProcessStarted", 5)
                with pytest.raises(subprocess.TimeoutExpired):
                    reload.wait(1.0)
            finally:
                os.kill(stopped, signal.SIGCONT)
            assert reload.wait(60) == 0
        for _ in range(8):
            with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
                assert b"RCPTMAX=1234" in client.ehlo()[1]


def test_without_room_edges_take_no_mail(tmp_path: Path) -> None:
    with (
        Processes(tmp_path, f'{CAPTURE}\n[spool]\nfree_space = "9000TiB"\n') as relay,
        smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client,
    ):
        client.ehlo()
        assert client.mail("a@example.com")[0] == 452
        assert len(relay.wait_for("SpoolFull")) == 1  # told by the courier alone


def test_the_control_socket_answers_while_edges_take_mail(tmp_path: Path) -> None:
    holding = '\n[[routes]]\nrecipients = ["*"]\nthen = "hold"\n'
    with Processes(tmp_path, holding) as relay:
        for number in range(6):
            with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
                client.sendmail("a@example.com", ["b@example.net"], f"Subject: {number}\r\n\r\nHello\r\n")
        relay.wait_for("RecipientHeld", 6)
        done = run_command("queue", "drop", "--all", "--yes", "-c", relay.config)
        assert done.code == 0
        wait_until(relay.is_idle, "the queue to be empty")
