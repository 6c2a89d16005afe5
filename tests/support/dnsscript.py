"""A DNS server in this process that answers by script, over UDP and TCP: it can misbehave as no real one does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import dns.flags
import dns.message

Script = Callable[[dns.message.Message], list[dns.message.Message | bytes]]


class Server(asyncio.DatagramProtocol):
    """A DNS server that says what `script` says; `asked` is every question that came, `ports` where from."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[dns.message.Message] = []
        self.ports: list[int] = []
        self.tasks: list[asyncio.Future[None]] = []
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        question = dns.message.from_wire(data)
        self.asked.append(question)
        self.ports.append(addr[1])
        for answer in self.script(question):
            octets = answer if isinstance(answer, bytes) else answer.to_wire(max_size=65535)
            self.transport.sendto(octets, addr)  # type: ignore[attr-defined]  # the base class has no sendto

    async def answer_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            length = int.from_bytes(await reader.readexactly(2), "big")
            question = dns.message.from_wire(await reader.readexactly(length))
            question.flags |= dns.flags.CD  # tells the script that this came over TCP
            for answer in self.script(question):
                octets = answer if isinstance(answer, bytes) else answer.to_wire(max_size=65535)
                writer.write(len(octets).to_bytes(2, "big") + octets)
                await writer.drain()
            await reader.read(1)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    def serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.append(asyncio.ensure_future(self.answer_tcp(reader, writer)))

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[Server]:
    loop = asyncio.get_running_loop()
    while True:  # the same port for both: another program may have it for TCP
        transport, server = await loop.create_datagram_endpoint(lambda: Server(script), local_addr=("127.0.0.1", 0))
        try:
            tcp = await asyncio.start_server(server.serve_tcp, "127.0.0.1", server.port)
            break
        except OSError:
            transport.close()
    try:
        yield server
    finally:
        transport.close()
        tcp.close()
        await tcp.wait_closed()
        await server.closed.wait()
        await asyncio.gather(*server.tasks)
