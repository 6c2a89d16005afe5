"""A real relay whose configuration changes while mail flows: nothing is lost, no session breaks."""

import json
import os
import pty
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from tests.support.command import run_command
from tests.support.ports import free_port
from tests.support.processes import MakeRelay
from tests.support.relay import CAPTURE, STOP_SECONDS, Relay, greets, wait_until

LOADS = 150 if not os.environ.get("POSTROAD_LONG") else 3000


def edit(relay: Relay, old: str, new: str) -> None:
    """Replace text in the configuration, in one step as an editor does."""
    text = relay.config.read_text()
    assert old in text
    fresh = relay.config.with_suffix(".new")
    fresh.write_text(text.replace(old, new))
    fresh.rename(relay.config)


def add(relay: Relay, more: str) -> None:
    edit(relay, "\n[access]", f"\n{more}\n[access]")


def send(client: smtplib.SMTP, marker: str) -> None:
    client.sendmail("a@example.com", ["b@example.net"], f"Subject: {marker}\r\n\r\nHello\r\n")


def hang_up(relay: Relay) -> None:
    os.kill(relay.pid, signal.SIGHUP)


def open_files(relay: Relay) -> int:
    return len(list(Path(f"/proc/{relay.pid}/fd").iterdir()))


def wait_reloads(relay: Relay, count: int) -> None:
    """Return once that many reloads are done; none may be refused."""
    wait_until(lambda: len(relay.records("ConfigReloaded") + relay.records("ConfigRefused")) >= count, "a reload")
    assert not relay.records("ConfigRefused")


def test_reloads_under_load_lose_nothing_and_break_no_session(tmp_path: Path, make_relay: MakeRelay) -> None:
    with make_relay(tmp_path) as relay:
        text = relay.config.read_text()
        more = '[limits]\nhops = 40\n\n[queue]\nwindow = 5000\n\n[delivery]\ncommand_timeout = "3m"\n\n[access]'
        other = text.replace("[access]", more)
        other = other.replace("[[routes]]", '[[routes]]\nrecipients = ["b.example"]\nthen = "hold"\n\n[[routes]]')
        other += '\n[[shaping]]\nconcurrency = 3\nrates = ["1000000/minute"]\n'
        faults: list[Exception] = []
        done = threading.Event()

        def talk(who: int) -> None:
            try:
                with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
                    for number in range(LOADS):
                        send(client, f"load-{who}-{number}-")
                        if number % 50 == 49:
                            with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as another:
                                send(another, f"more-{who}-{number}-")
            except (smtplib.SMTPException, OSError) as error:  # told by the main thread
                faults.append(error)

        talkers = [threading.Thread(target=talk, args=(who,)) for who in range(4)]
        for talker in talkers:
            talker.start()
        reloads = 0
        while any(talker.is_alive() for talker in talkers) or reloads < 10:
            reloads += 1
            fresh = relay.config.with_suffix(".new")
            fresh.write_text(other if reloads % 2 else text)
            fresh.rename(relay.config)
            hang_up(relay)
            wait_reloads(relay, reloads)
            done.wait(0.1)
        for talker in talkers:
            talker.join()
        assert not faults
        wait_until(relay.is_idle, "the queue to be empty")
        wanted = {f"load-{who}-{number}-" for who in range(4) for number in range(LOADS)}
        wanted |= {f"more-{who}-{number}-" for who in range(4) for number in range(49, LOADS, 50)}
        found = Counter(mail.partition(b"Subject: ")[2].partition(b"\r\n")[0].decode() for mail in relay.captured())
        assert set(found) == wanted
        assert set(found.values()) == {1}
        assert any("limits.hops: 50 -> 40" in entry["changes"] for entry in relay.records("ConfigReloaded"))


def test_listeners_come_and_go_and_sessions_stay(tmp_path: Path, make_relay: MakeRelay) -> None:
    with make_relay(tmp_path) as relay:
        second = free_port()
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as early:
            early.ehlo()
            add(relay, f'[listeners.more]\nbind = ["127.0.0.1:{second}"]')
            done = run_command("reload", "-c", relay.config)
            assert done.code == 0, done
            assert f'listeners.more: (not there) -> {{ bind = ["127.0.0.1:{second}"] }}' in done.out
            assert greets(second)
            with smtplib.SMTP("127.0.0.1", second, timeout=30) as late:
                edit(relay, f'[listeners.test]\nbind = ["127.0.0.1:{relay.port}"]', "")
                assert run_command("reload", "-c", relay.config).code == 0
                # Edges that leave close it when their event loop hears of it, a moment after the answer.
                wait_until(lambda: not greets(relay.port), "the address to be closed")
                send(early, "early-")
                send(late, "late-")
        relay.wait_captured(b"early-")
        relay.wait_captured(b"late-")
        sessions = {entry["listener"]: entry["reason"] for entry in relay.wait_for("ConnectionClosed", 3)}
        assert set(sessions) == {"test", "more"}


