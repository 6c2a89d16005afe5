"""Clients in a process of their own: `connections` sessions that send as fast as told, whatever happens to the relay.

`python -m tests.soak.client PORT NOTES NAME RATE SEED`; RATE is messages a second of all its sessions together, 0 as
many as can be. SIGTERM: finish the message on its way, and end. A message is sent once; when its reply does not come
nobody knows what became of it, and another one follows. Some sessions leave inside the content, or idle for a while.
"""

import asyncio
import contextlib
import random
import signal
import sys
import time
from pathlib import Path

import uvloop

from tests.soak.wire import REFUSED_LOCAL_PART, SENDER_DOMAIN, Notes, content_of, stuffed

CONNECTIONS = 10
REPLY_SECONDS = 60.0
PAUSE = 0.05  # before another try to connect
BURST = 0.5  # seconds' worth of messages that may be caught up on
DOMAINS = ("calm.example", "moody.example", "slow.example", "rude.example", "any.example")
SHARES = (50, 15, 10, 10, 15)
SIZES = (1000, 4000, 20_000, 100_000)
SIZE_SHARES = (12, 75, 10, 3)
GONE = (OSError, EOFError, RuntimeError)  # uvloop says RuntimeError of a write to a connection that is gone
LARGE = 400_000  # through a file of its own in the spool


class Pace:
    """Gives out the instants at which messages may begin."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.next = time.monotonic()

    async def wait(self) -> None:
        """Return when the next message may begin."""
        if not self.rate:
            return
        now = time.monotonic()
        mine = max(self.next, now - BURST)
        self.next = mine + 1 / self.rate
        if mine > now:
            await asyncio.sleep(mine - now)


class Client:
    """One session after the other."""

    def __init__(self, port: int, name: str, notes: Notes, pace: Pace, seed: int) -> None:
        self.port = port
        self.name = name
        self.notes = notes
        self.pace = pace
        self.chance = random.Random(seed)
        self.count = 0
        self.is_over = False

    async def run(self) -> None:
        while not self.is_over:
            try:
                async with asyncio.timeout(REPLY_SECONDS):
                    reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(PAUSE)
                continue
            try:
                await self._session(reader, writer)
            except GONE:
                await asyncio.sleep(PAUSE)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not (await reply(reader)).startswith("220"):
            return
        writer.write(b"EHLO client.example\r\n")
        await reply(reader)
        for _ in range(self.chance.randrange(1, 30)):
            await self.pace.wait()
            if self.is_over or not await self._message(reader, writer):
                break
            if self.chance.random() < 0.002:
                await asyncio.sleep(self.chance.uniform(0, 3))
        writer.write(b"QUIT\r\n")
        await reply(reader)

    async def _message(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Send one; False when the session cannot go on."""
        self.count += 1
        number = f"{self.name}-{self.count}"
        recipients = self._recipients(number)
        lines = "".join(f"RCPT TO:<{recipient}>\r\n" for recipient in recipients)
        writer.write(f"MAIL FROM:<soak@{SENDER_DOMAIN}>\r\n{lines}DATA\r\n".encode())
        replies = [await reply(reader) for _ in range(len(recipients) + 2)]
        bad = next((one for one in replies if one[0] not in "23"), "")
        if bad:
            self.notes.add(f"X {number} {bad}")
            if not replies[-1].startswith("354"):
                writer.write(b"RSET\r\n")
                await reply(reader)
                await asyncio.sleep(PAUSE)  # it said "not now"
                return True
            raise ConnectionError("some recipients were refused")
        content = stuffed(content_of(number, self._size()))
        if self.chance.random() < 0.003:
            writer.write(content[: len(content) // 2])
            raise ConnectionError("leaves inside the content")
        self.notes.add(f"D {number}")
        try:
            writer.write(content)
            said = await reply(reader)
        except GONE as error:
            self.notes.add(f"U {number} {type(error).__name__}")
            raise
        if said.startswith("250"):
            self.notes.add(f"A {number} {said.rsplit(None, 1)[-1]} {' '.join(recipients)}")
        else:
            self.notes.add(f"X {number} {said}")
        return True

    def _recipients(self, number: str) -> list[str]:
        if self.chance.random() < 0.005:
            return [f"{REFUSED_LOCAL_PART}@calm.example"]
        count = 1 if self.chance.random() < 0.95 else 3
        return [f"r{n}@{self.chance.choices(DOMAINS, SHARES)[0]}" for n in range(count)]

    def _size(self) -> int:
        return LARGE if self.chance.random() < 0.002 else self.chance.choices(SIZES, SIZE_SHARES)[0]


async def reply(reader: asyncio.StreamReader) -> str:
    """The last line of a reply; TimeoutError, which is an OSError, when it does not come."""
    async with asyncio.timeout(REPLY_SECONDS):
        while True:
            line = (await reader.readuntil(b"\r\n")).decode("ascii", "replace").rstrip()
            if line[3:4] != "-":
                return line


async def send(port: int, notes: Path, name: str, rate: float, seed: int) -> None:
    """Send until SIGTERM."""
    book, pace = Notes(notes), Pace(rate)
    clients = [Client(port, f"{name}{n}", book, pace, seed * 1000 + n) for n in range(CONNECTIONS)]

    def end() -> None:
        for client in clients:
            client.is_over = True

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
    await asyncio.gather(*(client.run() for client in clients))


if __name__ == "__main__":
    uvloop.run(send(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]), int(sys.argv[5])))
