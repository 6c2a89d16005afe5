"""The disk fills up under a running relay: new mail is put off before its content, and nothing is lost.

When there is room again, mail is taken again, without anybody's help. The data folder lies on a small tmpfs
mounted for the test (root needed). The next hop is down at first, so that what was accepted before the disk
filled must survive on it.
"""

import contextlib
import smtplib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from tests.support.ports import free_port
from tests.support.relay import QUICK_RETRY, Relay, route, wait_until
from tests.support.sink import Sink

SIZE = 48 << 20
FLOOR = 16 << 20
SENDER = "alice@example.org"
RECIPIENT = "bob@example.net"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)], check=True, timeout=30)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=30)


def settings(*, floor: int, port: int) -> str:
    spool = f'\n[spool]\nfree_space = {floor}\nsegment_size = "1MiB"\n'
    return route(f"smtp://127.0.0.1:{port}") + QUICK_RETRY + spool


def message(number: int, size: int = 100_000) -> bytes:
    return f"Subject: {number}\r\nX-Number: {number}\r\n\r\n".encode() + b"x" * 76 + b"\r\n" + b"line\r\n" * (size // 6)


def numbers(sink: Sink) -> list[int]:
    """The numbers of the messages at the sink, in order of arrival."""
    return [int(mail.content.split(b"X-Number: ")[1].split(b"\r\n")[0]) for mail in sink.mails]


def fill(disk: Path, leave: int) -> Path:
    """Take all space of the disk but `leave` octets with one file."""
    ballast = disk / "ballast"
    with ballast.open("wb") as out, contextlib.suppress(OSError):
        while True:
            out.write(b"\0" * 65536)
            out.flush()
    free = ballast.stat().st_size - leave
    with ballast.open("r+b") as out:
        out.truncate(max(free, 0))
    return ballast


def try_to_send(port: int, number: int, recipient: str = RECIPIENT) -> tuple[str, int, bytes]:
    """(where it ended: mail, data or done; code; text) of one attempt."""
    with smtplib.SMTP("127.0.0.1", port, "client.example.org", timeout=60) as client:
        client.ehlo()
        code, text = client.mail(SENDER)
        if code != 250:
            return "mail", code, text
        client.rcpt(recipient)
        code, text = client.docmd("DATA")
        if code != 354:
            return "data", code, text
        client.send(message(number) + b".\r\n")
        code, text = client.getreply()
        return "done", code, text


def test_under_the_floor_mail_is_put_off_before_its_content(tmp_path: Path, small_disk: Path) -> None:
    with Sink() as sink:
        with Relay(tmp_path / "relay", settings(floor=FLOOR, port=sink.port), data=small_disk / "data") as relay:
            assert try_to_send(relay.port, 1)[:2] == ("done", 250)
            ballast = fill(small_disk, FLOOR // 2)
            relay.wait_for("SpoolFull")
            where, code, text = try_to_send(relay.port, 2)
            assert (where, code) == ("mail", 452)
            assert text.startswith(b"4.3.1 ")
            ballast.unlink()
            relay.wait_for("SpoolHasRoom")
            assert try_to_send(relay.port, 3)[:2] == ("done", 250)
            wait_until(relay.is_idle, "an empty queue")
        assert relay.log_file.exists()
    assert numbers(sink) == [1, 3]


def test_a_disk_without_a_free_octet_loses_nothing(tmp_path: Path, small_disk: Path) -> None:
    """No floor: the writes themselves fail. Everything that got its 250 arrives once there is room again."""
    port = free_port()
    accepted: list[int] = []
    refusals: set[tuple[int, bytes]] = set()
    relay = Relay(tmp_path / "relay", settings(floor=0, port=port), data=small_disk / "data")
    with relay:
        fill(small_disk, 3 << 20)
        for number in range(60):
            _, code, text = try_to_send(relay.port, number)
            if code == 250:
                accepted.append(number)
            else:
                refusals.add((code, text.split()[0]))
        assert accepted
        assert refusals
        assert refusals <= {(452, b"4.3.1")}
        (small_disk / "ballast").unlink()
        wait_until(lambda: try_to_send(relay.port, 1000)[1] == 250, "mail to be taken again")
        relay.kill()  # what was accepted must be on the disk, not in memory
    with Sink() as sink:
        replaced = relay.config.read_text().replace(f"smtp://127.0.0.1:{port}", f"smtp://127.0.0.1:{sink.port}")
        relay.config.write_text(replaced)
        with relay:
            wait_until(lambda: {*accepted, 1000} <= set(numbers(sink)), "everything accepted at the sink", 60)
            wait_until(relay.is_idle, "an empty queue", 60)
    assert sorted(set(numbers(sink))) == [*accepted, 1000]


def test_a_relay_starts_on_a_disk_without_a_free_octet(tmp_path: Path, small_disk: Path) -> None:
    """Its index has to be opened, and to be brought up to date: what was accepted is delivered before there is room."""
    port = free_port()
    relay = Relay(tmp_path / "relay", settings(floor=FLOOR, port=port), data=small_disk / "data")
    with relay:
        for number in range(10):
            assert try_to_send(relay.port, number)[1] == 250
        relay.wait_for("RecipientDeferred", 10)
        assert (relay.data / "spool" / "reserve").exists()
    fill(small_disk, 0)
    with Sink(port=port) as sink, relay:
        wait_until(lambda: len(numbers(sink)) >= 10, "everything at the sink", 60)
        assert try_to_send(relay.port, 99)[1] == 452
        (small_disk / "ballast").unlink()
        wait_until(relay.is_idle, "an empty queue", 60)
    assert sorted(set(numbers(sink))) == list(range(10))


def test_a_spool_full_of_finished_mail_makes_room_by_itself(tmp_path: Path, small_disk: Path) -> None:
    """A little mail that waits in every segment keeps none of them once room is needed, not a minute later."""
    dead = free_port()
    waiting = route(f"smtp://127.0.0.1:{dead}", recipients=["dead.example"])
    with Sink() as sink:
        more = waiting + settings(floor=FLOOR, port=sink.port)
        with Relay(tmp_path / "relay", more, data=small_disk / "data") as relay:
            accepted: list[int] = []
            code, number = 250, 0
            while code == 250:
                number += 1
                _, code, _ = try_to_send(relay.port, number, "a@dead.example" if number % 10 == 0 else RECIPIENT)
                accepted += [number] if code == 250 else []
            assert code == 452
            assert len(accepted) > 100
            wait_until(lambda: try_to_send(relay.port, 10_000)[1] == 250, "room, without anybody's help")
            with Sink(port=dead) as other:
                late = [one for one in accepted if one % 10 == 0]
                wait_until(lambda: set(late) == set(numbers(other)), "the mail that waited", 60)
                wait_until(relay.is_idle, "an empty queue", 60)
    assert sorted(numbers(sink)) == [one for one in accepted if one % 10] + [10_000]


def test_the_queue_goes_on_by_itself_after_the_disk_was_full(tmp_path: Path, small_disk: Path) -> None:
    """Not an octet for the index either, while mail waits; nobody sends anything new and nobody restarts anything."""
    port = free_port()
    with Relay(tmp_path / "relay", settings(floor=0, port=port), data=small_disk / "data") as relay:
        for number in range(10):
            assert try_to_send(relay.port, number)[1] == 250
        relay.wait_for("RecipientDeferred", 10)
        fill(small_disk, 0)
        wait_until(lambda: try_to_send(relay.port, 99)[1] == 452, "mail to be refused")
        (small_disk / "ballast").rename(small_disk / "first")
        fill(small_disk, 0)  # what the relay had kept back is gone, too
        wait_until(
            lambda: relay.records("SpoolFaulted") or len(relay.records("RecipientDeferred")) > 40,
            "the index to be full, or the queue to go on without it",
        )
        time.sleep(3)  # longer than the pauses of lane and recipients: whatever was to wake the queue has come
        for ballast in ("first", "ballast"):
            (small_disk / ballast).unlink()
        with Sink(port=port) as sink:
            wait_until(lambda: len(numbers(sink)) >= 10, "everything at the sink", 60)
            wait_until(relay.is_idle, "an empty queue", 60)
    assert sorted(set(numbers(sink))) == list(range(10))


def test_the_queue_goes_on_by_itself_after_the_index_was_locked(tmp_path: Path) -> None:
    port = free_port()
    with Relay(tmp_path / "relay", settings(floor=0, port=port)) as relay:
        for number in range(3):
            assert try_to_send(relay.port, number)[1] == 250
        relay.wait_for("RecipientDeferred", 3)
        other = apsw.Connection(str(relay.data / "spool" / "index.db"))
        other.set_busy_timeout(5000)
        other.execute("BEGIN IMMEDIATE")
        relay.wait_for("SpoolFaulted")
        time.sleep(3)  # as above
        other.execute("COMMIT")
        other.close()
        with Sink(port=port) as sink:
            wait_until(lambda: len(numbers(sink)) == 3, "everything at the sink")
            wait_until(relay.is_idle, "an empty queue")
