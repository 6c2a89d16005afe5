"""The two ends of a measurement under TLS, which those of Postfix lack: `python -m tests.bench.tlsends source|sink`.

Both are the same for every relay. The sink offers STARTTLS and counts as smtp-sink does, `mesg=N` on standard output.
The source begins TLS on each connection, by a resumed session where the relay gives tickets, and sends one message a
connection or, with `reuse`, all of its share.
"""

import argparse
import asyncio
import resource
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import uvloop

from postroad.model.option import parse_endpoint
from postroad.net.tls.client import ClientContext, ClientContexts

BACKLOG = 5000
LIMIT = 1 << 20
ANSWERS = {b"DATA": b"354 go\r\n", b"QUIT": b"221 bye\r\n"}
HELLO = b"250-sink\r\n250-8BITMIME\r\n250-STARTTLS\r\n250 PIPELINING\r\n"
SECURED = b"250-sink\r\n250-8BITMIME\r\n250 PIPELINING\r\n"


class Sink:
    """Takes and counts."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._count = 0

    async def session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            writer.write(b"220 sink ESMTP\r\n")
            hello = HELLO
            while line := await reader.readline():
                verb = line[:4].upper()
                if verb == b"STAR":
                    writer.write(b"220 go\r\n")
                    await writer.start_tls(self._context)
                    hello = SECURED
                    continue
                writer.write(hello if verb == b"EHLO" else ANSWERS.get(verb, b"250 ok\r\n"))
                if verb == b"QUIT":
                    break
                if verb == b"DATA":
                    await reader.readuntil(b"\r\n.\r\n")
                    self._count += 1
                    sys.stdout.write(f"mesg={self._count}\n")
                    sys.stdout.flush()
                    writer.write(b"250 ok\r\n")
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def sink(endpoint: str, certificate: Path, key: Path) -> None:
    """Listen until killed."""
    host, port = parse_endpoint(endpoint)
    server = await asyncio.start_server(Sink(certificate, key).session, host, port, backlog=BACKLOG, limit=LIMIT)
    await server.serve_forever()


class Source:
    """Sends."""

    def __init__(self, endpoint: str, size: int) -> None:
        self._host, self._port = parse_endpoint(endpoint)
        self._context: ClientContext = ClientContexts().of(None)
        line = b"x" * 76 + b"\r\n"
        self._content = b"Subject: bench\r\n\r\n" + line * max(1, size // len(line)) + b".\r\n"
        self.resumed = 0

    async def run(self, left: Iterator[int], *, reuse: bool) -> None:
        """One of the sessions that share the messages `left`."""
        for _ in left:
            reader, writer = await asyncio.open_connection(self._host, self._port, limit=LIMIT)
            await _expect(reader, b"220")
            await self._begin_tls(reader, writer)
            await self._send(reader, writer)
            while reuse and next(left, None) is not None:
                await self._send(reader, writer)
            writer.write(b"QUIT\r\n")
            await _expect(reader, b"221")
            writer.close()

    async def _begin_tls(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for command, code in ((b"EHLO client.example.com\r\n", b"250"), (b"STARTTLS\r\n", b"220")):
            writer.write(command)
            await _expect(reader, code)
        with self._context.asking(None, self._port) as name:
            await writer.start_tls(self._context, server_hostname=name)
        writer.write(b"EHLO client.example.com\r\n")
        await _expect(reader, b"250")
        connection = writer.get_extra_info("ssl_object")
        self.resumed += connection.session_reused
        self._context.sessions.keep(self._port, connection)

    async def _send(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"MAIL FROM:<sender@example.com>\r\nRCPT TO:<recipient@example.net>\r\nDATA\r\n")
        for code in (b"250", b"250", b"354"):
            await _expect(reader, code)
        writer.write(self._content)
        await _expect(reader, b"250")


async def _expect(reader: asyncio.StreamReader, code: bytes) -> None:
    line = await reader.readline()
    while line[3:4] == b"-":
        line = await reader.readline()
    if not line.startswith(code):
        raise RuntimeError(f"the relay said {line!r}, not {code!r}")


async def source(endpoint: str, *, messages: int, sessions: int, size: int, reuse: bool) -> None:
    """Send all; RuntimeError when one is not taken."""
    sender, left = Source(endpoint, size), iter(range(messages))
    await asyncio.gather(*(sender.run(left, reuse=reuse) for _ in range(min(sessions, messages))))


def main() -> None:
    """Run one end."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.tlsends")
    parser.add_argument("what", choices=("source", "sink"))
    parser.add_argument("endpoint")
    parser.add_argument("--certificate", type=Path, default=Path())
    parser.add_argument("--key", type=Path, default=Path())
    parser.add_argument("--messages", type=int, default=1)
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--reuse", action="store_true")
    given = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 20_000)), hard))
    if given.what == "sink":
        uvloop.run(sink(given.endpoint, given.certificate, given.key))
    else:
        size, reuse = given.size, given.reuse
        uvloop.run(source(given.endpoint, messages=given.messages, sessions=given.sessions, size=size, reuse=reuse))


if __name__ == "__main__":
    main()
