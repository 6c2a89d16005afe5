"""A real relay becomes another program while mail flows: nobody is refused, nothing is lost, nothing comes twice."""

import os
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import postroad
from tests.meta.source import TOP
from tests.support.command import run_command
from tests.support.ports import free_port
from tests.support.relay import CAPTURE, STOP_SECONDS, WAIT_SECONDS, Relay, greets, wait_until

UPGRADES = 4 if not os.environ.get("POSTROAD_LONG") else 40
TALKERS = 3
LONGEST_WAIT = 20.0  # seconds for a connection to be greeted, also while nobody accepts; a machine under load is slow


def upgrade(relay: Relay) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "postroad", "upgrade", "-c", str(relay.config)]
    return subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False, timeout=120)


def begin_upgrade(relay: Relay) -> None:
    """Ask for one by the signal, and return when the old program drains."""
    count = len(relay.records("ServerStopping"))
    os.kill(relay.pid, signal.SIGUSR2)
    relay.wait_for("ServerStopping", count + 1, reason="upgrade")


def edit(relay: Relay, old: str, new: str) -> None:
    text = relay.config.read_text()
    assert old in text
    relay.config.write_text(text.replace(old, new))


def replace_program(relay: Relay, version: str) -> None:
    """Install another version: the relay finds its program in its folder first."""
    folder = relay.folder / "postroad"
    shutil.copytree(TOP / "src" / "postroad", folder, ignore=shutil.ignore_patterns("__pycache__"))
    first = folder / "__init__.py"
    text = first.read_text()
    assert postroad.VERSION in text
    first.write_text(text.replace(postroad.VERSION, version))


class Load:
    """Clients that send one message after the other, on one connection or on many, until they are told to end."""

    def __init__(self, relay: Relay, *, pages: Sequence[str]) -> None:
        self.relay = relay
        self.pages = pages
        self.sent: list[str] = []
        self.told_to_come_back = 0
        self.longest = 0.0
        self.faults: list[Exception] = []
        self.enough = threading.Event()
        self.threads = [threading.Thread(target=self._talk, args=(who,)) for who in range(TALKERS)]
        self.threads.append(threading.Thread(target=self._probe))
        for thread in self.threads:
            thread.start()

    def end(self) -> None:
        self.enough.set()
        for thread in self.threads:
            thread.join(STOP_SECONDS)

    def _probe(self) -> None:
        """Whoever asks for a page, of the desk or of the API, gets an answer, all the time."""
        try:
            while not self.enough.is_set():
                for page in self.pages:
                    with urllib.request.urlopen(page, timeout=LONGEST_WAIT) as answer:
                        answer.read()
                self.enough.wait(0.05)
        except OSError as error:  # told by the main thread
            self.faults.append(error)

    def _talk(self, who: int) -> None:
        try:
            number = 0
            while not self.enough.is_set():
                number = self._connection(who, number)
        except (smtplib.SMTPException, OSError) as error:  # told by the main thread
            self.faults.append(error)

    def _connection(self, who: int, number: int) -> int:
        """A connection with some messages; the number of the next. 421 is no fault: the message is sent again.

        A connection that is refused, reset, or greeted with anything but 220 is one.
        """
        began = time.monotonic()
        client = smtplib.SMTP("127.0.0.1", self.relay.port, timeout=LONGEST_WAIT)
        self.longest = max(self.longest, time.monotonic() - began)
        try:
            for _ in range(1 + who * 10):
                marker = f"load-{who}-{number}-"
                client.sendmail("a@example.com", ["b@example.net"], f"Subject: {marker}\r\n\r\nHello\r\n")
                self.sent.append(marker)
                number += 1
            client.docmd("QUIT")
        except smtplib.SMTPResponseException as error:
            if error.smtp_code != 421:
                raise
            self.told_to_come_back += 1
        finally:
            client.close()
        return number


def test_upgrades_under_load_refuse_nobody_and_lose_nothing(tmp_path: Path) -> None:
    desk, api = free_port(), free_port()
    listen = f'\n[desk]\nbind = ["127.0.0.1:{desk}"]\n\n[api]\nbind = ["127.0.0.1:{api}"]\n'
    with Relay(tmp_path, CAPTURE + listen) as relay:
        pid = relay.pid
        load = Load(relay, pages=(f"http://127.0.0.1:{desk}/healthz", f"http://127.0.0.1:{api}/openapi.json"))
        replace_program(relay, "9.8.7")
        for number in range(1, UPGRADES + 1):
            sent = len(load.sent)
            done = upgrade(relay)
            assert done.returncode == 0, done
            assert f"postroad 9.8.7 has taken over from {'9.8.7' if number > 1 else postroad.VERSION}" in done.stdout
            wait_until(lambda sent=sent: len(load.sent) > sent + 20 or load.faults, "mail after the upgrade")  # type: ignore[misc]
        load.end()
        assert not load.faults
        assert relay.pid == pid
        started = relay.wait_for("ServerStarted", 1 + UPGRADES)
        assert [one["version"] for one in started] == [postroad.VERSION, *["9.8.7"] * UPGRADES]
        wait_until(relay.is_idle, "the queue to be empty")
        found = Counter(mail.partition(b"Subject: ")[2].partition(b"\r\n")[0].decode() for mail in relay.captured())
        assert found == Counter(load.sent)
        assert max(found.values()) == 1
        assert load.longest < LONGEST_WAIT


