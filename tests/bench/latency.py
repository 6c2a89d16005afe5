"""Latency: messages at a steady rate, one connection each, timed from the client's final dot to the sink's having it.

One event loop holds both ends, so both times come from one monotonic clock. Every message carries a number in a
header; the sink looks for it once the whole message is there. The same code measures every relay.
"""

import asyncio
import gc
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.bench.scenarios import Scenario

NUMBER = re.compile(rb"^X-Bench-Number: (\d+)\r$", re.MULTILINE)
STEP_SECONDS = 30.0
SETTLE_SECONDS = 0.3
"""After the last message: the relay tidies up, and a duplicate would come about now."""
END = b"\r\n.\r\n"
LINE = b"x" * 78 + b"\r\n"


@dataclass
class Run:
    """What one run saw: `sent` and `arrived` by message number, in seconds of the monotonic clock.

    Numbers below `first` are the warm-up and are not in it.
    """

    first: int
    sent: dict[int, float] = field(default_factory=dict)
    arrived: dict[int, float] = field(default_factory=dict)
    delivered: int = 0

    @property
    def seconds(self) -> list[float]:
        """Latency of every message that arrived."""
        return [self.arrived[number] - sent for number, sent in self.sent.items() if number in self.arrived]


def latencies(scenario: Scenario, relay: int, sink: int, warmed_up: Callable[[], None]) -> Run:
    """Send the scenario's messages to port `relay` at its rate, take them at port `sink`.

    `warmed_up` is called once, after the warm-up. Every step is bounded; OSError or TimeoutError when one fails.
    """
    run = Run(scenario.warm_up)
    gc.collect()
    gc.disable()
    try:
        asyncio.run(_both_ends(run, scenario, (relay, sink), warmed_up))
    finally:
        gc.enable()
    return run


async def _both_ends(run: Run, scenario: Scenario, ports: tuple[int, int], warmed_up: Callable[[], None]) -> None:
    relay, sink = ports
    server = await asyncio.start_server(lambda reader, writer: _sink(run, reader, writer), "127.0.0.1", sink)
    await _send_all(relay, scenario, run, range(run.first))
    warmed_up()
    numbers = range(run.first, run.first + scenario.messages)
    await _send_all(relay, scenario, run, numbers)
    deadline = time.monotonic() + STEP_SECONDS
    while len(run.arrived) < len(numbers) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    await asyncio.sleep(SETTLE_SECONDS)
    server.close()


async def _send_all(port: int, scenario: Scenario, run: Run, numbers: range) -> None:
    body = LINE * (scenario.size // len(LINE))
    begin = time.monotonic()
    clients = []
    for position, number in enumerate(numbers):
        await asyncio.sleep(begin + position / scenario.per_second - time.monotonic())
        clients.append(asyncio.create_task(_send(run, port, number, body)))
    await asyncio.gather(*clients)
    await asyncio.sleep(SETTLE_SECONDS)


async def _send(run: Run, port: int, number: int, body: bytes) -> None:
    reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), STEP_SECONDS)
    head = b"From: <sender@example.com>\r\nTo: <recipient@example.net>\r\nX-Bench-Number: %d\r\n\r\n" % number
    try:
        await _reply(reader, b"220")
        for command, code in (
            (b"EHLO client.example.com", b"250"),
            (b"MAIL FROM:<sender@example.com>", b"250"),
            (b"RCPT TO:<recipient@example.net>", b"250"),
            (b"DATA", b"354"),
        ):
            writer.write(command + b"\r\n")
            await _reply(reader, code)
        if number >= run.first:
            run.sent[number] = time.monotonic()
        writer.write(head + body + b".\r\n")
        await _reply(reader, b"250")
        writer.write(b"QUIT\r\n")
        await _reply(reader, b"221")
    finally:
        writer.close()


async def _reply(reader: asyncio.StreamReader, code: bytes) -> None:
    while True:
        line = await _in_time(reader.readline())
        if not line.startswith(code):
            raise ConnectionError(f"expected {code!r}, got {line!r}")
        if line[3:4] != b"-":
            return


async def _sink(run: Run, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A small SMTP server, pipelining included; takes everything."""
    writer.write(b"220 sink.example.net ESMTP\r\n")
    try:
        while line := await _in_time(reader.readline()):
            verb = line[:4].upper().rstrip()
            if verb == b"EHLO":
                writer.write(b"250-sink.example.net\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n")
            elif verb == b"DATA":
                writer.write(b"354 go on\r\n")
                await _take(run, reader)
                writer.write(b"250 2.0.0 ok\r\n")
            elif verb == b"QUIT":
                writer.write(b"221 2.0.0 bye\r\n")
                return
            else:
                writer.write(b"250 2.0.0 ok\r\n")
    except (OSError, EOFError, TimeoutError, asyncio.CancelledError):
        return  # cancelled when the run is over: relays keep their sessions
    finally:
        writer.close()


async def _take(run: Run, reader: asyncio.StreamReader) -> None:
    content = await _in_time(reader.readuntil(END))
    now = time.monotonic()
    found = NUMBER.search(content)
    if found and int(found[1]) >= run.first:
        run.delivered += 1
        run.arrived.setdefault(int(found[1]), now)


async def _in_time(step: Awaitable[bytes]) -> bytes:
    return await asyncio.wait_for(step, STEP_SECONDS)
