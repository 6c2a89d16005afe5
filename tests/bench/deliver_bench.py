"""CPU of delivery alone: our client into smtp-sink, 20 loops at once, connections reused.

Run `python tests/bench/deliver_bench.py [messages] [recipients] [octets]`; it prints microseconds of CPU a
message for this process alone. Needs smtp-sink of the Debian package postfix.
"""

import asyncio
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from postroad.delivery.deliver import Deliverer
from postroad.delivery.egress import Egress
from postroad.delivery.settings import DeliverySettings
from postroad.model.address import Mailbox
from postroad.model.envelope import Envelope, Recipient
from postroad.model.outcome import Delivered
from postroad.model.route import SMTP, Route, Target
from postroad.model.work import Place, Stored, Work
from postroad.net.clock import SystemClock
from postroad.net.stream import open_stream
from postroad.net.tls.client import ClientContexts

LOOPS = 20
PREFIX = (
    "Received: from client.example.org (client.example.org [127.0.0.1])\r\n"
    "\tby relay.example.com with ESMTP id 3Pt2mN2VXxznj\r\n"
    "\tfor <bob@example.net>; Mon, 23 Nov 2026 12:00:00 +0000\r\n"
)


def _works(recipients: int, octets: int) -> tuple[list[Work], bytes]:
    content = b"From: <alice@example.org>\r\nSubject: test\r\n\r\n" + b"x" * 70 + b"\r\n"
    content += (b"y" * 70 + b"\r\n") * ((octets - len(content)) // 72)
    addressed = tuple(Recipient(Mailbox(f"user{n}@example.net", f"user{n}", "example.net")) for n in range(recipients))
    sender = Mailbox("alice@example.org", "alice", "example.org")
    envelope = Envelope("3Pt2mN2VXxznj", sender, addressed, 1_700_000_000_000_000, len(content), prefix=PREFIX)
    stored = Stored(envelope, Place("main", 0, 0, 0), content)
    return [Work(stored, index, "lane") for index in range(recipients)], content


async def _measure(port: int, messages: int, recipients: int, octets: int) -> tuple[float, float]:
    settings = DeliverySettings(tls="off")
    deliverer = Deliverer(
        settings=settings,
        hostname="relay.example.com",
        clock=SystemClock(),
        open_stream=open_stream,
        capture_folder=Path(tempfile.gettempdir()),
        tls=ClientContexts(),
        egress=Egress({}, {}),
        emit=lambda _: None,
    )
    route = Route("lane", (Target(SMTP, "sink.example.net", "127.0.0.1", port),), "bench")

    async def loop(count: int) -> None:
        works, content = _works(recipients, octets)
        for _ in range(count):
            outcomes = await deliverer.deliver(route, works, content)
            if not all(type(outcome) is Delivered for outcome in outcomes):
                raise RuntimeError(f"not delivered: {outcomes[0]}")

    await asyncio.gather(*(loop(5) for _ in range(LOOPS)))
    cpu, wall = time.process_time(), time.monotonic()
    await asyncio.gather(*(loop(messages // LOOPS) for _ in range(LOOPS)))
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    await deliverer.close()
    return cpu, wall


def main() -> None:
    """Start the sink, measure, print."""
    messages, recipients, octets = (*map(int, sys.argv[1:]), *(40_000, 1, 4096)[len(sys.argv) - 1 :])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    sink = subprocess.Popen(["smtp-sink", "-4", "-u", "nobody", f"127.0.0.1:{port}", "1000"])
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        for _ in range(3):
            cpu, wall = uvloop.run(_measure(port, messages, recipients, octets))
            print(f"{cpu / messages * 1e6:.1f} us CPU a message, {messages / wall:.0f} messages/s")
    finally:
        sink.terminate()
        sink.wait()


if __name__ == "__main__":
    main()
