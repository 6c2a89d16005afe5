"""Edges and the courier are killed, stopped and replaced under load: everything that got its 250 arrives.

A client may send again what it got no 250 for; then the message may be there twice, as nobody can know. What was
acknowledged comes twice only around a kill of the courier or of all, at which the next hop's reply may have been lost.
"""

import contextlib
import os
import random
import signal
import smtplib
import socket
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from tests.crash.test_daemon import SENDER, SETTINGS, Client, content_of, number_of, size_of, wait_for_load
from tests.support.command import run_command
from tests.support.processes import Processes, is_alive
from tests.support.relay import QUICK_RETRY, greets, route, wait_until
from tests.support.sink import Sink

CLIENTS = 4
AT_RISK = 64  # messages whose delivery may not have been noted yet at a kill of the courier


class Load:
    """Clients at work, and what they were promised."""

    def __init__(self, port: int) -> None:
        self.clients = [Client(port, f"c{number}", number) for number in range(CLIENTS)]

    def __enter__(self) -> Self:
        for client in self.clients:
            client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        for client in self.clients:
            client.stopped.set()
        for client in self.clients:
            client.join(60)
            assert not client.is_alive()

    @property
    def acknowledged(self) -> set[str]:
        return set[str]().union(*(client.acknowledged for client in self.clients))

    @property
    def begun(self) -> set[str]:
        return set[str]().union(*(client.begun for client in self.clients))


def settled(load: Load, sink: Sink) -> Callable[[], bool]:
    return lambda: load.acknowledged <= {number_of(mail) for mail in sink.mails}


def expect_whole(sink: Sink, load: Load) -> Counter[str]:
    """Nothing arrived that was not sent, and all of it as it was; how often each arrived."""
    for mail in sink.mails:
        assert mail.content.endswith(content_of(number_of(mail), size_of(mail)))
    counted = Counter(number_of(mail) for mail in sink.mails)
    assert set(counted) <= load.begun
    return counted


@pytest.mark.timeout(1800)
def test_edges_and_courier_are_killed_at_random(tmp_path: Path, long_mode: bool) -> None:
    dice = random.Random(20261126)
    kills = 120 if long_mode else 10
    couriers = 0
    with Sink() as sink:
        relay = Processes(tmp_path / "relay", route(f"smtp://127.0.0.1:{sink.port}") + SETTINGS)
        relay.start()
        with Load(relay.port) as load:
            for _ in range(kills):
                wait_for_load(load.clients)
                time.sleep(dice.uniform(0, 0.2))  # a random instant
                name = dice.choice(("edge-1", "edge-2", "courier"))
                couriers += name == "courier"
                relay.hurt_and_wait(name)
        wait_until(settled(load, sink), "everything acknowledged", 120)
        assert relay.stop() == 0
        counted = expect_whole(sink, load)
    relay.check_log()
    assert len(relay.records("ProcessLost")) == kills
    twice = {number for number, count in counted.items() if count > 1}
    assert len(twice) <= AT_RISK * couriers


@pytest.mark.timeout(300)
def test_only_edges_are_killed_and_nothing_acknowledged_comes_twice(tmp_path: Path, long_mode: bool) -> None:
    dice = random.Random(4)
    with Sink() as sink:
        relay = Processes(tmp_path / "relay", route(f"smtp://127.0.0.1:{sink.port}") + SETTINGS)
        relay.start()
        with Load(relay.port) as load:
            for _ in range(60 if long_mode else 6):
                wait_for_load(load.clients)
                time.sleep(dice.uniform(0, 0.2))
                relay.hurt_and_wait(dice.choice(("edge-1", "edge-2")))
        wait_until(settled(load, sink), "everything acknowledged", 120)
        assert relay.stop() == 0
        counted = expect_whole(sink, load)
    relay.check_log()
    assert {number for number, count in counted.items() if count > 1} == set()


def test_an_edge_that_is_stopped_is_replaced_within_a_second_or_so(tmp_path: Path) -> None:
    with Sink() as sink, Processes(tmp_path / "relay", route(f"smtp://127.0.0.1:{sink.port}")) as relay:
        open_sessions = sessions(relay, 12)
        for number, session in enumerate(open_sessions):
            session.sendmail(SENDER, "u@example.net", content_of(f"n{number}", 100))
        began = time.monotonic()
        pid = relay.hurt("edge-1", signal.SIGSTOP)
        relay.wait_for("ProcessStarted", 2, name="edge-1")
        seconds = time.monotonic() - began
        lost = relay.records("ProcessLost", name="edge-1", pid=pid)
        assert "silent for" in lost[0]["reason"]
        assert lost[0]["pause"] == 0
        assert float(lost[0]["reason"].split(" for ")[1].split()[0]) / 1000 + 0.2 >= 0.9
        assert seconds < 10  # on a machine that has nothing else to do: 1.1
        assert not is_alive(pid)
        assert 0 < sum(map(is_open, open_sessions)) < 12
        for session in open_sessions:
            session.close()
        for _ in range(20):
            assert greets(relay.port)
        wait_until(lambda: len(sink.mails) == 12, "everything accepted")


def sessions(relay: Processes, count: int) -> list[smtplib.SMTP]:
    """Open sessions, some with each edge: the kernel deals them out."""
    found = [smtplib.SMTP("127.0.0.1", relay.port, "client.example.org", timeout=30) for _ in range(count)]
    for session in found:
        session.ehlo()
    return found


def is_open(session: smtplib.SMTP) -> bool:
    try:
        return session.noop()[0] == 250
    except (smtplib.SMTPException, OSError):
        return False