def test_a_transaction_is_finished_and_an_idle_session_is_told(tmp_path: Path) -> None:
    with Relay(tmp_path) as relay:
        idle = smtplib.SMTP("127.0.0.1", relay.port, timeout=WAIT_SECONDS)
        busy = smtplib.SMTP("127.0.0.1", relay.port, timeout=WAIT_SECONDS)
        idle.ehlo()
        busy.ehlo()
        busy.mail("a@example.com")
        begin_upgrade(relay)
        assert idle.getreply()[0] == 421
        late = socket.create_connection(("127.0.0.1", relay.port), timeout=WAIT_SECONDS)
        assert busy.rcpt("b@example.net")[0] == 250
        assert busy.data("Subject: busy-\r\n\r\nHello\r\n")[0] == 250
        assert busy.getreply()[0] == 421
        assert late.recv(512).startswith(b"220")
        late.close()
        idle.close()
        busy.close()
        relay.wait_captured(b"busy-")
        relay.wait_for("ServerStarted", 2)


def test_what_is_broken_changes_nothing_and_says_why(tmp_path: Path) -> None:
    with Relay(tmp_path) as relay:
        sound = relay.config.read_text()
        edit(relay, "[access]", "[access]\nrelay_domians = []")
        done = run_command("upgrade", "-c", relay.config)
        assert done.code == 78
        assert "relay_domians" in done.err
        assert "the server goes on as it was" in done.err
        os.kill(relay.pid, signal.SIGUSR2)
        refused = relay.wait_for("ConfigRefused", 2)
        assert [one["by"].partition(",")[2] for one in refused] == [" to upgrade"] * 2
        assert any("relay_domians" in line for line in refused[1]["problems"])

        relay.config.write_text(sound.replace(str(relay.data), str(tmp_path / "other")))
        os.kill(relay.pid, signal.SIGUSR2)  # the command would look for the server in the other folder
        problems = relay.wait_for("ConfigRefused", 3)[2]["problems"]
        assert f"mail that waits lies in {relay.data}" in problems[0]

        relay.config.write_text(sound)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            edit(relay, "[access]", f'[listeners.more]\nbind = ["127.0.0.1:{port}"]\n\n[access]')
            done = run_command("upgrade", "-c", relay.config)
            assert done.code == 78
            assert f'listeners.more.bind[0]: cannot listen on "127.0.0.1:{port}": Address already in use' in done.err

        relay.config.write_text(sound)
        (relay.folder / "postroad").mkdir()
        (relay.folder / "postroad" / "__init__.py").write_text("raise RuntimeError('half a program')\n")
        done = run_command("upgrade", "-c", relay.config)
        assert done.code == 78
        assert "half a program" in done.err
        shutil.rmtree(relay.folder / "postroad")

        with smtplib.SMTP("127.0.0.1", relay.port, timeout=WAIT_SECONDS) as client:
            client.sendmail("a@example.com", ["b@example.net"], "Subject: still-here-\r\n\r\nHello\r\n")
        relay.wait_captured(b"still-here-")
        assert len(relay.records("ServerStarted")) == 1


def test_listeners_come_and_go_and_what_a_reload_cannot_change_does(tmp_path: Path) -> None:
    second, desk = free_port(), free_port()
    with Relay(tmp_path) as relay:
        edit(relay, f'bind = ["127.0.0.1:{relay.port}"]', f'bind = ["127.0.0.1:{second}"]')
        with relay.config.open("a") as more:
            more.write(f'\n[desk]\nbind = ["127.0.0.1:{desk}"]\n\n[drops]\nfolder = "elsewhere"\n')
        done = run_command("upgrade", "-c", relay.config)
        assert done.code == 0, done
        assert greets(second)
        assert not greets(relay.port)
        with urllib.request.urlopen(f"http://127.0.0.1:{desk}/healthz", timeout=WAIT_SECONDS) as answer:
            assert answer.status == 200
        assert (relay.data / "elsewhere" / "new").is_dir()


def test_a_wish_to_stop_comes_before_the_upgrade(tmp_path: Path) -> None:
    with Relay(tmp_path) as relay:
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=WAIT_SECONDS) as client:
            client.ehlo()
            client.mail("a@example.com")
            begin_upgrade(relay)
            assert relay.stop() == 0
            client.close()
        assert not greets(relay.port)
        assert len(relay.records("ServerStarted")) == 1


def test_nobody_to_upgrade(tmp_path: Path) -> None:
    relay = Relay(tmp_path)
    relay.data.mkdir()
    done = run_command("upgrade", "-c", relay.config)
    assert done.code == 69
    assert "the server does not run" in done.err
