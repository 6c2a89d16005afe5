"""Mail for many destinations at once: every recipient at a host of its own, so every one takes a connection.

Destinations are address literals, user@[127.0.0.1] to user@[127.x.y.z], all of which are this machine, so nothing
waits for DNS. The sink listens on port 25, where mail to literals goes, and so needs root. The rate counts from the
first connection of the client to the sink's last message; memory is the peak of the relay's whole process tree.
"""

import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tests.bench.load import Sink
from tests.bench.measure import Sampler, cpu_seconds
from tests.bench.relays import make_spreader

SMTP_PORT = 25
PER_MESSAGE = 100  # recipients of one transaction
PATIENCE = 60.0
SECONDS = 60.0
SETTLE = 0.5
CONTENT = b"From: <sender@example.com>\r\nSubject: many places\r\n\r\n" + b"x" * 70 + b"\r\n"


@dataclass(frozen=True)
class Spread:
    """What one measurement gave: destinations/s, CPU seconds per 1,000, memory in octets at the start and its peak."""

    relay: str
    destinations: int
    delivered: int
    rate: float
    cpu_per_1000: float
    memory_before: int
    memory: int


def destinations(count: int) -> list[str]:
    """`count` recipients, each at another address of this machine."""
    return [f"user@[127.{1 + (n >> 16)}.{(n >> 8) & 255}.{n & 255}]" for n in range(1, count + 1)]


def spread(relay_name: str, count: int, parent: Path, *, answer_after: int = 0) -> Spread:
    """Start the relay in a new folder below `parent`, send it `count` destinations, remove it.

    `answer_after`: seconds that each destination takes over the answer to DATA, as hosts do that filter what they get.
    """
    relay = make_spreader(relay_name, parent, slow=answer_after > 0)
    try:
        relay.start()
        with Sink(SMTP_PORT, host="0.0.0.0", answer_after=answer_after) as sink, Sampler(relay.pid) as sampler:
            _send(relay.port, destinations(PER_MESSAGE))  # a warm-up
            seen = sink.count
            sink.wait(seen + PER_MESSAGE, patience=5.0)
            time.sleep(SETTLE)
            sampler.sample()
            before, cpu, at_rest = sink.count, cpu_seconds(relay.pid), sampler.peak
            begin = time.monotonic()
            _send(relay.port, destinations(count))
            last = sink.wait(before + count, patience=PATIENCE)
            time.sleep(SETTLE)
            return Spread(
                relay=relay_name,
                destinations=count,
                delivered=sink.count - before,
                rate=(sink.count - before) / (last - begin),
                cpu_per_1000=(cpu_seconds(relay.pid) - cpu) * 1000 / count,
                memory_before=at_rest,
                memory=sampler.peak,
            )
    finally:
        relay.remove()


def _send(port: int, recipients: list[str]) -> None:
    """Hand all of it over with as little work as can be: commands in groups (RFC 2920 3.1), one message a group."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as peer, peer.makefile("rb") as answers:
        _expect(answers, b"220", 1)
        peer.sendall(b"EHLO client.example.com\r\n")
        _expect(answers, b"250", 1)
        for start in range(0, len(recipients), PER_MESSAGE):
            group = recipients[start : start + PER_MESSAGE]
            envelope = "".join(f"RCPT TO:<{recipient}>\r\n" for recipient in group)
            peer.sendall(f"MAIL FROM:<sender@example.com>\r\n{envelope}DATA\r\n".encode())
            _expect(answers, b"250", 1 + len(group))
            _expect(answers, b"354", 1)
            peer.sendall(CONTENT + b".\r\n")
            _expect(answers, b"250", 1)
        peer.sendall(b"QUIT\r\n")


def _expect(answers: BinaryIO, code: bytes, count: int) -> None:
    while count:
        line = answers.readline()
        if line[:3] != code:
            raise RuntimeError(f"{code.decode()} expected, not {line!r}")
        count -= line[3:4] != b"-"
