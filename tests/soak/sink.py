"""A next hop in a process of its own: takes mail, notes it, and misbehaves as its temper says.

`python -m tests.soak.sink PORT NOTES TEMPER SEED`. It may be killed at any instant: what is not in the notes was not
taken. Tempers: `calm` does as it should; `moody` answers 4xx at each step now and then; `slow` takes its time, now and
then more than the relay waits; `rude` drops connections inside the content, and after the final dot with and without
having taken the message. All refuse `nobody@` for good.
"""

import asyncio
import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import cast

import uvloop

from tests.soak.wire import END, NUMBER, REFUSED_LOCAL_PART, Notes, field, is_whole, queue_id_of

CAPABILITIES = b"250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 0\r\n250 ENHANCEDSTATUSCODES\r\n"


@dataclass(frozen=True)
class Temper:
    """How often it does what, out of a thousand messages; `slowest` is the longest pause before a reply."""

    defer: int = 0
    pause: int = 0
    slowest: float = 0.0
    cut_inside: int = 0
    cut_after: int = 0


TEMPERS: Mapping[str, Temper] = MappingProxyType(
    {
        "calm": Temper(),
        "moody": Temper(defer=60),
        "slow": Temper(pause=20, slowest=8.0),
        "rude": Temper(defer=5, cut_inside=15, cut_after=15),
    }
)


class Session(asyncio.Protocol):
    """One connection of the relay."""

    def __init__(self, temper: Temper, notes: Notes, chance: random.Random) -> None:
        self.temper = temper
        self.notes = notes
        self.chance = chance
        self.buffer = bytearray()
        self.recipients: list[str] = []
        self.sender = ""
        self.has_begun = False
        self.in_content = False
        self.scanned = 0
        self.fate = ""
        self.is_pausing = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._say(b"220 sink.example ESMTP\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.is_pausing:
            self._go_on()

    def _go_on(self) -> None:
        while self.transport is not None and not self.transport.is_closing() and not self.is_pausing:
            if not (self._content() if self.in_content else self._command()):
                return

    def _say(self, text: bytes) -> None:
        if self.transport is not None:
            self.transport.write(text)

    def _is_due(self, share: int) -> bool:
        return share > 0 and self.chance.randrange(1000) < share

    def _command(self) -> bool:
        end = self.buffer.find(b"\r\n")
        if end < 0:
            return False
        line = self.buffer[:end].decode("ascii", "replace")
        del self.buffer[: end + 2]
        verb = line[:4].upper()
        if verb == "EHLO":
            self._say(CAPABILITIES)
        elif verb == "MAIL":
            self.sender, self.recipients = line[line.find("<") + 1 : line.find(">")], []
            self.has_begun = not self._is_due(self.temper.defer // 4)
            self._say(b"250 2.1.0 ok\r\n" if self.has_begun else b"451 4.3.0 not now\r\n")
        elif verb == "RCPT":
            self._recipient(line[line.find("<") + 1 : line.find(">")])
        elif verb == "DATA":
            self._data()
        elif verb == "QUIT" and self.transport is not None:
            self._say(b"221 2.0.0 bye\r\n")
            self.transport.close()
        else:
            self._say(b"250 2.0.0 ok\r\n")
        return True

    def _recipient(self, address: str) -> None:
        if not self.has_begun:
            self._say(b"503 5.5.1 MAIL first\r\n")
        elif address.startswith(REFUSED_LOCAL_PART):
            self._say(b"550 5.1.1 no such user\r\n")
        elif self._is_due(self.temper.defer // 4):
            self._say(b"450 4.2.1 mailbox busy\r\n")
        else:
            self.recipients.append(address)
            self._say(b"250 2.1.5 ok\r\n")

    def _data(self) -> None:
        if not self.recipients:
            self._say(b"554 5.5.1 no valid recipients\r\n")
            return
        self.in_content, self.scanned = True, 0
        self.fate = "inside" if self._is_due(self.temper.cut_inside) else ""
        self._say(b"354 go on\r\n")

    def _content(self) -> bool:
        if self.fate == "inside" and len(self.buffer) > 500 and self.transport is not None:
            self.transport.abort()
            return False
        if self.scanned == 0 and self.buffer.startswith(b".\r\n"):
            end = 0
        else:
            end = self.buffer.find(END, max(self.scanned - 4, 0))
            self.scanned = len(self.buffer)
            if end < 0:
                return False
            end += 2
        content = bytes(self.buffer[:end])
        del self.buffer[: end + 3]
        self.in_content = False
        self._end(content)
        return True

    def _end(self, content: bytes) -> None:
        temper = self.temper
        if self._is_due(temper.defer // 2):
            self._say(b"451 4.3.0 try again\r\n")
            return
        is_cut = self._is_due(temper.cut_after)
        if is_cut and self.chance.random() < 0.5 and self.transport is not None:
            self.transport.abort()  # not taken
            return
        number, taken = field(content, NUMBER) or "?", list(self.recipients)
        if self.sender and not is_whole(content):
            self.notes.add(f"M {number} {queue_id_of(content)}")
        kind = "T" if self.sender else "B"
        for recipient in taken:
            self.notes.add(f"{kind} {number} {queue_id_of(content)} {recipient}")
        if is_cut and self.transport is not None:
            self.transport.abort()
            self._reply(number, taken)
        elif self._is_due(temper.pause):
            self.is_pausing = True
            asyncio.get_running_loop().call_later(self.chance.uniform(0.05, temper.slowest), self._late, number, taken)
        else:
            self._reply(number, taken)

    def _late(self, number: str, taken: list[str]) -> None:
        self.is_pausing = False
        self._reply(number, taken)
        self._go_on()

    def _reply(self, number: str, taken: list[str]) -> None:
        is_there = self.transport is not None and not self.transport.is_closing()
        self._say(b"250 2.0.0 taken\r\n")
        for recipient in taken:
            self.notes.add(f"{'R' if is_there else 'L'} {number} {recipient}")


async def serve(port: int, notes: Path, temper: str, seed: int) -> None:
    """Listen until killed."""
    book, chance = Notes(notes), random.Random(seed)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Session(TEMPERS[temper], book, chance), "127.0.0.1", port, backlog=500, reuse_address=True
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
