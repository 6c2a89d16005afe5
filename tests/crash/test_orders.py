"""kill -9 of the daemon while an operator gives orders on many messages: what was accepted arrives, whatever was asked.

Each round sends mail for a next hop that is down, for one that holds and for one that takes; orders hold, release, move
and stop it meanwhile, and the daemon is killed in the middle. At the end everything is released and sent elsewhere.
"""

import random
import smtplib
import subprocess
import sys
from collections import Counter
from email import message_from_bytes
from pathlib import Path
from typing import Final

import pytest

from tests.support.ports import free_port
from tests.support.relay import QUICK_RETRY, Relay, route, wait_until

MESSAGES = 120  # of a round
DOMAINS = ("down.example", "held.example", "taken.example")
ORDERS: Final = (
    ("hold", "--domain", "down.example", "--yes"),
    ("release", "--domain", "down.example", "--yes"),
    ("release", "--domain", "held.example", "--yes"),
    ("retry", "--all", "--yes"),
    ("reroute", "--domain", "down.example", "--to", "capture:", "--yes"),
    ("suspend", "--next-hop", "capture:", "--for", "never"),
    ("suspend", "--next-hop", "*", "--for", "1s"),
    ("resume", "--next-hop", "*"),
)
ORDER_SECONDS = 60.0
UNCOUNTED = (66, 69)  # nothing fits; the server does not run, or was killed before it answered


def settings() -> str:
    held = '\n[[routes]]\nrecipients = ["held.example"]\nthen = "hold"\n'
    down = route(f"smtp://127.0.0.1:{free_port()}", recipients=["down.example"])
    return f"{QUICK_RETRY}{held}{down}{route('capture:')}"


def begin(relay: Relay, *order: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "postroad", "queue", *order, "-c", str(relay.config)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def end(order: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Its exit code and what it complained of."""
    _, said = order.communicate(timeout=ORDER_SECONDS)
    return order.returncode, said.decode()


def send(relay: Relay, first: int) -> None:
    with smtplib.SMTP("127.0.0.1", relay.port) as client:
        for number in range(first, first + MESSAGES):
            recipient = f"u@{DOMAINS[number % len(DOMAINS)]}"
            client.sendmail("alice@example.com", recipient, f"Subject: m{number}\r\n\r\nHello.\r\n")


def captured(relay: Relay) -> Counter[str]:
    files = (relay.data / "capture").glob("*.eml")
    return Counter(str(message_from_bytes(file.read_bytes())["Subject"]) for file in files)


@pytest.mark.timeout(900)
def test_orders_and_kills_lose_nothing(tmp_path: Path, long_mode: bool) -> None:
    dice = random.Random(20261126)
    rounds = 30 if long_mode else 4
    with Relay(tmp_path, settings()) as relay:
        for number in range(rounds):
            send(relay, number * MESSAGES)
            given = [begin(relay, *order) for order in dice.sample(ORDERS, 3)]
            ended = [end(given[0])]  # the others are in the middle of it
            relay.kill()
            ended += map(end, given[1:])
            assert [one for one in ended if one[0] not in (0, *UNCOUNTED)] == []
            relay.start()
        end(begin(relay, "resume", "--next-hop", "*"))
        end(begin(relay, "release", "--all", "--yes"))
        end(begin(relay, "reroute", "--all", "--to", "capture:", "--yes"))
        expected = {f"m{number}" for number in range(rounds * MESSAGES)}
        wait_until(lambda: len(captured(relay)) == len(expected), "everything")
        assert set(captured(relay)) == expected