@pytest.mark.timeout(900)
def test_kills_in_the_middle_of_reloads_lose_nothing(tmp_path: Path, long_mode: bool) -> None:
    dice = random.Random(26)
    with Sink() as sink:
        more = route(f"smtp://127.0.0.1:{sink.port}") + SETTINGS + "\n[limits]\nhops = 40\n"
        relay = Processes(tmp_path / "relay", more)
        relay.start()
        with Load(relay.port) as load:
            for hops in range(41, 101 if long_mode else 49):
                wait_for_load(load.clients)
                relay.config.write_text(relay.config.read_text().replace(f"hops = {hops - 1}", f"hops = {hops}"))
                os.kill(relay.pid, signal.SIGHUP)
                time.sleep(dice.uniform(0, 0.4))
                victim = dice.choice(relay.children())
                with contextlib.suppress(ProcessLookupError):  # one of an earlier configuration may just have ended
                    os.kill(victim, signal.SIGKILL)
                wait_until(lambda gone=victim: not is_alive(gone), "its end")  # type: ignore[misc]
        wait_until(settled(load, sink), "everything acknowledged", 120)
        wait_until(lambda: run_command("reload", "-c", relay.config).code == 0, "a reload that nobody disturbs", 120)
        assert relay.stop() == 0
        expect_whole(sink, load)
    relay.check_log()


def test_edges_accept_while_there_is_no_courier(tmp_path: Path) -> None:
    with Sink() as sink, Processes(tmp_path / "relay", route(f"smtp://127.0.0.1:{sink.port}")) as relay:
        courier = relay.hurt("courier", signal.SIGSTOP)
        for number in range(40):
            with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
                client.sendmail(SENDER, "u@example.net", content_of(f"n{number}", 400_000 if number % 10 == 0 else 100))
        assert sink.mails == []
        os.kill(courier, signal.SIGKILL)
        wait_until(lambda: len(sink.mails) == 40, "everything accepted")
        relay.wait_for("ProcessLost", name="courier", pid=courier)
        wait_until(relay.is_idle, "the queue to be empty")
        assert Counter(map(number_of, sink.mails)) == Counter(f"n{number}" for number in range(40))


def test_a_courier_that_hangs_is_replaced(tmp_path: Path) -> None:
    with Sink() as sink, Processes(tmp_path / "relay", route(f"smtp://127.0.0.1:{sink.port}")) as relay:
        courier = relay.hurt("courier", signal.SIGSTOP)
        lost = relay.wait_for("ProcessLost", name="courier", pid=courier)
        assert "silent for" in lost[0]["reason"]
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
            client.sendmail(SENDER, "u@example.net", content_of("n1", 100))
        wait_until(lambda: len(sink.mails) == 1, "the mail")


def test_a_killed_supervisor_takes_all_with_it_and_the_next_start_delivers(tmp_path: Path) -> None:
    with Sink() as sink:
        relay = Processes(tmp_path / "relay", route(f"smtp://127.0.0.1:{sink.port}") + SETTINGS)
        relay.start()
        with Load(relay.port) as load:
            for _ in range(3):
                wait_for_load(load.clients)
                children = relay.children()
                assert len(children) == 3
                relay.kill()
                assert not any(map(is_alive, children))
                relay.start()
        wait_until(settled(load, sink), "everything acknowledged", 120)
        assert relay.stop() == 0
        expect_whole(sink, load)
    relay.check_log()


def test_the_number_of_edges_changes_with_mail_waiting(tmp_path: Path) -> None:
    holding = '\n[[routes]]\nrecipients = ["*"]\nthen = "hold"\n'
    with Sink() as sink:
        relay = Processes(tmp_path / "relay", holding, edges=0)
        sent = 0
        for edges in (0, 2, 0, 1, 3):
            relay.set_edges(edges)
            with relay:
                for _ in range(10):
                    with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
                        size = 400_000 if sent % 5 == 0 else 50
                        client.sendmail(SENDER, "u@example.net", content_of(f"n{sent}", size))
                    sent += 1
        relay.config.write_text(relay.config.read_text().replace(holding, route(f"smtp://127.0.0.1:{sink.port}")))
        with relay:
            relay.wait_for("ServerStarted", 6)
            assert run_command("queue", "release", "--all", "--yes", "-c", relay.config).code == 0
            wait_until(lambda: len(sink.mails) == sent, "everything that waited")
            wait_until(lambda: list((relay.data / "spool" / "content").iterdir()) == [], "files to go")
        assert Counter(map(number_of, sink.mails)) == Counter(f"n{number}" for number in range(sent))


def test_a_drain_lets_transactions_end_and_delivers(tmp_path: Path) -> None:
    with Sink() as sink, Processes(tmp_path / "relay", route(f"smtp://127.0.0.1:{sink.port}") + QUICK_RETRY) as relay:
        with socket.create_connection(("127.0.0.1", relay.port), timeout=30) as peer:
            reader = peer.makefile("rb")
            reader.readline()
            for line in (b"HELO c.example", b"MAIL FROM:<a@example.org>", b"RCPT TO:<u@example.net>", b"DATA"):
                peer.sendall(line + b"\r\n")
                reader.readline()
            os.kill(relay.pid, signal.SIGTERM)
            wait_until(lambda: not greets(relay.port), "no new sessions")
            peer.sendall(content_of("last", 100) + b".\r\n")
            assert reader.readline().startswith(b"250")
        assert relay.stop() == 0
        assert [number_of(mail) for mail in sink.mails] == ["last"]
        assert relay.records("ServerStopping")[0]["reason"] == "SIGTERM"
        assert {entry["reason"] for entry in relay.records("ProcessEnded")} == {"exit code 0"}