def test_who_may_relay_changes_for_the_next_session(tmp_path: Path, make_relay: MakeRelay) -> None:
    with make_relay(tmp_path) as relay:
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as early:
            early.ehlo()
            edit(relay, '"127.0.0.0/8"', '"192.0.2.0/24"')
            assert run_command("reload", "-c", relay.config).code == 0
            send(early, "early-")
            with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as late:
                late.ehlo()
                late.mail("a@example.com")
                assert late.rcpt("b@example.net")[0] == 554
        relay.wait_captured(b"early-")


def test_a_broken_file_changes_nothing_and_says_why(tmp_path: Path, make_relay: MakeRelay) -> None:
    with make_relay(tmp_path) as relay:
        sound = relay.config.read_text()
        edit(relay, "[access]", "[limits]\nsessions = -5\n\n[access]\nrelay_domians = []")
        done = run_command("reload", "-c", relay.config)
        assert done.code == 78
        assert "relay_domians" in done.err
        assert "sessions" in done.err
        assert "the configuration in force stays" in done.err
        (refused,) = relay.wait_for("ConfigRefused")
        assert any("relay_domians" in line for line in refused["problems"])
        assert refused["by"].startswith("user ")
        relay.config.write_text(sound + "\n[[[")
        assert run_command("reload", "-c", relay.config).code == 78
        hang_up(relay)
        assert relay.wait_for("ConfigRefused", 3)[2]["by"] == "SIGHUP"
        relay.config.unlink()
        hang_up(relay)
        relay.wait_for("ConfigRefused", 4)
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
            send(client, "still-here-")
        relay.wait_captured(b"still-here-")
        relay.config.write_text(sound)


def test_an_address_that_is_taken_refuses_the_whole_reload(tmp_path: Path, make_relay: MakeRelay) -> None:
    with make_relay(tmp_path) as relay, socket.create_server(("127.0.0.1", 0)) as taken:
        free = free_port()
        port = taken.getsockname()[1]
        add(relay, f'[listeners.more]\nbind = ["127.0.0.1:{free}", "127.0.0.1:{port}"]')
        edit(relay, '"127.0.0.0/8"', '"192.0.2.0/24"')
        done = run_command("reload", "-c", relay.config)
        assert done.code == 78
        assert f"listeners.more.bind: cannot listen on 127.0.0.1:{port}: " in done.err
        assert not greets(free)
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
            send(client, "as-before-")
        relay.wait_captured(b"as-before-")


def test_what_only_a_start_can_change_is_named(tmp_path: Path, make_relay: MakeRelay) -> None:
    with make_relay(tmp_path) as relay:
        edit(relay, "[access]", '[spool]\nfree_space = "2GiB"\n\n[limits]\nhops = 60\n\n[access]')
        done = run_command("reload", "-c", relay.config)
        assert done.code == 0, done
        assert "warning: spool.free_space stays as it is: " in done.err
        assert "changed: limits.hops: 50 -> 60" in done.out
        (entry,) = relay.wait_for("ConfigReloaded")
        assert entry["kept"] == ["spool.free_space"]
        assert entry["changes"] == ["limits.hops: 50 -> 60"]
        shown = run_command("check", "--diff", "-c", relay.config)
        assert (shown.code, "not before a restart: spool.free_space" in shown.out) == (0, True)
        edit(relay, json.dumps(str(relay.data)), json.dumps(str(tmp_path / "elsewhere")))
        hang_up(relay)
        (refused,) = relay.wait_for("ConfigRefused")
        assert "data_dir cannot change while the server runs" in refused["problems"][0]


