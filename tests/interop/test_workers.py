"""A real relay with worker processes: large 8-bit mail for a next hop that takes seven bits alone."""

import quopri
import smtplib
from pathlib import Path
from urllib.request import urlopen

from tests.support.ports import free_port
from tests.support.relay import Relay, route, wait_until
from tests.support.sink import EXTENSIONS, Sink

SEVEN_BITS = tuple(name for name in EXTENSIONS if name != "8BITMIME")
LINE = "Grüße aus Köln, anbei der Bericht über die Lage.\r\n".encode()
HEAD = b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"


def send(relay: Relay, size: int) -> bytes:
    body = LINE * (size // len(LINE))
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as client:
        client.sendmail("alice@example.org", ["bob@example.net"], HEAD + body, mail_options=["BODY=8BITMIME"])
    return body


def body_of(sink: Sink) -> bytes:
    head, _, body = sink.mails[-1].content.partition(b"\r\n\r\n")
    assert b"quoted-printable" in head
    assert body.isascii()
    return quopri.decodestring(body.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")


def workers(pid: int) -> list[int]:
    """The processes that the process `pid` started and that still run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(entry.name))
    return found


def metric(port: int, name: str) -> float:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as page:
        lines = page.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def test_large_mail_is_converted_by_a_worker_that_dies_with_the_server(tmp_path: Path) -> None:
    desk = free_port()
    with Sink(SEVEN_BITS) as sink:
        more = route(f"smtp://127.0.0.1:{sink.port}") + f'\n[desk]\nbind = ["127.0.0.1:{desk}"]\n'
        relay = Relay(tmp_path / "relay", more)
        relay.start()
        assert workers(relay.pid) == []
        small = send(relay, 100_000)
        relay.wait_for("MessageRemoved")
        assert body_of(sink) == small
        assert workers(relay.pid) == [], "not for so little"
        large = send(relay, 3 << 20)
        relay.wait_for("MessageRemoved", 2)
        assert body_of(sink) == large
        (worker,) = workers(relay.pid)
        assert metric(desk, "postroad_work_seconds_count") == 1
        assert metric(desk, "postroad_workers") == 1
        relay.kill()
        wait_until(lambda: not Path(f"/proc/{worker}").exists() or "Z" in stat(worker), "the worker is gone")
        relay.start()
        assert send(relay, 3 << 20) == large
        relay.wait_for("MessageRemoved", 3)
        (worker,) = workers(relay.pid)
        assert relay.stop() == 0
        wait_until(lambda: not Path(f"/proc/{worker}").exists() or "Z" in stat(worker), "the worker is gone")
        relay.check_log()
        assert relay.records("WorkFailed") == []


def stat(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"


def test_what_is_too_large_for_a_worker_is_converted_all_the_same(tmp_path: Path) -> None:
    with Sink(SEVEN_BITS) as sink:
        more = route(f"smtp://127.0.0.1:{sink.port}") + '\n[process]\nworkers = 1\nworker_memory = "256MiB"\n'
        with Relay(tmp_path / "relay", more) as relay:
            body = send(relay, 48 << 20)
            relay.wait_for("RecipientDelivered", seconds=90)
            (failed,) = relay.records("WorkFailed")
            assert failed["job"] == "message.mime.to_quoted_printable"
            assert failed["cause"] in {"raised", "lost"}
            assert body_of(sink) == body
