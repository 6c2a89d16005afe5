"""A sink whose answer to content takes its time: `python -m tests.bench.slowsink HOST:PORT SECONDS`.

smtp-sink can wait too (-w), but looks through all of its timers for each new one: with thousands of connections that
wait it uses up a core. This one counts as smtp-sink does, `mesg=N` on standard output, so that whoever reads the one
reads the other.
"""

import asyncio
import resource
import sys
from typing import cast

import uvloop

from postroad.model.option import parse_endpoint

BACKLOG = 5000
ANSWERS = {b"EHLO": b"250-sink\r\n250-8BITMIME\r\n250 PIPELINING\r\n", b"DATA": b"354 go\r\n", b"QUIT": b"221 bye\r\n"}
END = b"\r\n.\r\n"


class Taking(asyncio.Protocol):
    """One connection."""

    def __init__(self, seconds: float, count: asyncio.Queue[None]) -> None:
        self.seconds = seconds
        self.count = count
        self.buffer = b""
        self.in_content = False
        self.is_waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own class has its methods, not its name
        self.transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.obey()

    def obey(self) -> None:
        """Answer what has come, in order: what comes behind content waits for its answer (RFC 2920)."""
        out = b""
        while self.buffer and not self.is_waiting:
            piece, end, rest = self.buffer.partition(END if self.in_content else b"\r\n")
            if not end:
                break
            self.buffer = rest
            if self.in_content:
                self.in_content, self.is_waiting = False, True
                asyncio.get_running_loop().call_later(self.seconds, self.taken)
                continue
            verb = piece[:4].upper()
            out += ANSWERS.get(verb, b"250 ok\r\n")
            self.in_content = verb == b"DATA"
            if verb == b"QUIT":
                self.transport.write(out)
                self.transport.close()
                return
        if out:
            self.transport.write(out)

    def taken(self) -> None:
        """The time is over."""
        self.is_waiting = False
        if not self.transport.is_closing():
            self.count.put_nowait(None)
            self.transport.write(b"250 taken\r\n")
            self.obey()


async def serve(host: str, port: int, seconds: float) -> None:
    """Take mail until killed; what was taken is told at most a hundred times a second."""
    count: asyncio.Queue[None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: Taking(seconds, count), host, port, backlog=BACKLOG)
    taken = 0
    while True:
        await count.get()
        taken += 1 + count.qsize()
        while not count.empty():
            count.get_nowait()
        sys.stdout.write(f"\rmesg={taken}")
        sys.stdout.flush()
        await asyncio.sleep(0.01)


def main() -> None:
    """Serve by the command line."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    host, port = parse_endpoint(sys.argv[1])
    uvloop.run(serve(host, port, float(sys.argv[2])))


if __name__ == "__main__":
    main()