def test_check_diff_shows_and_changes_nothing(tmp_path: Path, make_relay: MakeRelay) -> None:
    secret = "socks5://user:first-secret@127.0.0.1:1080"
    more = f'\n[sources.out]\nproxy = "{secret}"\n'
    with make_relay(tmp_path, CAPTURE + more) as relay:
        assert run_command("check", "--diff", "-c", relay.config).out.endswith("a reload would change nothing\n")
        edit(relay, "first-secret", "second-secret")
        edit(relay, 'format = "json"', 'format = "text"')
        done = run_command("check", "--diff", "-c", relay.config)
        assert done.code == 0, done
        assert 'would change: log.format: "json" -> "text"' in done.out
        assert "would change: sources.out.proxy: (secret) -> (another secret)" in done.out
        assert "-secret" not in done.out + done.err
        listed = json.loads(run_command("check", "--diff", "--json", "-c", relay.config).out)
        assert {change["option"] for change in listed["changes"]} == {"log.format", "sources.out.proxy"}
        assert not relay.records("ConfigReloaded")
        edit(relay, 'format = "text"', 'format = "json"')
    done = run_command("check", "--diff", "-c", relay.config)
    assert done.code == 69
    assert "the server does not run" in done.err


def test_waiting_mail_follows_the_new_routes_and_running_deliveries_end(tmp_path: Path, make_relay: MakeRelay) -> None:
    away = '\n[[routes]]\nrecipients = ["*"]\nnext_hops = ["smtp://127.0.0.1:9"]\n\n[queue]\nretry = ["1s"]\n'
    with make_relay(tmp_path, away) as relay:
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
            send(client, "waits-")
        relay.wait_for("RecipientDeferred")
        edit(relay, '"smtp://127.0.0.1:9"', '"capture:"')
        edit(relay, 'retry = ["1s"]', 'retry = ["1s"]\nsuspend = ["1s"]')
        started = time.monotonic()
        hang_up(relay)
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
            relay.wait_for("ConfigReloaded")
            send(client, "comes-")
        relay.wait_captured(b"comes-")
        assert time.monotonic() - started < 30


def test_aliases_change_and_running_sessions_keep_theirs(tmp_path: Path, make_relay: MakeRelay) -> None:
    table = '\n[[aliases]]\nentries = { "info@example.net" = ["first@example.net"] }\n'
    with make_relay(tmp_path, CAPTURE + table) as relay:
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as early:
            early.ehlo()
            edit(relay, "first@example.net", "second@example.net")
            assert run_command("reload", "-c", relay.config).code == 0
            early.sendmail("a@example.com", ["info@example.net"], "Subject: early-\r\n\r\nHello\r\n")
            with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as late:
                late.sendmail("a@example.com", ["info@example.net"], "Subject: late-\r\n\r\nHello\r\n")
        relay.wait_for("RecipientDelivered", recipient="first@example.net")
        relay.wait_for("RecipientDelivered", recipient="second@example.net")
        edit(relay, '"second@example.net"', '"not an address"')
        assert run_command("reload", "-c", relay.config).code == 78


def test_the_log_changes_its_format_between_two_records(tmp_path: Path, make_relay: MakeRelay) -> None:
    with make_relay(tmp_path) as relay:
        edit(relay, 'format = "json"', 'format = "text"')
        assert run_command("reload", "-c", relay.config).code == 0
        relay.log_format = "text"
        wait_until(lambda: 'log.format: "json" -> "text"' in relay.log_file.read_text(), "the record of the reload")
        first, *_, last = relay.log_file.read_text().splitlines()
        assert (first[0], last[0]) == ("{", "2")


def test_nothing_is_left_open_by_many_reloads(tmp_path: Path, make_relay: MakeRelay) -> None:
    with make_relay(tmp_path) as relay:
        before = 0
        for step in range(20):
            old, new = ("127.0.0.1:9", "127.0.0.1:10") if step % 2 == 0 else ("127.0.0.1:10", "127.0.0.1:9")
            edit(relay, old, new)
            assert run_command("reload", "-c", relay.config).code == 0
            if step == 0:
                before = open_files(relay)
        assert open_files(relay) <= before + 2


def test_a_terminal_that_goes_ends_the_server_in_it(tmp_path: Path, make_relay: MakeRelay) -> None:
    relay = make_relay(tmp_path)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "postroad", "serve", "-c", str(relay.config)],
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        wait_until(lambda: greets(relay.port), "a greeting")
        process.send_signal(signal.SIGHUP)
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
            send(client, "after-a-reload-")
        relay.wait_captured(b"after-a-reload-")
        os.close(ours)
        process.send_signal(signal.SIGHUP)
        assert process.wait(STOP_SECONDS) == 0
    finally:
        process.kill()
        process.wait(STOP_SECONDS)
