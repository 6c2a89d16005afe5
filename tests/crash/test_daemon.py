"""kill -9 of the whole daemon at random instants under load: everything that got its 250 arrives.

Client threads send over real connections and note each message that was acknowledged, another set
those begun; a raw sink notes each that arrives. After every kill the relay starts again on the same
folder. At the end every acknowledged message has arrived, nothing has arrived that was never begun, and whatever
arrived twice had been on its way at a kill: at the sink, but not yet settled.
"""

import random
import smtplib
import threading
import time
from pathlib import Path

import pytest

from tests.support.relay import QUICK_RETRY, Relay, route, wait_until
from tests.support.sink import Mail, Sink

CLIENTS = 4
CONNECTIONS = 4  # of the relay to the sink
AT_RISK = 32  # arrivals before a kill whose outcome may not have been durable yet
LINE = b"0123456789abcd\r\n"
SENDER = "alice@example.org"
SETTINGS = f"{QUICK_RETRY}concurrency = {CONNECTIONS}\n"


class Client(threading.Thread):
    """Sends numbered messages until told to stop, over connections of a few messages each, whatever happens."""

    def __init__(self, port: int, name: str, seed: int) -> None:
        super().__init__(name=name, daemon=True)
        self.port = port
        self.random = random.Random(seed)
        self.begun: set[str] = set()
        self.acknowledged: set[str] = set()
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.is_set():
            try:
                with smtplib.SMTP("127.0.0.1", self.port, "client.example.org", timeout=30) as client:
                    for _ in range(self.random.randrange(1, 20)):
                        self._send(client)
            except (smtplib.SMTPException, OSError):
                self.stopped.wait(0.01)  # it is down; the pause only spares the processor

    def _send(self, client: smtplib.SMTP) -> None:
        number = f"{self.name}-{len(self.begun)}"
        self.begun.add(number)
        # Mostly small; some go through the spool's files for large content.
        size = self.random.choice((10, 1000, 4000, 4000, 4000, 20_000, 400_000))
        client.sendmail(SENDER, f"{self.name}@example.net", content_of(number, size))
        self.acknowledged.add(number)


def content_of(number: str, size: int) -> bytes:
    """The content that was sent under this number."""
    return f"Subject: {number}\r\nX-Number: {number}\r\nX-Size: {size}\r\n\r\n".encode() + LINE * (size // len(LINE))


def number_of(mail: Mail) -> str:
    return mail.content.split(b"X-Number: ", 1)[1].split(b"\r\n", 1)[0].decode()


def size_of(mail: Mail) -> int:
    return int(mail.content.split(b"X-Size: ", 1)[1].split(b"\r\n", 1)[0])


def count(clients: list[Client]) -> int:
    return sum(len(client.acknowledged) for client in clients)


@pytest.mark.timeout(1800)
def test_kill_9_under_load(tmp_path: Path, long_mode: bool) -> None:
    kills = 100 if long_mode else 6
    chance = random.Random(20261123)
    with Sink() as sink:
        relay = Relay(tmp_path / "relay", route(f"smtp://127.0.0.1:{sink.port}") + SETTINGS)
        clients = [Client(relay.port, f"c{number}", number) for number in range(CLIENTS)]
        relay.start()
        for client in clients:
            client.start()
        killed_at = []
        for _ in range(kills):
            wait_for_load(clients)
            time.sleep(chance.uniform(0, 0.2))  # a random instant
            relay.kill()
            killed_at.append(len(sink.mails))
            relay.start()
        for client in clients:
            client.stopped.set()
        for client in clients:
            client.join(60)
            assert not client.is_alive()
        acknowledged = set[str]().union(*(client.acknowledged for client in clients))
        begun = set[str]().union(*(client.begun for client in clients))
        wait_until(lambda: acknowledged <= {number_of(mail) for mail in sink.mails}, "everything acknowledged", 120)
        assert relay.stop() == 0
        order = [number_of(mail) for mail in sink.mails]
        mails = sink.mails
    relay.check_log()
    assert len(acknowledged) > 50 * kills
    assert set(order) <= begun
    for mail in mails:
        assert mail.content.startswith(b"Received: from client.example.org")
        assert mail.content.endswith(content_of(number_of(mail), size_of(mail)))
    expect_duplicates_only_around(killed_at, order)


def wait_for_load(clients: list[Client]) -> None:
    before = count(clients)
    wait_until(lambda: count(clients) > before + 50, "load")


def expect_duplicates_only_around(killed_at: list[int], order: list[str]) -> None:
    """Each message that came again had come just before a kill, counted in arrivals at the sink.

    Or just after it: what a killed relay had sent, the sink still reads to the end.
    """
    last_seen: dict[str, int] = {}
    for index, number in enumerate(order):
        if number in last_seen:
            first = last_seen[number]
            assert any(at - AT_RISK <= first < at + CONNECTIONS for at in killed_at), (number, first, index, killed_at)
        last_seen[number] = index
